"""What a denoiser is trained by: squared errors of a target, and bounds of log p(x) in nats.

The times of a batch are t_i = t_0 + (t_1 - t_0) ((u + i / B) mod 1): one uniform number u for all
of them. Each is uniform, and together they cover the range evenly, which takes most of the variance
that comes from t out of the loss. Kingma et al. (2021), appendix I.1.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from .. import checks
from ..arrays import row_sums, wide
from ..distributions import DiscretizedNormal
from ..protocol import Array, Key, Metrics, Params
from .chain import CLEAN, Level, level, step, variance
from .denoiser import TARGETS, Denoiser, Prediction, noised, target_of, times_of
from .process import Process, beside, log_snr, times


class Terms(NamedTuple):
    """-log p(x) ≤ prior + steps + reconstruction: the terms of a bound, in nats, each [batch].

    prior: KL(q(x_{t_1} | x) ‖ N(0, s² I)), s the `scale` of the process, at the end of the process
        where x is noise
    steps: Σ E KL(q(x_s | x_t, x) ‖ p(x_s | x_t)) over the steps of a chain from t to s, or in
        continuous time ½ ∫ -λ'_t E‖ε - ε_θ(x_t)‖² dt, λ_t = log(α_t² / σ_t²)
    reconstruction: -E log p(x | x_{t_0}), at the end where x is nearly clean
    total: their sum, the bound
    """

    prior: Array  # KL(q(x_1 | x) ‖ N(0, scale² I))
    steps: Array  # Σ E KL(q(x_s | x_t, x) ‖ p(x_s | x_t)), or its integral
    reconstruction: Array  # -E log p(x | x_t) at the first time

    @property
    def total(self) -> Array:
        """prior + steps + reconstruction, the bound of -log p(x), [batch], in nats."""
        return self.prior + self.steps + self.reconstruction


def spread(key: Key, num: int, dtype: DTypeLike = float) -> Array:
    """u_i = (u + i / num) mod 1, i = 0..num-1, for one u ~ U[0, 1): [num].

    Each u_i is uniform in [0, 1), and together they cover the range evenly. Kingma et al. (2021),
    "Variational diffusion models", appendix I.1.

    num: how many; dtype: of the result, floating-point
    """
    return (jax.random.uniform(key, (), dtype) + jnp.arange(num, dtype=dtype) / num) % 1


def drawn_times(key: Key, process: Process, num: int, dtype: DTypeLike = float) -> Array:
    """t_i = t_0 + (t_1 - t_0) ((u + i / num) mod 1), for one u ~ U[0, 1): times of a batch, [num].

    Each t_i is uniform between the ends t_0, t_1 of the process, and together they cover the range
    evenly.

    process: gives the ends; num: the rows of the batch; dtype: of the result, floating-point
    """
    first, last = process.ends
    return first + (last - first) * spread(key, num, dtype)


def simple_loss(
    model: Denoiser,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    target: str | None = None,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """E_{t, ε} ‖target - target_θ(x_t)‖² / d, x_t = α_t x + σ_t ε, t uniform: L_simple of DDPM.

    α and σ are those of the model's process, ε ~ N(0, I), and t lies between the ends t_0 and t_1
    of the process. Each row has one t and one ε; the times of a batch are spread evenly.

    model: made by `denoiser`; params: its parameters
    key: draws times and noise
    x: real numbers [n, *shape], of d entries each; cond: [n, *cond_shape], or None
    target: "noise" (ε), "data" (x), "v" ((α ε - σ x) / √(α² + σ²)), "score" (-ε / σ) or "velocity"
        (α' x + σ' ε, the derivative of x_t by t). By default that which the net predicts; its
        prediction of any target follows from x_t and that one. "noise" is L_simple of Ho et al.
        (2020), equation 14; "velocity" with the process `straight` is flow matching; "score" is
        denoising score matching, the loss of "noise" with each time weighted by 1 / σ_t²
    parts_key: for the dropout of the net, which is off without it

    Returns (loss, {"loss"}), the mean over the n rows. Cost: one pass of the net.
    """
    x = _data(model, params, key, x, parts_key)
    target = model.target if target is None else target
    checks.choice(target, TARGETS, "target")
    process = model.process(params)
    time_key, noise_key = jax.random.split(key)
    t = drawn_times(time_key, process, len(x), x.dtype)
    noisy, noise = noised(noise_key, process, x, t)
    found = model.predict(params, noisy, t, cond, key=parts_key)
    if target == model.target:
        error = found.target - target_of(target, process, x, noise, t)
    else:
        error = target_of(target, process, found.data - x, found.noise - noise, t)
    loss = jnp.square(error).mean()
    return loss, {"loss": loss}


def continuous_bound(
    model: Denoiser,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_levels: int | None = None,
    parts_key: Key | None = None,
) -> Terms:
    """-log p(x) ≤ KL at t_1 + ½ ∫ -λ'_t E‖ε - ε_θ(x_t)‖² dt - E log p(x | x_{t_0}), by one t a row.

    The bound in continuous time, the limit of `chain_bound` for T → ∞ steps. Here x_t = α_t x + σ_t
    ε, t runs from t_0 (nearly clean) to t_1 (noise), λ_t = log(α_t² / σ_t²), λ'_t its derivative
    and ε_θ the prediction of E[ε | x_t]. The KL at t_1 is that of q(x_{t_1} | x) from N(0, s² I),
    with s the `scale` of the process, the standard deviation of its noise at t_1. The integral is
    one over λ, and so depends only on the ends of the schedule; the curve between them changes the
    variance of this estimate, which takes one time t for each row.

    model: made by `denoiser`; params: its parameters
    key: draws times and noise
    x: [n, *shape]; cond: [n, *cond_shape], or None
    num_levels: if given, x are integer levels 0..K-1, which the net sees in [-1, 1], and p(x |
        x_{t_0}) is proportional to N(x_{t_0}; α x, σ² I) over the levels of each entry, with α and
        σ at t_0; otherwise x are real numbers, with p(x | x_{t_0}) = N(x; x_{t_0} / α, σ² / α² I)
    parts_key: for the dropout of the net, which is off without it

    Returns `Terms`: `prior` (the KL), `steps` (the integral), `reconstruction` (the last term, with
    its sign) and `total`, their sum, each [n], in nats.

    Cost: one pass of the net. Kingma et al. (2021), "Variational diffusion models", equations 11 to
    18.
    """
    given = as_given(model, params, key, x, cond, num_levels, parts_key)
    time_key, noise_key, first_key = jax.random.split(key, 3)
    t = drawn_times(time_key, given.process, len(x), given.x.dtype)
    return continuous_ends(given, first_key)._replace(steps=slope(given, noise_key, t))


def bound_loss(
    model: Denoiser,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_levels: int | None = None,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """KL at t_1 + ½ ∫ -λ'_t E‖ε - ε_θ(x_t)‖² dt - E log p(x | x_{t_0}), in nats: a loss.

    The loss of a variational diffusion model: the mean over rows of the bound of -log p(x) in
    continuous time (`continuous_bound`), with one time t per row. x_t = α_t x + σ_t ε, t from t_0
    (nearly clean) to t_1 (noise), λ_t = log(α_t² / σ_t²) with derivative λ'_t, ε_θ the prediction
    of E[ε | x_t], and the KL that of q(x_{t_1} | x) from the normal from which sampling starts.

    model: made by `denoiser`; params: its parameters
    key: draws times and noise
    x: [n, *shape]; cond: [n, *cond_shape], or None
    num_levels: K if x are integer levels 0..K-1; None for real numbers
    parts_key: for the dropout of the net, which is off without it

    Returns (loss, {"loss", "prior", "steps", "reconstruction"}): the loss is the sum of the three
    terms of the formula, in this order, each a mean over rows. Cost: one pass of the net. Kingma et
    al. (2021), "Variational diffusion models".
    """
    terms = continuous_bound(
        model, params, key, x, cond, num_levels=num_levels, parts_key=parts_key
    )
    loss = terms.total.mean()
    means = {name: value.mean() for name, value in terms._asdict().items()}
    return loss, {"loss": loss, **means}


@checks.spelled
def chain_bound(
    model: Denoiser,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_steps: int,
    num_levels: int | None = None,
    kind: str | Callable = "posterior",
    every: bool = True,
    parts_key: Key | None = None,
) -> Terms:
    """-log p(x) ≤ KL(q(x_T | x) ‖ p(x_T)) + Σ_i E KL(q(x_{i-1} | x_i, x) ‖ p) - E log p(x | x_1).

    The bound of a chain of T = num_steps times of the process, x_1 nearly clean and x_T noise. Its
    reverse steps are p(x_{i-1} | x_i) = N(m_θ, v I), with m_θ the mean of q(x_{i-1} | x_i, x) at
    the x that the model predicts, and p(x_T) the normal from which sampling starts. Returns
    `Terms`: `prior` (the KL at T), `steps` (the sum), `reconstruction` (the last term, with its
    sign) and `total`, their sum, each [n], in nats.

    model: made by `denoiser`; params: its parameters
    key: draws x_i
    x: [n, *shape]; cond: [n, *cond_shape], or None
    num_steps: T, at least 2
    num_levels: if given, x are integer levels 0..K-1, which the net sees in [-1, 1], and p(x | x_1)
        is the normal of the last step, integrated over the interval of each level; the two outer
        levels take the tails. Otherwise x are real numbers with that normal as their density
    kind: the variance v: "posterior", that of q(x_{i-1} | x_i, x); "upper", that of q(x_i |
        x_{i-1}); "learned", between the two in log v by the net's own weight for each entry; or a
        function (s, t) -> v of ((α_s, σ_s), (α_t, σ_t)) at the times s < t of a step
    every: True sums over all steps with one draw of x_i each, for T passes of the net; False takes
        T - 1 times one step, drawn for each row, for two passes. Both are unbiased
    parts_key: for the dropout of the net, which is off without it

    Ho et al. (2020), "Denoising diffusion probabilistic models", equation 5.
    """
    given = as_given(model, params, key, x, cond, num_levels, parts_key)
    every = checks.flag(every, "every")
    grid = times(given.process, num_steps).astype(given.x.dtype)
    step_key, noise_key, first_key = jax.random.split(key, 3)
    if every:
        keys = jax.random.split(noise_key, num_steps - 1)

        def add(total, at):
            key, i = at
            kl = step_kl(given, key, grid, jnp.full(len(x), i), kind)
            return total + kl.astype(total.dtype), None

        indices = jnp.arange(1, num_steps)
        steps = jax.lax.scan(add, jnp.zeros(len(x), wide(given.x)), (keys, indices))[0]
    else:
        i = 1 + (spread(step_key, len(x)) * (num_steps - 1)).astype(int)
        i = jnp.minimum(i, num_steps - 1)
        steps = (num_steps - 1) * step_kl(given, noise_key, grid, i, kind)
    return chain_ends(given, first_key, grid, kind)._replace(steps=steps)


@checks.spelled
def hybrid_loss(
    model: Denoiser,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_steps: int,
    num_levels: int | None = None,
    weight: float = 0.001,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """E ‖target - target_θ(x_t)‖² / d + weight · L / d: a denoiser learns its variances, too.

    The first term is `simple_loss`, the mean squared error of what the net predicts, such as the
    noise ε of x_t = α_t x + σ_t ε, over the d entries of x. L is the bound of -log p(x) in nats,

        L = KL(q(x_T | x) ‖ p(x_T)) + Σ_i KL(q(x_{i-1} | x_i, x) ‖ N(m_θ, v)) - log p(x | x_1)

    of a chain of T times, as in `chain_bound`, with learned variances v for each entry: log v = f
    log β + (1 - f) log β̃, f from the net, β the variance of q(x_i | x_{i-1}) and β̃ that of
    q(x_{i-1} | x_i, x); for p(x | x_1), where β̃ is 0, v = e^f β. The sum is estimated by T - 1
    times one step, drawn for each row. The gradient of L reaches the net through f only: the means
    m_θ are trained by the first term.

    model: made with `denoiser(..., learned_variance=True)`, else `InputError`
    params: those of the model
    key: draws times, steps and noise
    x: [n, *shape]; cond: [n, *cond_shape], or None
    num_steps: T, at least 2
    num_levels: K if x are integer levels 0..K-1, which the net sees in [-1, 1]; None for real
        numbers
    weight: at least 0; small, so that the noisy gradient of L does not disturb the first term
    parts_key: for the dropout of the net, which is off without it

    Returns (loss, {"loss", "simple", "bound"}), means over the rows: "simple" is the first term and
    "bound" is L / d, before it is weighted. Cost: three passes of the net. Nichol and Dhariwal
    (2021), "Improved denoising diffusion probabilistic models", equation 16 and section 3.1.
    """
    weight = checks.not_negative(weight, "weight")
    given = as_given(model, params, key, x, cond, num_levels, parts_key)
    simple_key, bound_key = jax.random.split(key)
    simple, _ = simple_loss(model, params, simple_key, given.x, cond, parts_key=parts_key)

    def predict(params, *args, **options):
        found = model.predict(params, *args, **options)
        held = jax.lax.stop_gradient((found.data, found.noise))
        return found._replace(data=held[0], noise=held[1])

    terms = chain_bound(
        model._replace(predict=predict),
        params,
        bound_key,
        x,
        cond,
        num_steps=num_steps,
        num_levels=num_levels,
        kind="learned",
        every=False,
        parts_key=parts_key,
    )
    bound = terms.total.mean() / given.x[0].size
    loss = simple + weight * bound
    return loss, {"loss": loss, "simple": simple, "bound": bound}


# --------------------------------------------------------------------------------------- the parts
class Given(NamedTuple):
    """The arguments of a bound, checked: what `continuous_bound` and `chain_bound` compute with.

    x: real numbers [batch, *shape]; levels: the integers that x stands for, or None
    process: α and σ of the model with these parameters
    model, params, cond, num_levels, parts_key: as given to the bound
    """

    model: Denoiser
    params: Params
    process: Process
    x: Array  # numbers, [batch, *shape]
    levels: Array | None  # where they stand for levels
    cond: Array | None
    num_levels: int | None
    parts_key: Key | None

    def predict(self, noisy: Array, t: Array) -> Prediction:
        return self.model.predict(self.params, noisy, t, self.cond, key=self.parts_key)


def as_given(
    model: Denoiser,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None,
    num_levels: int | None,
    parts_key: Key | None,
) -> Given:
    """`Given`: the arguments of a bound after checking them; levels become numbers in [-1, 1].

    model, params, key, x, cond, num_levels, parts_key: those of `continuous_bound`; x is [batch,
        *shape]. Wrong ones raise `InputError`.
    """
    levels = None
    if num_levels is not None:
        num_levels = checks.positive_int(num_levels, "num_levels", least=2)
        checks.noun(model, Denoiser, "model")
        checks.levels_of(x, model.shape, num_levels)
        x, levels = scaled(x, num_levels), x
    x = _data(model, params, key, x, parts_key)
    return Given(model, params, model.process(params), x, levels, cond, num_levels, parts_key)


def scaled(levels: Array, num_levels: int) -> Array:
    """x = 2 k / (K - 1) - 1: integer levels k in 0..K-1, spread evenly over [-1, 1].

    levels: k, integers of any shape; others raise `InputError`. The result is float, of the same
        shape
    num_levels: K, at least 2
    """
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    checks.array(levels, "levels")
    if not jnp.issubdtype(jnp.result_type(levels), jnp.integer):
        raise checks.InputError(
            f"levels must be integers in 0..{num_levels - 1}; got {jnp.result_type(levels)}."
        )
    return jnp.asarray(levels, float) * (2 / (num_levels - 1)) - 1


def decoded(process: Process, noisy: Array, levels: Array, num_levels: int) -> Array:
    """log p(x | x_t) = Σ log softmax_v(-(x_t - α v)² / 2σ²) at the first time t; [batch], in nats.

    The sum is over the entries of x, each of which has the posterior of its level given x_t = α x +
    σ ε, by Bayes' rule with all levels equally likely. v runs over the K levels, scaled to [-1, 1].

    process: gives t_0, α and σ
    noisy: x_t [batch, *shape]
    levels: x as integers [batch, *shape]; -∞ if one is outside 0..K - 1
    num_levels: K
    """
    first = jnp.asarray(process.ends[0], noisy.dtype)
    points = scaled(jnp.arange(num_levels), num_levels)
    gaps = (noisy[..., None] - process.alpha(first) * points) / process.sigma(first)
    logits = -jnp.square(gaps) / 2
    at = jnp.take_along_axis(logits, levels[..., None].astype(int), -1)[..., 0]
    at = jnp.where((levels >= 0) & (levels < num_levels), at, -jnp.inf)  # else -1 is the last level
    return row_sums(at - jax.nn.logsumexp(logits, -1))


def slope(given: Given, key: Key, t: Array) -> Array:
    """(t_1 - t_0) (-λ'_t) ½ ‖ε - ε_θ(x_t)‖², whose mean over t is the integral; [batch], in nats.

    One pass of the net. λ is the log-SNR, and t_0, t_1 are the ends of the process.

    given: the arguments of the bound; key: draws ε; t: the times [batch]
    """
    process, x = given.process, given.x
    noisy, noise = noised(key, process, x, t)
    found = given.predict(noisy, t)
    rate = jax.jvp(lambda t: log_snr(process, t), (t,), (jnp.ones_like(t),))[1]
    first, last = process.ends
    return -(last - first) / 2 * rate * row_sums(jnp.square(noise - found.noise))


def continuous_ends(given: Given, key: Key) -> Terms:
    """`Terms` with steps 0: KL(q(x_{t_1} | x) ‖ N(0, scale² I)), -log p(x | x_{t_0}), each [batch].

    given: the arguments of `continuous_bound`; key: draws x_{t_0}. No pass of the net; in nats.
    """
    process, x = given.process, given.x
    first = jnp.full(len(x), process.ends[0], x.dtype)
    noisy, _ = noised(key, process, x, first)
    if given.levels is None or given.num_levels is None:
        alpha, sigma = process.alpha(first), process.sigma(first)
        log_p = _normal(x, noisy / beside(alpha, x), beside(sigma / alpha, x))
    else:
        log_p = decoded(process, noisy, given.levels, given.num_levels)
    return Terms(_prior(process, x), jnp.zeros_like(log_p), -log_p)


def step_kl(given: Given, key: Key, grid: Array, i: Array, kind: str | Callable) -> Array:
    """KL(N(m, β̃ I) ‖ N(m_θ, v I)) of the reverse step from time t_i to t_{i-1}, in nats, [batch].

    ½ Σ [β̃ / v - 1 - log(β̃ / v) + c² (x - x_θ)² / v], the sum over the entries of x, with c =
    ∂m/∂x, the variance β̃ of q(x_{i-1} | x_i, x), and the prediction x_θ. One pass of the net.

    given: the arguments of `chain_bound`; key: draws x_i
    grid: t_1, ..., t_T, [T]; i: which step, by its index in the grid, integers in 1..T-1, [batch]
    kind: the variance v, as in `chain_bound`
    """
    process, x = given.process, given.x
    noisy, _ = noised(key, process, x, grid[i])
    found = given.predict(noisy, grid[i])
    s, t = level(process, grid[i - 1]), level(process, grid[i])
    of = step(s, t)
    v = beside(variance(kind, s, t, found.fraction), x)
    ratio = beside(of.lower, x) / v
    gap = jnp.square(beside(of.by_data, x) * (x - found.data)) / v
    return row_sums(ratio - 1 - jnp.log(ratio) + gap) / 2


def chain_ends(given: Given, key: Key, grid: Array, kind: str | Callable) -> Terms:
    """`Terms` with steps 0: KL(q(x_T | x) ‖ N(0, scale² I)), -log p(x | x_1), each [batch], nats.

    given: the arguments of `chain_bound`; key: draws x_1
    grid: the times t_1, ..., t_T, [T]; kind: the variance of the last step, as in `chain_bound`

    One pass of the net.
    """
    process, x = given.process, given.x
    t = jnp.full(len(x), grid[0])
    noisy, _ = noised(key, process, x, t)
    found = given.predict(noisy, t)
    of_data = Level(*(jnp.full(len(x), a, x.dtype) for a in CLEAN))
    std = jnp.sqrt(beside(variance(kind, of_data, level(process, t), found.fraction), x))
    if given.levels is None or given.num_levels is None:
        log_p = _normal(x, found.data, std)
    else:
        cut = DiscretizedNormal(found.data, jnp.log(std), num_levels=given.num_levels)
        log_p = row_sums(cut.log_prob(given.levels))
    return Terms(_prior(process, x), jnp.zeros_like(log_p), -log_p)


def _prior(process, x):
    """KL(N(α x, σ² I) ‖ N(0, scale² I)) at t_1."""
    last = jnp.asarray(process.ends[1], x.dtype)
    ratio = (process.sigma(last) / process.scale) ** 2
    mean = process.alpha(last) * x / process.scale
    return row_sums(ratio - 1 - jnp.log(ratio) + jnp.square(mean)) / 2


def _normal(x, mean, std):
    """log N(x; mean, std²)"""
    return row_sums(-jnp.square((x - mean) / std) / 2 - jnp.log(std) - jnp.log(2 * jnp.pi) / 2)


def _data(model, params, key, x, parts_key):
    checks.noun(model, Denoiser, "model")
    checks.key(key)
    if parts_key is not None:
        checks.key(parts_key, "parts_key")
    checks.parameters(params, model.init)
    checks.rows_of(x, "x")
    checks.event_of(x, model.shape)
    times_of(0.0, x, model.shape)
    return x
