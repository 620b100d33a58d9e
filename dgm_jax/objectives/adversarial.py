"""Games of a generator x = G_θ(z) and a critic D_φ(x): the losses of both.

A `Game` is two functions of the critic's values, and `critic_loss` and `generator_loss` compute
these values for an `Adversarial` model. With v = D_φ(x) at data and w = D_φ(G_θ(z)) at samples, and
σ the logistic function:

| game           | the critic minimises              | the generator     | D* of densities π and p |
|----------------|-----------------------------------|-------------------|-------------------------|
| minimax        | -E log σ(v) - E log(1 - σ(w))     | E log(1 - σ(w))   | log π / p               |
| non_saturating | the same, or with smoothed labels | -E log σ(w)       | log π / p               |
| least_squares  | ½ E (v - b)² + ½ E (w - a)²       | ½ E (w - c)²      | (b π + a p) / (π + p)   |
| hinge          | E max(0, 1 - v) + E max(0, 1 + w) | -E w              | sign(π - p)             |
| wasserstein    | E w - E v, the slope of D ≤ 1     | -E w              | a potential of W_1      |
| relativistic   | -E log σ(v - w)                   | -E log σ(w - v)   | log π / p + constant    |

All are computed from logits, so that values and gradients are finite even if σ rounds to 0 or 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Adversarial, Array, Key, Metrics, Params, State, described
from .penalties import check_rows


class Game(NamedTuple):
    """(critic, generator): the losses of both players, from the values of a critic D.

    critic: critic(real, fake) -> the scalar that the critic minimises, from its values D(x) [batch]
        at data and D(G(z)) [batch] at samples
    generator: generator(fake, real) -> the scalar that the generator minimises, from the same
        values; those at samples come first

    Both are means over the batch. `minimax`, `non_saturating`, `least_squares`, `hinge`,
    `wasserstein`, `relativistic` and `f_gan` make a game.
    """

    critic: Callable[[Array, Array], Array]  # (values at data, values at samples) -> scalar
    generator: Callable[[Array, Array], Array]  # (values at samples, values at data) -> scalar

    __repr__ = described


# ---------------------------------------------------------------------------------------- games
def minimax() -> Game:
    """min_G max_V E log σ(V(x)) + E log(1 - σ(V(G(z)))), D = σ(V), σ logistic: the original GAN.

    x is data with density π, G(z) a sample with density p, and V the critic's value, a logit. The
    critic minimises the negative of this, the generator E log(1 - D(G(z))). At the optimal critic,
    D* = π / (π + p), it is 2 JSD(π ‖ p) - log 4, in nats. If the critic is certain, the generator's
    gradient vanishes. Returns a `Game`: the losses of both players as functions of the critic's
    values, the argument `game` of `critic_loss`, `generator_loss` and `learning.adversaries`.
    Goodfellow et al. (2014), "Generative adversarial nets", equation 1.
    """
    return Game(_cross_entropy(1.0), lambda fake, real: -jax.nn.softplus(fake).mean())


def non_saturating(*, smoothing: float = 1.0) -> Game:
    """-E log D(G(z)) for the generator, -E log D(x) - E log(1 - D(G(z))) for the critic, D = σ(V).

    σ is the logistic function and V the critic's value, a logit. The generator's gradient does not
    vanish if the critic is certain that samples are not data. Returns a `Game`: the losses of both
    players as functions of the critic's values, the argument `game` of `critic_loss`,
    `generator_loss` and `learning.adversaries`.

    smoothing: a in (0, 1], the label of data: the first term of the critic becomes -E
        [a log D(x) + (1 - a) log(1 - D(x))]. The optimum is D* = a π / (π + p), for densities π of
        data and p of samples. Label smoothing is one-sided: the label of samples stays 0

    Goodfellow et al. (2014), "Generative adversarial nets", section 3; Salimans et al. (2016),
    "Improved techniques for training GANs", section 3.4.
    """
    smoothing = checks.number(smoothing, "smoothing")
    if not 0 < smoothing <= 1:
        raise checks.InputError(
            f"smoothing must be the label of data, in (0, 1], such as 0.9; got {smoothing}."
        )
    return Game(_cross_entropy(smoothing), lambda fake, real: jax.nn.softplus(-fake).mean())


@checks.spelled
def least_squares(*, fake: float = 0.0, real: float = 1.0, wanted: float = 1.0) -> Game:
    """½ E (D(x) - b)² + ½ E (D(G(z)) - a)² for the critic, ½ E (D(G(z)) - c)² for the generator.

    fake: a, the critic's target for samples
    real: b, the critic's target for data
    wanted: c, the generator's target for the critic's value at its samples

    With b - c = 1 and b - a = 2 the generator minimises, at the optimal critic, half of Pearson's
    χ²(π + p ‖ 2 p), for densities π of data and p of samples. The default is 0, 1 and 1. Returns a
    `Game`: the losses of both players as functions of the critic's values, the argument `game` of
    `critic_loss`, `generator_loss` and `learning.adversaries`. Mao et al. (2017), "Least squares
    GANs", equations 2, 8 and 9.
    """
    a, b, c = (
        checks.number(label, name)
        for label, name in ((fake, "fake"), (real, "real"), (wanted, "wanted"))
    )
    return Game(
        lambda real, fake: _half_square(real - b) + _half_square(fake - a),
        lambda fake, real: _half_square(fake - c),
    )


def hinge() -> Game:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) for the critic, -E D(G(z)) for the generator.

    D(x) is the critic's value, x data and G(z) a sample. For densities π of data and p of samples,
    the optimal critic is sign(π - p), with the loss 2 - 2 TV(π, p), TV = ½ ∫ |π - p|. Returns a
    `Game`: the losses of both players as functions of the critic's values, the argument `game` of
    `critic_loss`, `generator_loss` and `learning.adversaries`. Lim and Ye (2017), "Geometric GAN";
    Miyato et al. (2018), "Spectral normalization for GANs", equations 16 and 17.
    """
    return Game(
        lambda real, fake: jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean(),
        lambda fake, real: -fake.mean(),
    )


