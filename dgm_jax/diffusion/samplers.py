"""From noise to samples: chains, and solvers of the ODE, of one trained denoiser.

The ODE is dx/dt = u(x, t). In y = x / α against ρ = σ / α that of every process is dy/dρ =
E[ε | x_t], a straight line where the predicted noise does not change; Euler's step of it is DDIM's,
and DPM-Solver-2 its midpoint in log ρ. Heun's step is of the first form. Both are of second order,
for two passes a step.

Sample i draws its noise from a key of its own, so that it is the same in any batch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import in_a_row
from ..protocol import Array, Key, Params
from .chain import level, step, variance
from .denoiser import Denoiser
from .process import Process, beside, slopes, times


@checks.spelled
def sample(
    model: Denoiser,
    params: Params,
    key: Key,
    num: int,
    cond: Array | None = None,
    *,
    num_steps: int,
    eta: float = 1.0,
    kind: str | Callable = "posterior",
    clip: float | None = None,
) -> Array:
    """x_s = α_s x_θ + √(σ_s² - v) ε_θ + √v ξ down T times of the process: [num, *shape].

    eta = 1 draws from the reverse chain, "ancestral sampling", with v as `chain.variance` has it
    for `kind`; eta = 0 is the deterministic DDIM, with v = eta² β̃ between them. The last step
    has no noise: x = x_θ. cond: [num, *cond_shape]. clip: of images in [-1, 1], 1.0 keeps x_θ
    there. num_steps: T. Cost: T passes, one compiled loop. Song et al. (2021), "Denoising diffusion
    implicit models", equation 12; Ho et al. (2020), algorithm 2.
    """
    process, grid, clip = _start(model, params, key, num, num_steps, cond, clip)
    eta = checks.not_negative(eta, "eta")
    if eta > 1:
        raise checks.InputError(f"eta must be in [0, 1]; got {eta}.")
    if eta != 1 and kind != "posterior":
        raise checks.InputError(f'kind must be "posterior" where eta is not 1; got {kind!r}.')

    def body(state, at):
        (x, _), (i, s, t) = state, at
        of_s, of_t = (level(process, jnp.full(num, time)) for time in (s, t))
        found = _predict(model, params, x, t, cond, clip)
        v = eta**2 * beside(variance(kind, of_s, of_t, found.fraction), x)
        # The mean is that of the posterior whatever variance is drawn around it.
        left = of_s.sigma**2 - eta**2 * step(of_s, of_t).lower
        kept = jnp.sqrt(jnp.maximum(left, 0))
        x = beside(of_s.alpha, x) * found.data + beside(kept, x) * found.noise
        x = x + jnp.sqrt(v) * _noise(key, i, num, model.shape, x.dtype)
        return (x, found.data), None

    # One turn more, of which the prediction is taken and x is not: so the net is compiled once.
    x = _first(process, key, num, model.shape)
    turns = jnp.arange(len(grid)), jnp.append(grid[-2::-1], grid[0]), grid[::-1]
    return jax.lax.scan(body, (x, x), turns)[0][1]


def heun(
    model: Denoiser,
    params: Params,
    key: Key,
    num: int,
    cond: Array | None = None,
    *,
    num_steps: int,
    clip: float | None = None,
) -> Array:
    """x_s = x + (s - t) (u(x_t, t) + u(x_s', s)) / 2, Heun's steps of dx/dt = u: [num, *shape].

    u = α' E[x | x_t] + σ' E[ε | x_t], and x_s' is Euler's step. On `straight` paths u changes
    little, and few steps do. num_steps: T; clip: as in `sample`. Cost: 2 T - 1 passes. Karras et
    al. (2022), "Elucidating the design space of diffusion-based generative models", algorithm 1
    without noise.
    """
    process, grid, clip = _start(model, params, key, num, num_steps, cond, clip)

    def velocity(x, t):
        found, (d_alpha, d_sigma) = _predict(model, params, x, t, cond, clip), slopes(process, t)
        return d_alpha * found.data + d_sigma * found.noise

    def body(x, at):
        _, s, t = at
        first = velocity(x, t)
        second = velocity(x + (s - t) * first, s)
        return x + (s - t) * (first + second) / 2, None

    x = jax.lax.scan(body, _first(process, key, num, model.shape), _pairs(grid))[0]
    return _predict(model, params, x, grid[0], cond, clip).data


def dpm_solver(
    model: Denoiser,
    params: Params,
    key: Key,
    num: int,
    cond: Array | None = None,
    *,
    num_steps: int,
    clip: float | None = None,
) -> Array:
    """DPM-Solver-2: exact for ε linear in λ, by a point between the ends of a step: [num, *shape].

    With h = (λ_s - λ_t) / 2, and the point at the share r of h,
    x_m = (α_m / α_t) x - σ_m (e^{r h} - 1) ε_t, and
    x_s = (α_s / α_t) x - σ_s (e^h - 1) (ε_t + (ε_m - ε_t) / 2r).
    num_steps: T; clip: as in `sample`. Cost: 2 T - 1 passes. Lu et al. (2022), "DPM-Solver",
    algorithm 4.
    """
    process, grid, clip = _start(model, params, key, num, num_steps, cond, clip)

    def half_log_snr(at):
        return jnp.log(at.alpha) - jnp.log(at.sigma)

    def body(x, at):
        _, s, t = at
        m = (s + t) / 2
        of_t, of_m, of_s = (level(process, time) for time in (t, m, s))
        h = half_log_snr(of_s) - half_log_snr(of_t)
        share = (half_log_snr(of_m) - half_log_snr(of_t)) / h
        noise = _predict(model, params, x, t, cond, clip).noise
        middle = _moved(process, x, m, t, noise)
        bend = (_predict(model, params, middle, m, cond, clip).noise - noise) / (2 * share)
        return _moved(process, x, s, t, noise + bend), None

    x = jax.lax.scan(body, _first(process, key, num, model.shape), _pairs(grid))[0]
    return _predict(model, params, x, grid[0], cond, clip).data


# --------------------------------------------------------------------------------------- the parts
def _moved(process, x, s, t, noise):
    """x_s where the noise is the same all the way: α_s (x_t / α_t + (ρ_s - ρ_t) ε)."""
    of_s, of_t = level(process, s), level(process, t)
    share = of_s.alpha / of_t.alpha
    return share * x + (of_s.sigma - share * of_t.sigma) * noise


def _predict(model, params, x, t, cond, clip):
    """The prediction at one time for all rows, its data within [-clip, clip]."""
    found = model.predict(params, x, jnp.full(len(x), t, x.dtype), cond)
    if clip is None:
        return found
    process = model.process(params)
    data = jnp.clip(found.data, -clip, clip)
    return found._replace(data=data, noise=(x - process.alpha(t) * data) / process.sigma(t))


def _start(model, params, key, num, num_steps, cond, clip) -> tuple[Process, Array, float | None]:
    """All of it checked: the process, its times, and the bound of the data if there is one."""
    checks.noun(model, Denoiser, "model")
    checks.key(key)
    checks.condition(cond, model.cond_shape)
    checks.positive_int(num, "num")
    checks.parameters(params, model.init)
    process = model.process(params)
    clip = None if clip is None else checks.positive(clip, "clip")
    return process, times(process, num_steps), clip


def _pairs(grid):
    """(number, s, t) of each step, from the last time to the first."""
    num = len(grid)
    return jnp.arange(num - 1), grid[-2::-1], grid[:0:-1]


def _first(process, key, num, shape):
    return process.scale * _noise(key, -1, num, shape, float)


def _noise(key, number, num, shape, dtype):
    """N(0, I) for each sample, from its own key at this step."""

    def one(i):
        own_key = jax.random.fold_in(jax.random.fold_in(key, i), number + 1)
        return in_a_row(jax.random.normal, own_key, shape, dtype)

    return jax.vmap(one)(jnp.arange(num))
