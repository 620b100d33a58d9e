"""FQ-GAN: a critic that looks at features through a codebook, of samples and of data alike."""

import jax
import jax.numpy as jnp

from .. import checks
from ..nets import stateless
from ..objectives import Game, critic_loss
from ..protocol import Adversarial, Array, Key, Metrics, Net, Params, State, StatefulNet, split
from .vq import Quantiser


def quantised_critic(
    trunk: Net | StatefulNet,
    quantiser: Quantiser | None,
    head: Net | StatefulNet,
    *,
    beta: float = 1.0,
) -> StatefulNet:
    """D(x) = g(e(f(x))): a critic that sees, for each feature vector, the nearest of a codebook.

    Data and samples share one codebook, so that the critic compares them by common features, each
    of which is one of K vectors. It is a critic for any game:

        codebook = averaged_codebook(256, 64, decay=0.8)
        critic = quantised_critic(nets.residual_features(...), codebook, nets.residual_head(...))
        model = combinators.adversarial(prior, generator, critic)

    trunk: f, from x [batch, *shape] to features [batch, ..., d]
    quantiser: from features to vectors e [batch, ..., d]; None is the critic g(f(x)) without a
        codebook, for comparison
    head: g, from e to values [batch]; in a conditional model it is called with (e, class)
    beta: the weight β of the commitment loss E ‖f - sg(e)‖²

    Returns a `StatefulNet`: init(key) -> (params, state), and apply(params, state, x[, class],
    train=..., key=None) -> (values, state). With train=True all parts of the state may change, with
    train=False none does; the key goes to the three parts, for dropout and for codes that are
    revived. Parameters {"trunk", "quantiser", "head"}. The state has these three, too, and
    "quantisation", the codebook loss + β commitment loss of the last batch, which `fq_critic_loss`
    adds to the loss. Zhao et al. (2020), "Feature quantization improves GAN training": decay 0.8, β
    = 1, 2^8 codes.
    """
    trunk, head = (_with_state(net, name) for net, name in ((trunk, "trunk"), (head, "head")))
    if quantiser is not None:
        checks.noun(quantiser, Quantiser, "quantiser")
    beta = checks.not_negative(beta, "beta")

    def init(key):
        checks.key(key)
        trunk_key, head_key, quantiser_key = jax.random.split(key, 3)
        both = {"trunk": trunk.init(trunk_key), "head": head.init(head_key)}
        both["quantiser"] = ({}, {}) if quantiser is None else quantiser.init(quantiser_key)
        params, state = ({name: each[i] for name, each in both.items()} for i in (0, 1))
        return params, state | {"quantisation": jnp.zeros(())}

    def apply(params, state, x, *cond, train, key=None):
        keys, moved = split(key, 3), dict(state)

        def part(name, net, i, *inputs):
            found, moved[name] = net.apply(
                params[name], state[name], *inputs, train=train, key=keys[i]
            )
            return found

        h = part("trunk", trunk, 0, x)
        if quantiser is not None:
            found = part("quantiser", quantiser, 1, h)
            h, loss = found.vectors, found.codebook_loss + beta * found.commitment_loss
            if train:
                moved["quantisation"] = loss.astype(state["quantisation"].dtype)
        return part("head", head, 2, h, *cond), moved

    return StatefulNet(init, apply)


def fq_critic_loss(
    model: Adversarial,
    game: Game,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    state: State,
    weight: float | Array = 1.0,
) -> tuple[Array, tuple[Metrics, State]]:
    """L_D + λ (E ‖sg(f) - e‖² + β E ‖f - sg(e)‖²): the critic's loss in a game, and its codebook's.

    L_D is the game's loss of the critic D at data x and samples G(z), f are the features of data
    and samples together that the critic quantises (the outputs of its trunk), e the vectors of the
    codebook nearest to them, and sg stops the gradient. ‖·‖² is the sum over the entries of a
    vector, and E the mean over all vectors.

    model: its critic is a `quantised_critic`, made with β
    game: gives L_D, such as `objectives.non_saturating()`
    params, state: dicts {"generator", "critic"}, as model.init(key) makes them; the generator gets
        no gradient. The state of the critic has the entries "trunk", "quantiser" and "head", the
        states of its parts, and "quantisation", the bracket of the last batch
    x: data [n, *shape]; as many samples are drawn with `key`
    cond: one condition per row, or None
    weight: λ

    Returns (loss, (metrics, state)), with state["critic"] updated; the metrics are "real" and
    "fake", the means of D at data and samples, and "quantisation", the bracket. The generator's
    loss is `objectives.generator_loss`, as without a codebook. State of another critic raises
    `InputError`. Zhao et al. (2020), "Feature quantization improves GAN training", equation 5.
    """
    weight = checks.weight(weight, "weight")
    if not isinstance(state, dict) or "quantisation" not in state.get("critic", {}):
        raise checks.InputError(
            "state must be that of a model whose critic is a quantised_critic; got "
            f"{checks.shown(state)}."
        )
    loss, (metrics, state) = critic_loss(model, game, params, key, x, cond, state=state)
    quantisation = state["critic"]["quantisation"]
    return loss + weight * quantisation, (metrics | {"quantisation": quantisation}, state)


def _with_state(net, name):
    checks.noun(net, Net, name)
    return net if isinstance(net, StatefulNet) else stateless(net)
