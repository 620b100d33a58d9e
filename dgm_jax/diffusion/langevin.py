"""Samples from a score alone: Langevin dynamics, with a correction, and from much noise to little.

`learning.langevin` is the same step as an `Algorithm`, for dynamics on batches and long runs.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import in_a_row, row_sums
from ..protocol import Array, Key, Rows


@checks.spelled
def unadjusted_langevin(
    score: Callable[[Array], Array], key: Key, x: Array, *, step_size: float, num_steps: int
) -> Array:
    """x ← x + η s(x) + √(2η) ξ, ξ ~ N(0, I), num_steps times: Langevin dynamics with s = ∇ log p.

    score: s, [num, *event] -> [num, *event]
    key: draws ξ
    x: the starts of the chains, [num, *event]; returns their ends, of the same shape
    step_size: η; num_steps: how often it is made

    The samples have the law p up to an error of order η; for p = N(0, s²) the variance is s² / (1 -
    η / 2s²). Between modes that are far apart chains do not move in practicable time: how many end
    in each depends on the starts, not on the weights of the modes. Cost: num_steps scores, one
    compiled loop. Roberts and Tweedie (1996), "Exponential convergence of Langevin distributions
    and their discrete approximations".
    """
    eta, num_steps = _checked(score, key, x, step_size, num_steps)
    return jax.lax.fori_loop(0, num_steps, _step(score, key, eta), x)


@checks.spelled
def metropolis_langevin(
    log_prob: Callable[[Array], Array], key: Key, x: Array, *, step_size: float, num_steps: int
) -> tuple[Array, Array]:
    """y = x + η ∇ log p(x) + √(2η) ξ, accepted with min(1, p(y) q(x | y) / p(x) q(y | x)): MALA.

    ξ ~ N(0, I), and q(y | x) is the density of this proposal, N(y; x + η ∇ log p(x), 2η I); a chain
    whose step is rejected stays at x. The stationary distribution is p exactly, without the error
    of `unadjusted_langevin`.

    log_prob: log p, x [num, *event] -> [num], up to a constant; it must be differentiable
    key: draws ξ and the acceptances
    x: the starts of the chains, [num, *event]
    step_size: η, above 0
    num_steps: the number of proposals

    Returns (x after num_steps steps, the share of accepted steps of each chain [num]). In many
    dimensions a share near 0.57 is best; a smaller step_size raises it. Cost: num_steps + 1
    gradients, one compiled loop. Roberts and Tweedie (1996), "Exponential convergence of Langevin
    distributions and their discrete approximations"; Roberts and Rosenthal (1998) for 0.57.
    """
    eta, num_steps = _checked(log_prob, key, x, step_size, num_steps, "log_prob")

    def both(x):
        value, pull = jax.vjp(log_prob, x)
        return value, pull(jnp.ones_like(value))[0]

    def log_step(y, x, slope):
        return -row_sums(jnp.square(y - x - eta * slope)) / (4 * eta)

    def body(i, state):
        x, value, slope, accepted = state
        noise_key, accept_key = jax.random.split(jax.random.fold_in(key, i))
        noise = in_a_row(jax.random.normal, noise_key, x.shape, x.dtype)
        y = x + eta * slope + jnp.sqrt(2 * eta) * noise
        value_y, slope_y = both(y)
        log_ratio = value_y - value + log_step(x, y, slope_y) - log_step(y, x, slope)
        taken = jnp.log(jax.random.uniform(accept_key, value.shape, x.dtype)) < log_ratio

        def either(new, old):
            return jnp.where(taken.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        state = [either(*pair) for pair in ((y, x), (value_y, value), (slope_y, slope))]
        return *state, accepted + taken

    value, slope = both(x)
    start = (x, value, slope, jnp.zeros(len(x)))
    x, _, _, accepted = jax.lax.fori_loop(0, num_steps, body, start)
    return x, accepted / max(num_steps, 1)


@checks.spelled
def annealed_langevin(
    score: Callable[[Array, Array], Array],
    key: Key,
    x: Array,
    sigmas: Sequence[float] | Rows,
    *,
    step_size: float,
    num_steps: int,
    denoise: bool = True,
) -> Array:
    """x ← x + η_i s(x, σ_i) + √(2η_i) ξ, with η_i = η σ_i² / σ_L², at noise levels σ_1 > ... > σ_L.

    ξ ~ N(0, I). num_steps steps of Langevin dynamics at each level, each level started from the
    samples of the one before. At σ_1, as wide as the data are apart, chains move between the modes
    and forget their start, so that modes get their weights.

    score: (x [num, *event], σ) -> s(x, σ) = ∇ log p_σ(x) [num, *event], p_σ the law of the data
        with noise N(0, σ² I) added
    key: draws ξ
    x: the starts of the chains, [num, *event], such as draws of N(0, σ_1² I); returns their ends
    sigmas: σ_1, ..., σ_L, decreasing, else `InputError`
    step_size: η, the step at σ_L. The ratio of a step to its noise is the same at all levels
    num_steps: the steps at each level
    denoise: whether to end with x + σ_L² s(x, σ_L), the mean of the data given x (Tweedie's
        formula). Without it noise of σ_L remains; with it samples have the spread of that mean,
        which is too small unless σ_L is far below every scale of the data: of N(0, 1) the variance
        is 1 / (1 + σ_L²)

    Cost: L num_steps scores, one compiled loop. Song and Ermon (2019), "Generative modeling by
    estimating gradients of the data distribution", algorithm 1; Jolicoeur-Martineau et al. (2021),
    "Adversarial score matching and improved sampling", for the last step.
    """
    eta, num_steps = _checked(score, key, x, step_size, num_steps)
    if not isinstance(sigmas, (list, tuple)):
        sigmas = checks.on_host(sigmas, "sigmas")
        if sigmas.ndim != 1:
            raise checks.InputError(f"sigmas must be [L] numbers; got shape {sigmas.shape}.")
    levels = tuple(checks.positive(s, "each of sigmas") for s in sigmas)
    if not levels or any(b >= a for a, b in zip(levels, levels[1:])):
        raise checks.InputError(f"sigmas must fall, from most noise to least; got {levels}.")
    denoise = checks.flag(denoise, "denoise")
    last = levels[-1]

    def at_level(x, at):
        key, sigma = at
        step = _step(lambda x: score(x, sigma), key, eta * (sigma / last) ** 2)
        return jax.lax.fori_loop(0, num_steps, step, x), None

    keys = jax.random.split(key, len(levels))
    x, _ = jax.lax.scan(at_level, x, (keys, jnp.asarray(levels, x.dtype)))
    return x + last**2 * score(x, jnp.asarray(last, x.dtype)) if denoise else x


def _step(score, key, eta):
    def body(i, x):
        noise = in_a_row(jax.random.normal, jax.random.fold_in(key, i), x.shape, x.dtype)
        return x + eta * score(x) + jnp.sqrt(2 * eta) * noise

    return body


def _checked(function, key, x, step_size, num_steps, name="score"):
    checks.function(function, name)
    checks.key(key)
    checks.floating(x, "x")
    if not jnp.ndim(x) or not np.size(x):
        raise checks.InputError(f"x must be chains [num, *event]; got shape {jnp.shape(x)}.")
    return checks.positive(step_size, "step_size"), checks.positive_int(num_steps, "num_steps")
