"""Variational inference by coordinate ascent (CAVI) with closed-form updates.

q(z) = ∏_i q_i(z_i) maximises the ELBO E_q [log p(x, z) - log q(z)] over one factor after the other:
log q_i(z_i) = E_{-i} log p(x, z) + const. No update decreases it. Both examples of the lecture are
here, with their exact answers: a correlated Gaussian, and a Gaussian of unknown mean and precision.
Bishop (2006), "Pattern recognition and machine learning", sections 10.1.1 to 10.1.3.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Algorithm, Array


# --------------------------------------------------------------------------- a correlated Gaussian
def gaussian_mean_field(mean: Array, precision: Array) -> Algorithm:
    """m_i ← μ_i - Σ_{j≠i} Λ_ij (m_j - μ_j) / Λ_ii, for each i in turn: a mean field.

    Coordinate ascent on the ELBO of q(z) = ∏_i N(m_i, 1 / Λ_ii), for the target p(z) = N(μ, Λ⁻¹).

    mean: μ [d]. precision: Λ [d, d], symmetric and positive definite; others raise `ValueError`,
        unless traced

    Returns an `Algorithm`, (init, step) for `learning.train` or `learning.fit`, with the state
    {"mean": m [d], "variance": [d]}. `init(key)` draws m from N(0, I); a step updates every
    coordinate once and ignores its batch. The metric "elbo" is -KL(q ‖ p) of the new q, in nats; it
    converges to ½ log(|Λ| / ∏ Λ_ii), ½ log(1 - ρ²) for two coordinates with correlation ρ.

    The variances are optimal from the start and too small: 1 / Λ_ii = Var(z_i | the others), not
    Var(z_i). m converges to μ (the Gauss-Seidel iteration for Λ m = Λ μ); for two coordinates by a
    factor ρ² per step. Bishop (2006), "Pattern recognition and machine learning", section 10.1.2.
    """
    dim = checks.moments(mean, precision, "precision")
    checks.positive_definite(precision, "precision")

    def init(key):
        checks.key(key)
        variance = 1 / jnp.diagonal(precision)
        return {"mean": jax.random.normal(key, (dim,), variance.dtype), "variance": variance}

    def step(state, key, batch, fixed=None):
        centre, row = jnp.asarray(mean), jnp.asarray(precision)

        def update(i, m):
            others = row[i] @ (m - centre) - row[i, i] * (m[i] - centre[i])
            return m.at[i].set(centre[i] - others / row[i, i])

        m = jax.lax.fori_loop(0, dim, update, state["mean"])
        state = {"mean": m, "variance": state["variance"]}
        return state, {"elbo": -_kl_to_gaussian(state, mean, precision)}

    return Algorithm(init, step)


def _kl_to_gaussian(state, mean, precision):
    """KL(q ‖ p) = ½ [tr(Λ V) + (m - μ)ᵀ Λ (m - μ) - d - log|Λ| - log|V|]."""
    off, variance = state["mean"] - mean, state["variance"]
    trace = (jnp.diagonal(precision) * variance).sum()
    log_dets = jnp.linalg.slogdet(precision)[1] + jnp.log(variance).sum()
    return 0.5 * (trace + off @ precision @ off - len(mean) - log_dets)


# ------------------------------------------- a Gaussian whose mean and precision are not known
class NormalGamma(NamedTuple):
    """p(μ, τ) = N(μ; m, 1 / (λ τ)) Gamma(τ; a, b): of the mean μ and precision τ of a Gaussian.

    Conjugate to x_n ~ N(μ, 1/τ). As a prior it is worth λ rows with mean m, and 2 a rows with
    variance b / a. All four are numbers, positive but for the mean.

    mean: m. strength: λ
    concentration: a, the shape of the gamma distribution. rate: b, with E τ = a / b
    """

    mean: Array | float
    strength: Array | float
    concentration: Array | float  # numbers of a prior are known; arrays are those of a posterior
    rate: Array | float


def normal_gamma_posterior(prior: NormalGamma, x: Array) -> NormalGamma:
    """p(μ, τ | x) = NormalGamma(m_n, λ_n, a_n, b_n) for x_i ~ N(μ, 1/τ): the exact posterior.

    λ_n = λ + n, m_n = (λ m + n x̄) / λ_n, a_n = a + n / 2, b_n = b + ½ (Σ_i (x_i - x̄)² + λ n (x̄ -
    m)² / λ_n), where the prior is `NormalGamma`(m, λ, a, b): μ | τ ~ N(m, 1 / (λ τ)), τ ~ Gamma(a,
    b), E τ = a / b.

    prior: with positive strength, concentration and rate. x: numbers [n], n ≥ 1. Others raise
        `ValueError`. Returns a `NormalGamma` of the scalars `mean` m_n, `strength` λ_n,
        `concentration` a_n and `rate` b_n. Murphy (2007), "Conjugate Bayesian analysis of the
        Gaussian distribution", section 3.
    """
    prior = _checked(prior)
    num, centre, squares = _moments(prior, x)
    strength = prior.strength + num
    off = centre - prior.mean
    return NormalGamma(
        (prior.strength * prior.mean + num * centre) / strength,
        strength,
        prior.concentration + num / 2,
        prior.rate + 0.5 * (squares + prior.strength * num * off**2 / strength),
    )


def normal_gamma_evidence(prior: NormalGamma, x: Array) -> Array:
    """log p(x) = log ∫∫ p(x | μ, τ) p(μ, τ) dμ dτ in nats, for x_i ~ N(μ, 1/τ), x [n].

    = log Γ(a_n) - log Γ(a_0) + a_0 log b_0 - a_n log b_n + ½ log(λ_0 / λ_n) - n/2 log 2π

    with λ the `strength`, a the `concentration` and b the `rate` of the prior (index 0) and of
    `normal_gamma_posterior` (index n), λ_n = λ_0 + n and a_n = a_0 + n / 2.

    prior: a `NormalGamma` of positive numbers. x: numbers [n], n ≥ 1

    Returns a scalar. Every ELBO of a q(μ, τ) is at most this number. Murphy (2007), "Conjugate
    Bayesian analysis of the Gaussian distribution", section 3.
    """
    prior, after = _checked(prior), normal_gamma_posterior(prior, x)
    log_gamma = jax.scipy.special.gammaln
    return (
        log_gamma(after.concentration)
        - log_gamma(jnp.asarray(prior.concentration, x.dtype))
        + prior.concentration * jnp.log(jnp.asarray(prior.rate, x.dtype))
        - after.concentration * jnp.log(after.rate)
        + 0.5 * jnp.log(prior.strength / jnp.asarray(after.strength, x.dtype))
        - len(x) / 2 * math.log(2 * math.pi)
    )


def normal_gamma_mean_field(prior: NormalGamma) -> Algorithm:
    """q(μ) q(τ) = N(m, 1/l) Gamma(a, b) for x_i ~ N(μ, 1/τ) under a `NormalGamma` prior, in turn.

        m = (λ_0 μ_0 + n x̄) / (λ_0 + n),  l ← (λ_0 + n) a / b,  a = a_0 + (n + 1) / 2,
        b ← b_0 + ½ (Σ (x_i - m)² + λ_0 (m - μ_0)² + (n + λ_0) / l)

    prior: NormalGamma(μ_0, λ_0, a_0, b_0), with numbers: μ | τ ~ N(μ_0, 1 / (λ_0 τ)), τ ~
        Gamma(a_0, rate b_0)

    Returns an `Algorithm`, (init, step) for `learning.train` or `learning.fit`. A step makes these
    updates once for the rows x [n] of its batch, which must be all rows. The state is {"mean": m,
    "precision": l, "concentration": a, "rate": b} and starts as that of the prior. The metric
    "elbo" is that of the new q, exact with all constants, in nats: it never decreases, and stays
    below `normal_gamma_evidence`, since μ and τ are dependent in the exact posterior. The fixed
    point is known: E τ = a / b = (2 a - 1) / (2 b_0 + Σ (x_i - m)² + λ_0 (m - μ_0)²). Bishop
    (2006), "Pattern recognition and machine learning", section 10.1.3.
    """
    prior = _checked(prior)

    def init(key):
        checks.key(key)
        one = jnp.ones(())
        return {"mean": one * prior.mean, "precision": one * prior.strength} | {
            "concentration": one * prior.concentration,
            "rate": one * prior.rate,
        }

    def step(state, key, batch, fixed=None):
        num, centre, squares = _moments(prior, batch)
        strength = prior.strength + num
        mean = (prior.strength * prior.mean + num * centre) / strength
        precision = strength * state["concentration"] / state["rate"]
        around = squares + num * (centre - mean) ** 2 + prior.strength * (mean - prior.mean) ** 2
        new = {
            "mean": mean,
            "precision": precision,
            "concentration": jnp.asarray(prior.concentration + (num + 1) / 2, batch.dtype),
            "rate": prior.rate + 0.5 * (around + strength / precision),
        }
        new = {name: value.astype(state[name].dtype) for name, value in new.items()}
        return new, {"elbo": _normal_gamma_elbo(prior, new, num, around)}

    return Algorithm(init, step)


def _checked(prior):
    checks.instance(prior, NormalGamma, "prior")
    return NormalGamma(
        checks.number(prior.mean, "mean of prior"),
        checks.positive(prior.strength, "strength of prior"),
        checks.positive(prior.concentration, "concentration of prior"),
        checks.positive(prior.rate, "rate of prior"),
    )


def _moments(prior, x):
    """n, x̄ and Σ (x_n - x̄)²."""
    checks.floating(x, "x", (None,))
    checks.rows_of(x, "x")
    x = jnp.asarray(x)
    centre = x.mean()
    return len(x), centre, ((x - centre) ** 2).sum()


def _normal_gamma_elbo(prior, q, num, around):
    """E log p(x, μ, τ) + H(q(μ)) + H(q(τ)), `around` being Σ (x_n - m)² + λ_0 (m - μ_0)²."""
    shape, rate = q["concentration"], q["rate"]
    mean_tau, mean_log_tau = shape / rate, jax.scipy.special.digamma(shape) - jnp.log(rate)
    log_gamma = jax.scipy.special.gammaln
    squares = around + (num + prior.strength) / q["precision"]
    log_normals = 0.5 * (
        (num + 1) * (mean_log_tau - math.log(2 * math.pi))
        + math.log(prior.strength)
        - mean_tau * squares
    )
    log_gamma_prior = (
        prior.concentration * math.log(prior.rate)
        - math.lgamma(prior.concentration)
        + (prior.concentration - 1) * mean_log_tau
        - prior.rate * mean_tau
    )
    entropy_mean = 0.5 * (1 + math.log(2 * math.pi) - jnp.log(q["precision"]))
    entropy_tau = (
        shape - jnp.log(rate) + log_gamma(shape) + (1 - shape) * jax.scipy.special.digamma(shape)
    )
    return log_normals + log_gamma_prior + entropy_mean + entropy_tau