def wasserstein() -> Game:
    """E D(G(z)) - E D(x) for the critic, -E D(G(z)) for the generator.

    D(x) is the critic's value, x data and G(z) a sample. Over critics with Lipschitz constant 1 the
    least loss of the critic is -W_1(π, p), the negative Wasserstein-1 distance of data π and
    samples p. The constant must be bounded by other means: `gradient_penalty`,
    `learning.clip_weights` or spectral normalisation. Returns a `Game`: the losses of both players
    as functions of the critic's values, the argument `game` of `critic_loss`, `generator_loss` and
    `learning.adversaries`. Arjovsky et al. (2017), "Wasserstein GAN", equation 2.
    """
    return Game(
        lambda real, fake: fake.mean() - real.mean(),
        lambda fake, real: -fake.mean(),
    )


def relativistic() -> Game:
    """-E log σ(D(x) - D(G(z))) for the critic, -E log σ(D(G(z)) - D(x)) for the generator.

    σ is the logistic function and D(x) the critic's value. Row i of the data is paired with sample
    i, and only the difference of their values matters. With the penalties `r1` and `r2` together,
    training converges locally. Returns a `Game`: the losses of both players as functions of the
    critic's values, the argument `game` of `critic_loss`, `generator_loss` and
    `learning.adversaries`. Jolicoeur-Martineau (2018), "The relativistic discriminator"; Huang et
    al. (2024), "The GAN is dead; long live the GAN!".
    """
    return Game(
        lambda real, fake: jax.nn.softplus(fake - real).mean(),
        lambda fake, real: jax.nn.softplus(real - fake).mean(),
    )


def _cross_entropy(label):
    """-E [a log σ(v) + (1 - a) log σ(-v)] - E log σ(-w), with the label a of data."""

    def loss(real, fake):
        of_real = label * jax.nn.softplus(-real) + (1 - label) * jax.nn.softplus(real)
        return of_real.mean() + jax.nn.softplus(fake).mean()

    return loss


def _half_square(x):
    return jnp.square(x).mean() / 2


# --------------------------------------------------------------------------------------- models
def generated(
    model: Adversarial,
    params: Params,
    state: State,
    key: Key,
    num: int,
    cond: Array | None = None,
    *,
    train: bool = False,
) -> Array:
    """x_i = G_θ(z_i), z_i ~ p(z), i = 1..num: samples [num, *shape].

    model: made by `combinators.adversarial`
    params, state: of both players, {"generator": ..., "critic": ...}, as `model.init` or
        `learning.load` returns them
    key: draws z and what is random in the generator, such as the noise of a StyleGAN
    num: the number of samples
    cond: [num, *cond_shape] for a conditional model, one per sample; None otherwise
    train: whether batch normalisation uses the statistics of these samples. With False, the
        default, it uses the running ones in `state`, and a sample does not depend on the others

    Raises `ValueError` if params or state lacks a player, or if cond has another number of rows.
    Cost: one pass of the generator.
    """
    checks.noun(model, Adversarial, "model")
    check_both(params, state)
    num, train = checks.positive_int(num, "num"), checks.flag(train, "train")
    checks.key(key)
    _check_cond(model, cond, num, "num")
    return drawn(model, params["generator"], state, key, num, cond, train)[1]


