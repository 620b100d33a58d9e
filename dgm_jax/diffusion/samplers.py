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
    """x_s = α_s x_θ + √(σ_s² - η² β̃) ε_θ + η √v ξ, ξ ~ N(0, I): samples by DDPM, DDIM and between.

    One step from time t down to s: x_θ and ε_θ are the predictions of E[x | x_t] and E[ε | x_t],
    and β̃ = Var(x_s | x_t, x). α_t and σ_t are those of x_t = α_t x + σ_t ε. It starts from N(0,
    scale² I), with the `scale` of the process, at the end where x is noise. The last step has no
    noise: the sample is x_θ at the first time. Returns [num, *shape], in the units that the model
    was trained in.

    model: made by `denoiser`; params: its parameters
    key: draws all noise
    num: the number of samples. Each has a key of its own and does not depend on num
    cond: [num, *cond_shape], or None
    num_steps: T ≥ 2, the number of times, evenly spaced between the ends of the process
    eta: η in [0, 1]. 1 is ancestral sampling of DDPM, 0 the deterministic DDIM
    kind: v, the variance of the reverse step: "posterior" (β̃), "upper" (β = Var(x_t | x_s)),
        "learned" (between them, by the net), or a function of both levels, ((α_s, σ_s), (α_t, σ_t))
        -> v. If η < 1 only "posterior" is allowed
    clip: x_θ is clipped to [-clip, clip], and ε_θ follows from it; 1.0 for images in [-1, 1]; None
        for no clipping

    Cost: T passes of the net, one compiled loop. Ho et al. (2020), "Denoising diffusion
    probabilistic models", algorithm 2; Song et al. (2021), "Denoising diffusion implicit models",
    equation 12.
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
    """x_s = x_t + (s - t) (u(x_t, t) + u(x̃_s, s)) / 2: samples, by Heun's method for dx/dt = u.

    u = α'_t E[x | x_t] + σ'_t E[ε | x_t] is the probability-flow ODE of the process x_t = α_t x +
    σ_t ε, and x̃_s = x_t + (s - t) u(x_t, t) is Euler's step. α' and σ' are derivatives by t, and
    the means predictions of the model. It starts from N(0, scale² I), with the `scale` of the
    process, at its noisy end t_1, and returns the prediction of E[x | x_{t_0}] at the clean end
    t_0, [num, *shape]. The error is of second order in the step. On `straight` paths u changes
    little, and few steps suffice.

    model: made by `denoiser`; params: its parameters
    key: draws the start
    num: the number of samples. Each has a key of its own and does not depend on num
    cond: [num, *cond_shape], or None
    num_steps: T ≥ 2, the number of times, evenly spaced between the ends of the process
    clip: predictions of x are clipped to [-clip, clip]; None for no clipping

    Cost: 2 T - 1 passes of the net. Karras et al. (2022), "Elucidating the design space of
    diffusion-based generative models", algorithm 1.
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
    """DPM-Solver-2: the probability-flow ODE, solved to second order in λ = log(α_t / σ_t).

    With h = λ_s - λ_t of a step from t to s, an intermediate time m = (s + t) / 2, its fraction r =
    (λ_m - λ_t) / h, and the prediction ε_t of E[ε | x_t] for x_t = α_t x + σ_t ε,

        x_m = (α_m / α_t) x_t - σ_m (e^{r h} - 1) ε_t
        x_s = (α_s / α_t) x_t - σ_s (e^h - 1) (ε_t + (ε_m - ε_t) / 2r)

    It starts from N(0, scale² I), with the `scale` of the process, at its noisy end t_1, and
    returns the prediction of E[x | x_{t_0}] at the clean end t_0, [num, *shape].

    model: made by `denoiser`; params: its parameters
    key: draws the start
    num: the number of samples. Each has a key of its own and does not depend on num
    cond: [num, *cond_shape], or None
    num_steps: T ≥ 2, the number of times, evenly spaced between the ends of the process
    clip: predictions of x are clipped to [-clip, clip]; None for no clipping

    Cost: 2 T - 1 passes of the net. Lu et al. (2022), "DPM-Solver: a fast ODE solver for diffusion
    probabilistic model sampling", algorithm 4.
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
