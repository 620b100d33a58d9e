"""InfoGAN: a GAN whose samples reveal a part of their noise, which thus becomes meaningful."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.lax import stop_gradient

from .. import checks
from ..combinators import adversarial
from ..nets import mlp, stateless
from ..objectives.adversarial import Game, check_both, check_game, check_like, drawn, mean_state
from ..protocol import (
    Adversarial,
    Array,
    Key,
    Metrics,
    Net,
    Params,
    State,
    StatefulNet,
    described,
    split,
)
from .codes import Codes, Recognised, checked_codes, code_prior, information, recognised


class InfoGAN(NamedTuple):
    """x = G(z) with z = (ε, c), a critic D(x), and Q(c | x), a second head of the critic's net.

    init: key -> (params, state), both {"generator", "critic"}; the critic has {"trunk", "value",
        "codes"}
    adversarial: G and D as an `Adversarial`, such as for `objectives.generated`
    judge: D and Q in one pass: judge.apply(params["critic"], state["critic"], x, train=...) ->
        ((values [batch], parameters of Q [batch, codes.num_outputs]), state)
    codes: the layout of z

    Made by `infogan`; trained by `infogan_critic_loss` and `infogan_generator_loss`; `infer_codes`
    gives Q(c | x).
    """

    init: Callable[[Key], tuple[Params, State]]  # that of `adversarial`
    adversarial: Adversarial
    judge: StatefulNet
    codes: Codes

    __repr__ = described


@checks.spelled
def infogan(
    generator: Net | StatefulNet,
    trunk: Net | StatefulNet,
    *,
    num_features: int,
    num_noise: int,
    categories: tuple[int, ...] = (10,),
    num_continuous: int = 2,
    hidden: tuple[int, ...] = (128,),
) -> InfoGAN:
    """min_{G, Q} max_D V(D, G) - λ [E log Q(c | G(z)) + H(c)], z = (ε, c): c is inferred from x.

    V is the value of a game, such as E log σ(D(x)) + E log σ(-D(G(z))) with σ the logistic function
    (`objectives.minimax()`, or `non_saturating()` with another loss of G); the bracket is a lower
    bound of the mutual information of c and G(z), whose weight λ the losses get.

    generator: z [batch, n] -> x, n = num_noise + Σ categories + num_continuous
    trunk: x -> features [batch, num_features], from which a linear map computes D(x), and an MLP
        the parameters of Q(c | x)
    num_features: the size of the features
    hidden: the widths of the hidden layers of that MLP
    num_noise, categories, num_continuous: the parts of z: Gaussian noise ε, one-hot categories with
        so many values each, and numbers uniform on (-1, 1) (`Codes`)

        generator = nets.strided_generator(62 + 10 + 2, (28, 28, 1))
        trunk = nets.strided_features((28, 28, 1), 1024)
        model = disentangled.infogan(generator, trunk, num_features=1024, num_noise=62)
        of_critic, of_generator = (
            lambda params, key, x, state, loss=loss: loss(
                model, objectives.non_saturating(), params, key, x, state=state
            )
            for loss in (disentangled.infogan_critic_loss, disentangled.infogan_generator_loss)
        )
        players = {"critic": Player(of_critic, ...), "generator": Player(of_generator, ...)}
        learning.alternate(players, lambda key: model.init(key)[0],
                           init_state=lambda key, params: model.init(key)[1])

    Returns an `InfoGAN`: `init`, the `adversarial` model of G and D, `judge` (D and Q in one pass)
    and `codes` (the layout of z), for `infogan_critic_loss`, `infogan_generator_loss` and
    `infer_codes`. Chen et al. (2016), "InfoGAN: interpretable representation learning by
    information maximizing generative adversarial nets", equation 6; Q is trained together with the
    critic, as there.
    """
    num_features = checks.positive_int(num_features, "num_features")
    codes = checked_codes(Codes(num_noise, categories, num_continuous))
    checks.noun(trunk, Net, "trunk")
    parts = {
        "trunk": trunk if isinstance(trunk, StatefulNet) else stateless(trunk),
        "value": stateless(mlp(num_features, 1, hidden=())),
        "codes": stateless(mlp(num_features, codes.num_outputs, hidden=checks.widths(hidden))),
    }

    def init(key):
        checks.key(key)
        keys = jax.random.split(key, len(parts))
        made = {name: part.init(k) for (name, part), k in zip(parts.items(), keys)}
        return tuple({name: each[i] for name, each in made.items()} for i in (0, 1))

    def judge(params, state, x, *, train, key=None):
        keys = dict(zip(parts, split(key, len(parts))))

        def of(name, seen):
            net = parts[name]
            return net.apply(params[name], state[name], seen, train=train, key=keys[name])

        features, moved = of("trunk", x)
        checks.floating(features, "the features of trunk", (None, num_features))
        values, numbers = of("value", features)[0], of("codes", features)[0]
        return (values[:, 0], numbers), state | {"trunk": moved}

    def value(params, state, x, *, train, key=None):
        (values, _), moved = judge(params, state, x, train=train, key=key)
        return values, moved

    model = adversarial(code_prior(codes), generator, StatefulNet(init, value))
    return InfoGAN(model.init, model, StatefulNet(init, judge), codes)


@checks.spelled
def infogan_critic_loss(
    model: InfoGAN,
    game: Game,
    params: Params,
    key: Key,
    x: Array,
    *,
    state: State,
    weight: float | Array = 1.0,
    continuous_weight: float | Array = 0.1,
) -> tuple[Array, tuple[Metrics, State]]:
    """L_D - λ [E log Q(k | G(z)) + H(k)] - λ' [E log Q(u | G(z)) + H(u)]: loss of critic and Q.

    z = (ε, k, u) are noise ε, categories k and numbers u; Q is the estimate of k and u from a
    sample, and H(k), H(u) are the entropies of their priors, constants. L_D is the loss of the
    critic D of the game at data x and samples G(z). The brackets, in nats, bound the mutual
    information of G(z) with k and with u from below (`information`).

    model: an `infogan`; game: such as `objectives.non_saturating()`
    params, state: dicts {"generator", "critic"}, with Q a part of the critic; the generator gets no
        gradient
    key: draws z
    x: data [batch, *shape]; as many samples are drawn
    weight, continuous_weight: λ and λ'; numbers, or weights that depend on the step

    Returns (loss, (metrics, state)), where state["critic"] is updated, with the metrics "real" and
    "fake", the means of D at data and samples, and "categorical" and "continuous", the two brackets
    in nats. Chen et al. (2016), "InfoGAN: interpretable representation learning by information
    maximizing generative adversarial nets", equation 6.
    """
    weights = _checked(model, game, params, key, x, state, weight, continuous_weight)
    z_key, real_key, fake_key = jax.random.split(key, 3)
    z, fake, _ = drawn(model.adversarial, params["generator"], state, z_key, len(x), None, True)
    check_like(x, fake)
    mine, fake = params["critic"], stop_gradient(fake)
    real_values, _, seen = _judged(model, mine, state, x, real_key)
    fake_values, q, seen_fake = _judged(model, mine, state, fake, fake_key)
    told, gain = _gain(model, q, z, weights)
    told |= {"real": real_values.mean(), "fake": fake_values.mean()}
    moved = state | {"critic": jax.tree.map(mean_state, seen, seen_fake)}
    return game.critic(real_values, fake_values) - gain, (told, moved)


@checks.spelled
def infogan_generator_loss(
    model: InfoGAN,
    game: Game,
    params: Params,
    key: Key,
    x: Array,
    *,
    state: State,
    weight: float | Array = 1.0,
    continuous_weight: float | Array = 0.1,
) -> tuple[Array, tuple[Metrics, State]]:
    """L_G - λ [E log Q(k | G(z)) + H(k)] - λ' [E log Q(u | G(z)) + H(u)]: the generator's loss.

    z = (ε, k, u) are noise ε, categories k and numbers u; Q is the estimate of k and u from a
    sample, and H(k), H(u) are the entropies of their priors, constants. L_G is the generator's loss
    of the game at samples G(z) and data x. The brackets, in nats, bound the mutual information of
    G(z) with k and with u from below (`information`). The gradient reaches the generator only.

    model: an `infogan`; game: such as `objectives.non_saturating()`
    params, state: dicts {"generator", "critic"}; Q is a part of the critic
    key: draws z
    x: data [batch, *shape]; as many samples are drawn, and some games also use D(x)
    weight, continuous_weight: λ and λ'; numbers, or weights that depend on the step

    Returns (loss, (metrics, state)), where state["generator"] is updated, with the metrics "fake",
    the mean of D at samples, and "categorical" and "continuous", the two brackets in nats. Chen et
    al. (2016), "InfoGAN: interpretable representation learning by information maximizing generative
    adversarial nets", equation 6.
    """
    weights = _checked(model, game, params, key, x, state, weight, continuous_weight)
    z_key, real_key, fake_key = jax.random.split(key, 3)
    z, fake, moved = drawn(model.adversarial, params["generator"], state, z_key, len(x), None, True)
    check_like(x, fake)
    held = stop_gradient(params["critic"])
    fake_values, q, _ = _judged(model, held, state, fake, fake_key)
    real_values, _, _ = _judged(model, held, state, x, real_key)
    told, gain = _gain(model, q, z, weights)
    loss = game.generator(fake_values, real_values) - gain
    return loss, (told | {"fake": fake_values.mean()}, state | {"generator": moved})


def infer_codes(model: InfoGAN, params: Params, state: State, x: Array) -> Recognised:
    """Q(c | x) for images x [batch, *shape], as `Recognised`, with the nets as in evaluation.

    A `Recognised` holds the log_probs [batch, K_i] of each category, and mean and scale [batch,
    num_continuous] of the numbers. `infer_codes(...).log_probs[0].argmax(-1)` is the most probable
    value of the first category, and `.mean` the estimate of the numbers, both for each image.

    model: an `infogan`
    params, state: dicts {"generator", "critic"}, as `learning.load` returns them
    x: [batch, *shape]
    """
    checks.noun(model, InfoGAN, "model")
    check_both(params, state)
    checks.rows_of(x, "x")
    (_, numbers), _ = model.judge.apply(params["critic"], state["critic"], x, train=False)
    return recognised(model.codes, numbers)


def _judged(model, params, state, x, key):
    (values, numbers), moved = model.judge.apply(params, state["critic"], x, train=True, key=key)
    return values, recognised(model.codes, numbers), moved


def _gain(model, q, z, weights):
    categorical, continuous = information(model.codes, q, z)
    told = {"categorical": categorical, "continuous": continuous}
    return told, weights[0] * categorical + weights[1] * continuous


def _checked(model, game, params, key, x, state, weight, continuous_weight):
    checks.noun(model, InfoGAN, "model")
    check_game(model.adversarial, game, params, key, x, None, state)
    return (
        checks.weight(weight, "weight"),
        checks.weight(continuous_weight, "continuous_weight"),
    )