@checks.spelled
def critic_loss(
    model: Adversarial,
    game: Game,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    state: State,
    penalty: Callable[..., Array] | None = None,
    penalty_weight: float | Array = 1.0,
) -> tuple[Array, tuple[Metrics, State]]:
    """L(D_φ(x), D_φ(G_θ(z))) + λ R for L = game.critic and a penalty R: the loss of the critic.

    D_φ is the critic, G_θ the generator; L is a mean over the batch. There are as many samples
    G_θ(z), z ~ p(z), as rows of x.

    model: made by `combinators.adversarial`; game: such as `hinge()`

    params, state: of both players, {"generator": ..., "critic": ...}. θ gets no gradient
    key: draws z, the noise of both nets and that of the penalty
    x: data [batch, *shape]. cond: one condition per row, given to both nets
    penalty: R, penalty(critic, key, real, fake) -> scalar with a function critic: x -> values
        [batch], such as `gradient_penalty` (with λ = 10 that of WGAN-GP) and `r1`. To add several,
        write a function. It is refused for a critic with batch normalisation
    penalty_weight: λ ≥ 0, a number or a weight of the step

    Returns (loss, (metrics, state)) with state["critic"] updated. Data and samples are two batches
    for the critic; the batch statistics of both are averaged, and states that depend on the weights
    only, such as singular vectors of spectral normalisation, are updated once. Metrics: "real" and
    "fake", the mean values of the critic, and "penalty", R, if there is one. Cost: one pass of the
    generator and two of the critic, without the penalty.
    """
    check_game(model, game, params, key, x, cond, state)
    penalty_weight = _weight(penalty_weight)
    if penalty is not None:
        checks.function(penalty, "penalty")
        _check_penalised(state["critic"])
    z_key, real_key, fake_key, penalty_key = jax.random.split(key, 4)
    _, fake, _ = drawn(model, params["generator"], state, z_key, len(x), cond, True)
    check_like(x, fake)
    fake = jax.lax.stop_gradient(fake)
    critic = _critic(model, params["critic"], state, cond)
    (real_values, seen), (fake_values, seen_fake) = critic(x, real_key), critic(fake, fake_key)
    loss = game.critic(real_values, fake_values)
    metrics = {"real": real_values.mean(), "fake": fake_values.mean()}
    if penalty is not None:
        value = penalty(lambda x: critic(x, None)[0], penalty_key, x, fake)
        checks.floating(value, "the result of penalty", ())
        loss, metrics = loss + penalty_weight * value, metrics | {"penalty": value}
    return loss, (metrics, state | {"critic": jax.tree.map(mean_state, seen, seen_fake)})


def generator_loss(
    model: Adversarial,
    game: Game,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    state: State,
) -> tuple[Array, tuple[Metrics, State]]:
    """L(D_φ(G_θ(z)), D_φ(x)) for L = game.generator: the loss of the generator.

    D_φ is the critic, G_θ the generator; L is a mean over the batch. There are as many samples
    G_θ(z), z ~ p(z), as rows of x.

    model: made by `combinators.adversarial`; game: such as `hinge()`

    params, state: of both players, {"generator": ..., "critic": ...}. φ gets no gradient
    key: draws z and the noise of both nets
    x: data [batch, *shape]. cond: one condition per row, given to both nets

    Returns (loss, (metrics, state)) with state["generator"] updated; the metric "fake" is the mean
    of D_φ(G_θ(z)). Cost: one pass of both nets; most games do not use D_φ(x), which is then not
    computed under `jit`.
    """
    check_game(model, game, params, key, x, cond, state)
    z_key, fake_key, real_key = jax.random.split(key, 3)
    _, fake, moved = drawn(model, params["generator"], state, z_key, len(x), cond, True)
    check_like(x, fake)
    critic = _critic(model, jax.lax.stop_gradient(params["critic"]), state, cond)
    fake_values, real_values = critic(fake, fake_key)[0], critic(x, real_key)[0]
    loss = game.generator(fake_values, real_values)
    return loss, ({"fake": fake_values.mean()}, state | {"generator": moved})


