"""The conjugate prior of a mixture of Gaussians, its density, and its KL divergences.

    π ~ Dirichlet(α, ..., α),   Σ_k ~ inverse-Wishart(Ψ, ν),   m_k | Σ_k ~ N(m_0, Σ_k / κ)

For precisions Λ_k = Σ_k⁻¹ this is the Normal-Wishart distribution with W = Ψ⁻¹.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln, multigammaln

from .. import checks
from ..protocol import Array
from .gaussian_mixture import whitening


class Conjugate(NamedTuple):
    """π ~ Dirichlet(α), Σ ~ inverse-Wishart(Ψ, ν), m | Σ ~ N(m_0, Σ / κ): a prior, or a posterior.

    For the weights π, means m and covariances Σ of a mixture of K Gaussians. A prior is the same
    for all components; a posterior has an axis of K in front.

    concentration: α, a number, or [K] of a posterior
    mean: m_0 [d] or [K, d]
    mean_precision: κ, how many rows the prior mean is worth; a number or [K]
    degrees: ν, how many rows the prior covariance is worth; a number or [K]
    scale: Ψ [d, d] or [K, d, d], about ν times a covariance

    A prior is made by `normal_inverse_wishart` or `prior_of`.
    """

    concentration: float | Array  # α, [K] of a posterior
    mean: Array  # m_0, [..., d]
    mean_precision: float | Array  # κ, in rows
    degrees: float | Array  # ν, in rows
    scale: Array  # Ψ, [..., d, d], about ν times a covariance


@checks.spelled
def normal_inverse_wishart(
    mean: Array,
    scale: Array,
    *,
    concentration: float = 1.0,
    mean_precision: float = 1.0,
    degrees: float | None = None,
) -> Conjugate:
    """π ~ Dirichlet(α, ..., α), Σ_k ~ inverse-Wishart(Ψ, ν), m_k | Σ_k ~ N(m_0, Σ_k / κ): a prior.

    The conjugate prior of the weights π, means m_k and covariances Σ_k of a mixture of Gaussians,
    for `gaussian_mixture_em` and `variational_mixture`.

    mean: m_0 [d]. scale: Ψ [d, d]; E[Σ_k] = Ψ / (ν - d - 1), which exists for ν > d + 1
    concentration: α > 0. Below 1 it favours mixtures with few components
    mean_precision: κ ≥ 0, how many rows the prior mean is worth
    degrees: ν, how many rows Ψ is worth; by default d, and at least -d - 2; less raises
        `ValueError`

    Returns a `Conjugate`, which holds α, m_0, κ, ν and Ψ: the argument `prior` of these two and of
    `fit_gaussian_mixture` and `fit_variational_mixture`. For ν > d - 1 it is a proper distribution,
    which variational inference needs. As the prior of a posterior mode it may be improper: α = 1, κ
    = 0, Ψ = 0 and ν = -d - 2 is flat, and the mode is then the maximum of the likelihood. Bishop
    (2006), "Pattern recognition and machine learning", section 10.2.
    """
    checks.floating(mean, "mean", (None,))
    dim = jnp.shape(mean)[0]
    checks.floating(scale, "scale", (dim, dim))
    degrees = float(dim) if degrees is None else checks.number(degrees, "degrees")
    if degrees < -dim - 2:
        raise checks.InputError(f"degrees must be at least -d - 2 = {-dim - 2}; got {degrees:g}.")
    return Conjugate(
        checks.positive(concentration, "concentration"),
        jnp.asarray(mean),
        checks.not_negative(mean_precision, "mean_precision"),
        degrees,
        jnp.asarray(scale),
    )


def log_density(prior: Conjugate, log_weights: Array, means: Array, scale: Array) -> Array:
    """log p(π, m, Σ) under `prior` up to a constant, in nats; Σ_k = L_k L_kᵀ.

    log_weights: log π [K]; means: [K, d]; scale: L [K, d, d].
    """
    num_components, dim = means.shape
    whiten = whitening(scale)
    log_det = 2 * jnp.log(jnp.diagonal(scale, axis1=1, axis2=2)).sum()
    from_mean = jnp.einsum("kij,kj->ki", whiten, means - prior.mean)
    trace = jnp.einsum("kij,jl,kil->", whiten, prior.scale, whiten)
    of_gaussians = (prior.degrees + dim + 2) * log_det + trace
    of_gaussians = of_gaussians + prior.mean_precision * jnp.square(from_mean).sum()
    return (prior.concentration - 1) * log_weights.sum() - 0.5 * of_gaussians


def kl_dirichlet(a: Array, b: Array) -> Array:
    """KL(Dirichlet(a) ‖ Dirichlet(b)) in nats, for concentrations a and b [K]."""
    found = gammaln(a.sum()) - gammaln(b.sum()) - (gammaln(a) - gammaln(b)).sum()
    return found + ((a - b) * (digamma(a) - digamma(a.sum()))).sum()


def kl_normal_wishart(q: Conjugate, p: Conjugate, factor: Array, prior_factor: Array) -> Array:
    """KL(q ‖ p) in nats of each component, [K]: of the Wishart, and of the normal given Λ.

    factor, prior_factor: Cholesky factors of the scales of q [K, d, d] and of p [d, d].
    """
    dim = q.mean.shape[-1]
    whiten = whitening(factor)  # W = whitenᵀ whiten
    from_mean = jnp.einsum("kij,kj->ki", whiten, q.mean - p.mean)
    ratio = p.mean_precision / q.mean_precision
    normal = dim * (ratio - 1 - jnp.log(ratio))
    normal = normal + p.mean_precision * q.degrees * jnp.square(from_mean).sum(-1)
    trace = jnp.square(jnp.einsum("kij,jl->kil", whiten, prior_factor)).sum((-1, -2))
    log_det = log_det_of(factor) - log_det_of(prior_factor)  # log |Ψ_q| - log |Ψ_p|
    wishart = p.degrees * log_det + q.degrees * (trace - dim)
    wishart = wishart + (q.degrees - p.degrees) * multidigamma(jnp.asarray(q.degrees / 2), dim)
    log_gammas = multigammaln(jnp.asarray(p.degrees / 2, trace.dtype), dim)
    return normal / 2 + wishart / 2 + log_gammas - multigammaln(q.degrees / 2, dim)


def log_det_of(factor: Array) -> Array:
    """log det L Lᵀ, [..., d, d] -> [...]."""
    return 2 * jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)


def multidigamma(a: Array, dim: int) -> Array:
    """ψ_d(a) = d log Γ_d(a) / da = Σ_{i=0}^{d-1} ψ(a - i/2), with d = dim.

    The multivariate digamma function. Γ_d(a) = π^{d(d-1)/4} Π_{i=0}^{d-1} Γ(a - i/2) is the gamma
    function in the normaliser of the Wishart distribution, and ψ the derivative of log Γ. a: [...],
    floating, above (d - 1) / 2. Returns [...]. Cost: d digammas per entry.
    """
    return digamma(jnp.asarray(a)[..., None] - jnp.arange(dim, dtype=a.dtype) / 2).sum(-1)


def expected_log_det(degrees: Array, factor: Array) -> Array:
    """E log |Λ| under Wishart(W, ν), W⁻¹ = L Lᵀ: ψ_d(ν / 2) + d log 2 - log det L Lᵀ."""
    dim = factor.shape[-1]
    return multidigamma(degrees / 2, dim) + dim * math.log(2) - log_det_of(factor)


def expected_log_weights(concentration: Array) -> Array:
    """E log π_k under Dirichlet(α): ψ(α_k) - ψ(Σ α)."""
    return digamma(concentration) - digamma(concentration.sum())


def evidence(prior: Conjugate, x: Array) -> Array:
    """log p(X) in nats of rows x [n, d] of one Gaussian with unknown m, Σ, in closed form.

    Murphy (2012), "Machine learning: a probabilistic perspective", equation 5.29 (for the Wishart).
    """
    checks.rows_of(x, "x")
    num, dim = x.shape
    mean = x.mean(0)
    apart, shift = x - mean, mean - prior.mean
    kappa, nu = prior.mean_precision + num, prior.degrees + num
    scale = prior.scale + apart.T @ apart
    scale = scale + prior.mean_precision * num / kappa * jnp.outer(shift, shift)
    dets = [jnp.linalg.slogdet(matrix).logabsdet for matrix in (prior.scale, scale)]
    gammas = [multigammaln(jnp.asarray(v / 2, x.dtype), dim) for v in (prior.degrees, nu)]
    found = gammas[1] - gammas[0] + prior.degrees / 2 * dets[0] - nu / 2 * dets[1]
    return found + dim / 2 * (jnp.log(prior.mean_precision / kappa) - num * math.log(math.pi))


def posterior(prior: Conjugate, num: Array, means: Array, covariances: Array) -> Conjugate:
    """The posterior of each component under `prior`, given sufficient statistics of its rows.

    num: the number of rows [K]; means [K, d] and covariances [K, d, d] of the rows.
    """
    kappa = prior.mean_precision + num
    shift = means - prior.mean
    shrunk = (
        (prior.mean_precision * num / kappa)[:, None, None] * shift[:, :, None] * shift[:, None]
    )
    return Conjugate(
        prior.concentration + num,
        (prior.mean_precision * prior.mean + num[:, None] * means) / kappa[:, None],
        kappa,
        prior.degrees + num,
        prior.scale + num[:, None, None] * covariances + shrunk,
    )
