"""How data become noise: x_t = α_t x + σ_t ε, and what follows from the two functions α and σ.

    q(x_t | x) = N(α_t x, σ_t² I),   λ_t = log(α_t² / σ_t²), the log-SNR, which falls with t
    dx = f_t x dt + g_t dW           f = d log α / dt,   g² = d σ²/dt - 2 f σ²     (the SDE)
    dx/dt = α'_t E[x | x_t] + σ'_t E[ε | x_t]                                       (its ODE)

Chains of T steps, differential equations and bounds are all made of these: a chain is the process
seen at T times. Song et al. (2021), "Score-based generative modeling through stochastic
differential equations", section 3 and appendix B; Kingma et al. (2021), "Variational diffusion
models", section 3.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..protocol import Array, Key, Params, described


class Process(NamedTuple):
    """x_t = α_t x + σ_t ε, ε ~ N(0, I), so that q(x_t | x) = N(α_t x, σ_t² I): data become noise.

    alpha, sigma: functions of times t [...] -> [...], with α_t / σ_t falling in t
    ends: (t_0, t_1), the range of t that is used. At t_0 x_t is nearly the datum x, and at t_1
        nearly noise, N(0, scale² I), from which samplers start
    scale: the standard deviation of this noise

    Made by `linear_log_snr`, `cosine`, `straight`, `from_betas` and others of this package. Song et
    al. (2021), "Score-based generative modeling through stochastic differential equations".
    """

    alpha: Callable[[Array], Array]
    sigma: Callable[[Array], Array]
    ends: tuple[float, float] = (0.0, 1.0)
    scale: float = 1.0

    __repr__ = described


class LearnedProcess(NamedTuple):
    """θ ↦ (α, σ): a `Process` x_t = α_t x + σ_t ε with parameters θ, trained with the net.

    init: key -> params
    process: params -> Process

    `learned_log_snr` makes one. In a `denoiser` its parameters are params["process"].
    """

    init: Callable[[Key], Params]
    process: Callable[[Params], Process]

    __repr__ = described


# ------------------------------------------------------------------------- what follows from them
def log_snr(process: Process, t: Array) -> Array:
    """λ_t = log(α_t² / σ_t²), the log-SNR, like t; -∞ where α_t = 0, and ∞ where σ_t = 0.

    process: α and σ of x_t = α_t x + σ_t ε
    """
    return 2 * (jnp.log(process.alpha(t)) - jnp.log(process.sigma(t)))


def slopes(process: Process, t: Array) -> tuple[Array, Array]:
    """(α'_t, σ'_t), the derivatives of α and σ by t at times t, each like t.

    process: α and σ of x_t = α_t x + σ_t ε, differentiated by jax
    """
    t = jnp.asarray(t, float)
    return tuple(jax.jvp(a, (t,), (jnp.ones_like(t),))[1] for a in (process.alpha, process.sigma))


def drift_and_diffusion(process: Process, t: Array) -> tuple[Array, Array]:
    """(f_t, g_t²) of the SDE dx = f_t x dt + g_t dW whose marginals are those of the process.

    f = α' / α and g² = dσ²/dt - 2 f σ². process: α and σ of x_t = α_t x + σ_t ε; t: times; both
    results are like t. Song et al. (2021), "Score-based generative modeling through stochastic
    differential equations", section 3.
    """
    d_alpha, d_sigma = slopes(process, t)
    f, sigma = d_alpha / process.alpha(t), process.sigma(t)
    return f, 2 * sigma * (d_sigma - f * sigma)


def times(process: Process, num_steps: int) -> Array:
    """t_1 < ... < t_T, evenly spaced from one end of the process to the other: [T].

    process: gives the ends; num_steps: T, at least 2, else `InputError`
    """
    return jnp.linspace(*process.ends, checks.positive_int(num_steps, "num_steps", least=2))


def beside(a: Array | float, x: Array) -> Array:
    """a [batch] as [batch, 1, ...], in the dtype of x, to broadcast with x [batch, *shape].

    a: [batch], or one number, which stays one
    """
    a = jnp.asarray(a, x.dtype)
    return a.reshape(*a.shape, *[1] * (x.ndim - a.ndim)) if a.ndim else a


# ---------------------------------------------------------------------------------- the processes
def from_log_snr(log_snr: Callable[[Array], Array]) -> Process:
    """α_t² = sigmoid(λ_t), σ_t² = sigmoid(-λ_t): the process x_t = α_t x + σ_t ε of a log-SNR λ.

    λ_t = log(α_t² / σ_t²) is the logarithm of the signal-to-noise ratio, and α_t² + σ_t² = 1
    ("variance preserving"). Returns a `Process`: the functions α and σ of t, the range of t that is
    used and the standard deviation of the noise at its end; the argument `process` of `denoiser`.

    log_snr: t [...] -> λ_t [...], a decreasing function of t in [0, 1], made of jax functions
    """
    checks.function(log_snr, "log_snr")

    def root(sign):
        return lambda t: jnp.exp(jax.nn.log_sigmoid(sign * log_snr(jnp.asarray(t, float))) / 2)

    return Process(root(1), root(-1))


def linear_log_snr(most: float = 9.0, least: float = -5.0) -> Process:
    """λ_t = most + (least - most) t: the log-SNR λ_t = log(α_t² / σ_t²) falls linearly in t.

    The process is x_t = α_t x + σ_t ε, ε ~ N(0, I), with α_t² + σ_t² = 1 and t from 0 (data) to 1
    (noise). Returns a `Process`: the functions α and σ of t, the range of t that is used and the
    standard deviation of the noise at its end; the argument `process` of `denoiser`.

    most, least: λ_0 and λ_1, least < most, else `InputError`. By default σ_0 = 0.011 and α_1 =
        0.082

    Kingma et al. (2021), "Variational diffusion models", the fixed schedule of section 6.
    """
    least, most = _ordered(least, most, checks.number)
    return from_log_snr(lambda t: most + (least - most) * t)


@checks.spelled
def learned_log_snr(*, hidden: int = 64, most: float = 9.0, least: float = -5.0) -> LearnedProcess:
    """λ_t = most - (most - least) (g(t) - g(0)) / (g(1) - g(0)): a learned, decreasing log-SNR.

    The process is x_t = α_t x + σ_t ε with λ_t = log(α_t² / σ_t²), α_t² + σ_t² = 1 and t in [0, 1].
    g(t) = w t + Σ_j a_j sigmoid(b_j t + c_j) increases, since its learned weights w, a_j and b_j
    are positive; c_j are learned, too. At first λ is nearly a line.

    hidden: the number of terms j
    most, least: λ_0 and λ_1, which are not learned; least < most, else `InputError`

    Returns a `LearnedProcess`: init(key) -> params, and process(params) -> α and σ; the argument
    `process` of `denoiser`, which trains its parameters with those of the net. The bound in
    continuous time (`continuous_bound`) depends on the ends alone; the curve between them
    determines the variance of its estimates. Kingma et al. (2021), "Variational diffusion models",
    appendix H.
    """
    hidden = checks.positive_int(hidden, "hidden")
    least, most = _ordered(least, most, checks.number)

    def init(key):
        checks.key(key)
        return {
            "line": jnp.zeros(()),
            "heights": jnp.full(hidden, -5.0),
            "slopes": jnp.full(hidden, 2.0),
            "places": jax.random.uniform(key, (hidden,), minval=-8.0, maxval=0.0),
        }

    def process(params):
        line, heights, slopes = (
            jax.nn.softplus(params[name]) for name in ("line", "heights", "slopes")
        )

        def g(t):
            steps = jax.nn.sigmoid(8 * slopes * t[..., None] + slopes * params["places"])
            return line * t + steps @ heights

        def share(t):
            first, last = g(jnp.zeros(())), g(jnp.ones(()))
            return (g(t) - first) / (last - first)

        return from_log_snr(lambda t: most + (least - most) * share(t))

    return LearnedProcess(init, process)


def linear_beta(least: float = 0.1, most: float = 20.0) -> Process:
    """α_t = e^{-B_t / 2}, σ_t² = 1 - e^{-B_t}, B_t = least t + (most - least) t² / 2: "VP".

    The process x_t = α_t x + σ_t ε, variance preserving (α_t² + σ_t² = 1), whose noise rate β_t =
    dB_t/dt rises linearly in t. It is the limit of the chain of Ho et al. (2020) for many steps. t
    is in [10⁻³, 1]. Returns a `Process`: the functions α and σ of t, the range of t that is used
    and the standard deviation of the noise at its end; the argument `process` of `denoiser`.

    least, most: β_0 and β_1, 0 < least < most, else `InputError`. By default σ_t = 0.01 at t = 10⁻³
        and α_1 = 0.0066

    Song et al. (2021), "Score-based generative modeling through stochastic differential equations",
    appendix B.
    """
    rate = _rate(least, most)
    return Process(
        lambda t: jnp.exp(-rate(t) / 2), lambda t: jnp.sqrt(-jnp.expm1(-rate(t))), (1e-3, 1.0)
    )


def sub_vp(least: float = 0.1, most: float = 20.0) -> Process:
    """α_t = e^{-B_t / 2}, σ_t = 1 - e^{-B_t}, B_t = least t + (most - least) t² / 2: "sub-VP".

    The process x_t = α_t x + σ_t ε. Its α is that of `linear_beta`, and its variance σ_t² is the
    square of that one's, so that it has less noise at every t. t is in [10⁻³, 1]. Returns a
    `Process`: the functions α and σ of t, the range of t that is used and the standard deviation of
    the noise at its end; the argument `process` of `denoiser`.

    least, most: dB_t/dt at t = 0 and t = 1, 0 < least < most, else `InputError`

    Song et al. (2021), "Score-based generative modeling through stochastic differential equations",
    section 3.4.
    """
    rate = _rate(least, most)
    return Process(lambda t: jnp.exp(-rate(t) / 2), lambda t: -jnp.expm1(-rate(t)), (1e-3, 1.0))


def variance_exploding(least: float = 0.01, most: float = 50.0) -> Process:
    """x_t = x + σ_t ε, σ_t = least (most / least)^t, ε ~ N(0, I), t in [0, 1]: the "VE" process.

    The data are not scaled down (α = 1), and the noise grows geometrically until it hides them.
    Sampling starts at t = 1 from N(0, most² I), in place of x_1. Returns a `Process`: the functions
    α and σ of t, the range of t that is used and the standard deviation of the noise at its end;
    the argument `process` of `denoiser`.

    least, most: the standard deviations σ_0 and σ_1, in the units of x, 0 < least < most. `most`
    should be as large as the largest distance between two data points, so that x_1 tells almost
    nothing about x. Raises `InputError` for others. Song and Ermon (2020), "Improved techniques for
    training score-based generative models".
    """
    least, most = _ordered(least, most)
    return Process(
        lambda t: jnp.ones_like(jnp.asarray(t, float)),
        lambda t: least * (most / least) ** jnp.asarray(t, float),
        scale=most,
    )


def cosine(offset: float = 0.008) -> Process:
    """x_t = α_t x + σ_t ε with α_t = cos(u_t) / cos(u_0), u_t = π/2 (t + s) / (1 + s), α² + σ² = 1.

    ε ~ N(0, I). α_t falls slowly near both ends and nearly linearly between them. t is in [10⁻³,
    0.999], since α_1 = 0. Returns a `Process`: the functions α and σ of t, the range of t that is
    used and the standard deviation of the noise at its end; the argument `process` of `denoiser`.

    offset: s > 0, which keeps the noise of the first steps from being too small

    Nichol and Dhariwal (2021), "Improved denoising diffusion probabilistic models", equation 17.
    """
    offset = checks.positive(offset, "offset")

    def angle(t):
        return np.pi / 2 * (jnp.asarray(t, float) + offset) / (1 + offset)

    first = float(np.cos(np.pi / 2 * offset / (1 + offset)))

    def alpha(t):
        return jnp.cos(angle(t)) / first

    return Process(alpha, lambda t: jnp.sqrt((1 - alpha(t)) * (1 + alpha(t))), (1e-3, 0.999))


def straight() -> Process:
    """x_t = (1 - t) x + t ε: a straight line from each datum x to its noise ε, as in flow matching.

    α_t = 1 - t and σ_t = t; the velocity along the line is ε - x. t is in [10⁻³, 0.999], since σ is
    0 at t = 0 and α is 0 at t = 1. Returns a `Process`: the functions α and σ of t, the range of t
    that is used and the standard deviation of the noise at its end; the argument `process` of
    `denoiser`. Flow matching is `simple_loss` of a denoiser with this process and
    target="velocity". Lipman et al. (2023), "Flow matching for generative modeling"; Liu et al.
    (2023), "Flow straight and fast".
    """
    return Process(
        lambda t: 1 - jnp.asarray(t, float), lambda t: jnp.asarray(t, float), (1e-3, 0.999)
    )


def from_betas(betas: Sequence[float]) -> Process:
    """The chain x_i = √(1 - β_i) x_{i-1} + √β_i ε, i = 1..T, as a process with the time t = i / T.

    At these times α_t² = ∏_{j≤i} (1 - β_j) and σ_t² = 1 - α_t²; between two of them the log-SNR
    log(α_t² / σ_t²) is linear in t. The process runs from t = 1 / T to 1, so that a sampler or a
    bound with num_steps=T takes exactly the T steps of the chain.

    betas: β_1, ..., β_T, 2 or more numbers between 0 and 1, as a list or a numpy array. They must
        leave less than 1 % of the variance of the data, α_1² < 0.01. Those of Ho et al.,
        numpy.linspace(1e-4, 0.02, 1000), leave 4e-5; a chain of fewer steps needs larger ones

    Raises `InputError` for other betas. Returns a `Process`: the functions α and σ of t, the range
    of t that is used and the standard deviation of the noise at its end; the argument `process` of
    `denoiser`. Ho et al. (2020), "Denoising diffusion probabilistic models", section 2.
    """
    if not isinstance(betas, np.ndarray):
        betas = [checks.number(beta, "each of betas") for beta in _listed(betas, "betas")]
    found = checks.on_host(betas if isinstance(betas, np.ndarray) else np.asarray(betas), "betas")
    found = np.asarray(found, float)
    if found.ndim != 1 or len(found) < 2:
        raise checks.InputError(f"betas must be a list of 2 or more; got shape {found.shape}.")
    if not ((found > 0) & (found < 1)).all():
        worst = found[~((found > 0) & (found < 1))][0]
        raise checks.InputError(f"betas must lie between 0 and 1; got {worst}.")
    log_alphas = np.cumsum(np.log1p(-found)) / 2
    left = float(np.exp(2 * log_alphas[-1]))
    if left >= 0.01:
        raise checks.InputError(
            f"betas must leave less than 0.01 of the data's variance; these leave {left:.3g}. "
            f"They are meant for more steps: for {len(found)} steps take larger ones."
        )
    table = 2 * log_alphas - np.log(-np.expm1(2 * log_alphas))
    knots = np.arange(1, len(found) + 1) / len(found)
    process = from_log_snr(lambda t: jnp.interp(t, jnp.asarray(knots), jnp.asarray(table)))
    return process._replace(ends=(1 / len(found), 1.0))


def _listed(values, name):
    if not isinstance(values, (list, tuple)):
        raise checks.InputError(f"{name} must be a list of numbers; got {checks.shown(values)}.")
    return values


def _rate(least, most):
    least, most = _ordered(least, most)
    return lambda t: least * jnp.asarray(t, float) + (most - least) * jnp.asarray(t, float) ** 2 / 2


def _ordered(least, most, check=checks.positive):
    least, most = check(least, "least"), check(most, "most")
    if least >= most:
        raise checks.InputError(f"least must be below most={most}; got {least}.")
    return least, most