def feature_matching(features: Callable[[Array], Array], real: Array, fake: Array) -> Array:
    """‖E f(x) - E f(G(z))‖²: a loss of the generator, by features f of the critic.

    features: f, x [batch, ...] -> [batch, ...], such as a layer of the critic
    real, fake: batches of data and of samples, [batch, ...] of one event shape; they may differ in
        size

    Returns a scalar, the squared norm over all features. Salimans et al. (2016), "Improved
    techniques for training GANs", section 3.1.
    """
    checks.function(features, "features")
    check_rows(real, fake)
    of_real, of_fake = features(real), features(fake)
    checks.floating(of_real, "the result of features")
    difference = of_real.mean(0) - of_fake.mean(0)
    return jnp.square(difference).sum()


# -------------------------------------------------------------------- what other games need too
def drawn(
    model: Adversarial,
    params: Params,
    state: State,
    key: Key,
    num: int,
    cond: Array | None,
    train: bool,
) -> tuple[Array, Array, State]:
    """(z, x, the generator's state): samples x with the generator's parameters."""
    z_key, noise_key = jax.random.split(key)
    conditional = model.prior.cond_shape is not None
    prior = model.prior.dist({}, cond) if conditional else model.prior.dist({})
    z = prior.sample(seed=z_key, sample_shape=() if conditional else (num,))
    seen = () if cond is None else (cond,)
    x, moved = model.generator.apply(
        params, state["generator"], z, *seen, train=train, key=noise_key
    )
    return z, x, moved


def _critic(model, params, state, cond):
    """x, key -> (values [batch], the critic's state)."""
    seen = () if cond is None else (cond,)

    def critic(x, key):
        values, moved = model.critic.apply(params, state["critic"], x, *seen, train=True, key=key)
        if jnp.ndim(values) != 1:
            raise checks.InputError(
                "the critic must return one value for each sample, [batch]; got shape "
                f"{jnp.shape(values)} for x of {jnp.shape(x)}."
            )
        return values, moved

    return critic


def mean_state(a: Array, b: Array) -> Array:
    """The mean of two states, where parts that are equal in both stay exactly."""
    return (a + b) / 2 if jnp.issubdtype(a.dtype, jnp.inexact) else a


def check_both(params: Params, state: State) -> None:
    """Checks that both hold an entry for the generator and one for the critic."""
    for tree, name in ((params, "params"), (state, "state")):
        if not isinstance(tree, dict) or not {"generator", "critic"} <= tree.keys():
            raise checks.InputError(
                f"{name} must be {{'generator': ..., 'critic': ...}}, of model.init(key); got "
                f"{checks.shown(tree)}."
            )


def check_game(
    model: Adversarial,
    game: Game,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None,
    state: State,
) -> None:
    """Checks the arguments of a loss of a game."""
    checks.noun(model, Adversarial, "model")
    checks.noun(game, Game, "game")
    check_both(params, state)
    checks.key(key)
    checks.floating(x, "x")
    if jnp.ndim(x) < 2 or not len(x):
        raise checks.InputError(f"x must be rows of data, [batch, ...]; got {jnp.shape(x)}.")
    _check_cond(model, cond, len(x), "the rows of x")


def check_like(x: Array, fake: Array) -> None:
    """Checks that data and samples have the same shape."""
    if x.shape != fake.shape:
        raise checks.InputError(
            f"x must have the shape of the samples, {fake.shape}; got {x.shape}."
        )


def _check_cond(model, cond, num, of):
    if (batch := checks.condition(cond, model.cond_shape)) not in ((), (num,)) or (
        cond is not None and batch == ()
    ):
        raise checks.InputError(
            f"cond must have one condition for each sample, as many as {of}, {num}; got {batch}."
        )


def _check_penalised(state):
    if isinstance(state, dict) and "batch_stats" in state:
        raise checks.InputError(
            "a penalty on gradients needs values that depend on one sample each; the critic has "
            "batch normalisation, which mixes them. Use spectral or layer normalisation there."
        )


def _weight(value):
    """A number of at least 0, or one that a step computes."""
    if isinstance(value, jax.Array):
        return value
    return checks.not_negative(value, "penalty_weight")
