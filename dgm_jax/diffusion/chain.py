"""The process seen at T times: its reverse, step by step, as a chain of Gaussians.

    q(x_s | x_t, x) = N(α_s x + √(σ_s² - β̃) ε, β̃ I),   x_t = α_t x + σ_t ε,   s < t
    β = σ_t² - (α_t / α_s)² σ_s² = σ_t² (1 - e^{λ_t - λ_s}),   β̃ = β σ_s² / σ_t²

p(x_s | x_t) is the same with what the model predicts for x and ε. The datum itself is one more
level below the first, with α = 1 and σ = 0; there β̃ = 0 and the mean is the predicted x.
Ho et al. (2020), "Denoising diffusion probabilistic models", equations 6 and 7.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from .. import checks
from ..protocol import Array
from .process import Process, beside

VARIANCES = ("posterior", "upper", "learned")


class Level(NamedTuple):
    """α_t and σ_t of x_t = α_t x + σ_t ε at one time t, for each row: [batch], or numbers."""

    alpha: Array | float
    sigma: Array | float


CLEAN = Level(1.0, 0.0)


def level(process: Process, t: Array) -> Level:
    """(α_t, σ_t) of a process at times t [batch], or at one time: a `Level`.

    process: x_t = α_t x + σ_t ε; t: the times. Both results are like t.
    """
    return Level(process.alpha(t), process.sigma(t))


class Step(NamedTuple):
    """The coefficients of a reverse step from time t down to s, each [batch], or numbers.

    upper: β = Var(x_t | x_s), the variance of p(x_s | x_t) that is right for data with the law N(0,
        I)
    lower: β̃ = Var(x_s | x_t, x), which is right for a single datum x
    by_data: ∂/∂x of the mean of q(x_s | x_t, x) at fixed x_t, which is α_s β / σ_t²
    """

    upper: Array | float  # β, the variance of x_t given x_s: right for data that are N(0, I)
    lower: Array | float  # β̃, the variance of x_s given x_t and x: right for one datum
    by_data: Array | float  # ∂ mean / ∂ x at fixed x_t, which is α_s β / σ_t²


def step(s: Level, t: Level) -> Step:
    """β = σ_t² (1 - e^{λ_t - λ_s}), β̃ = σ_s² (1 - e^{λ_t - λ_s}), α_s β / σ_t², as a `Step`.

    The coefficients of a reverse step from t down to s; λ = log(α² / σ²) is the log-SNR. s, t: (α,
    σ) at the two times, with σ_s < σ_t; σ_s = 0 for the datum.
    """
    (alpha_s, sigma_s), (alpha_t, sigma_t) = s, t
    share = (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2  # e^{λ_t - λ_s}
    upper = sigma_t**2 * (1 - share)
    return Step(upper, sigma_s**2 * (1 - share), alpha_s * (1 - share))


def variance(kind: str | Callable, s: Level, t: Level, fraction: Array | None = None) -> Array:
    """The variance v of p(x_s | x_t): β̃ ("posterior"), β ("upper"), or between them ("learned").

    β = Var(x_t | x_s) and β̃ = Var(x_s | x_t, x), as in `step`. "learned" is log v = f log β + (1 -
    f) log β̃, each entry of x with its own f. In the last step, to the datum, β̃ = 0; there
    "posterior" is β, too, and "learned" is e^f β.

    kind: one of the three, or a function (s, t) -> v of two levels, if v is known
    s, t: (α, σ) at the two times, [batch] or numbers
    fraction: f [batch, *shape], `Prediction.fraction`; None with "learned" raises `InputError`

    Returns v like s and t, or with "learned" [batch, *shape]. Nichol and Dhariwal (2021), "Improved
    denoising diffusion probabilistic models", equation 15.
    """
    found = step(s, t)
    if callable(kind) and not isinstance(kind, str):
        return kind(s, t)
    checks.choice(kind, VARIANCES, "kind")
    lower = jnp.where(found.lower > 0, found.lower, found.upper)
    if kind == "learned":
        if fraction is None:
            raise checks.InputError(
                'kind "learned" needs a denoiser with learned_variance=True; this one has none.'
            )
        width = jnp.where(found.lower > 0, jnp.log(found.upper / lower), 1.0)
        return beside(lower, fraction) * jnp.exp(fraction * beside(width, fraction))
    return jnp.asarray(found.upper) if kind == "upper" else lower
