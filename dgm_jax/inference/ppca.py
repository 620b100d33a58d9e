"""Probabilistic principal component analysis: a latent variable model with exact answers.

    z ~ N(0, I_q),  x | z ~ N(W z + μ, σ² I)
    x ~ N(μ, W Wᵀ + σ² I),  z | x ~ N(M⁻¹ Wᵀ (x - μ), σ² M⁻¹),  M = Wᵀ W + σ² I

All functions here share one tree of parameters: {"weights": W [d, q], "mean": μ [d], "log_scale":
log σ []}. W is determined up to a rotation W R of the latents, so compare W Wᵀ + σ² I, not W. The
lecture's linear variational autoencoder has its optimum here.
Tipping and Bishop (1999), "Probabilistic principal component analysis".
"""

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import wide
from ..distributions.divergence import exact
from ..distributions.drawn import Drawn
from ..learning import expectation_maximization
from ..protocol import Algorithm, Array, Density, LatentVariable, Params, Shape


def ppca(dim: int, *, num_latents: int) -> LatentVariable:
    """z ~ N(0, I_q), x | z ~ N(W z + μ, σ² I), and the exact z | x ~ N(M⁻¹ Wᵀ (x - μ), σ² M⁻¹).

    M = Wᵀ W + σ² I. The posterior is exact, so that log p(x, z) - log q(z | x) = log p(x) for every
    sample z: the ELBO has no gap and no variance. `ppca_density` is p(x) itself, with the same
    parameters.

    dim: d, of vectors x [..., d]. num_latents: q < d, of z [..., q]; more raise `ValueError`

    Parameters {"weights": W [d, q], "mean": μ [d], "log_scale": log σ []}, which start with random
    W whose columns have a length of about 1, μ = 0 and σ = 1. W is determined up to a rotation of
    z. Train them by gradients, by `ppca_em` or at once by `ppca_optimum`. Cost: O(d q) per row, and
    O(d q² + q³) once per call. Tipping and Bishop (1999), "Probabilistic principal component
    analysis".
    """
    return linear_gaussian(dim, num_latents, ())


def ppca_density(dim: int, *, num_latents: int) -> Density:
    """p(x) = N(x; μ, W Wᵀ + σ² I), with the parameters of `ppca`.

    The marginal density of that model, in nats, for vectors x [..., d]: parameters {"weights": W
    [d, q], "mean": μ [d], "log_scale": log σ []}. dim, num_latents: d and q. Cost: O(d³) once per
    call, and O(d²) per row. Tipping and Bishop (1999), "Probabilistic principal component
    analysis".
    """
    return linear_gaussian_density(dim, num_latents, ())


def ppca_optimum(mean: Array, covariance: Array, *, num_latents: int) -> Params:
    """W = U (Λ - σ² I)^½, σ² the mean of the d - q smallest eigenvalues: maximum likelihood.

    Λ are the q largest eigenvalues of the covariance and U [d, q] their eigenvectors.

    mean, covariance: [d] and [d, d], of the data; np.cov(x.T, bias=True) for maximum likelihood, as
        it divides by n, where scikit-learn divides by n - 1
    num_latents: q < d

    Returns the parameters of `ppca`, {"weights": W [d, q], "mean", "log_scale": log σ}. The columns
    of W are orthogonal, so that z | x has independent entries; columns with λ_i = σ² are zero, and
    their latents unused. Cost: O(d³). Raises `ValueError` unless q < d. Tipping and Bishop (1999),
    "Probabilistic principal component analysis", equations 7 and 8.
    """
    dim = checks.moments(mean, covariance, "covariance")
    num_latents = _latents(num_latents, dim)
    values, vectors = jnp.linalg.eigh(
        jnp.asarray(covariance, wide(covariance))
    )  # the smallest first
    variance = values[: dim - num_latents].mean()
    kept, directions = values[::-1][:num_latents], vectors[:, ::-1][:, :num_latents]
    weights = directions * jnp.sqrt(jnp.maximum(kept - variance, 0))[None]
    return {"weights": weights, "mean": jnp.asarray(mean), "log_scale": jnp.log(variance) / 2}


@checks.spelled
def ppca_em(
    dim: int, *, num_latents: int, floor: float = 1e-6, axis_name: str | None = None
) -> Algorithm:
    """μ ← x̄, W ← C_xz C_zz⁻¹, σ² ← tr(C_xx - W C_xzᵀ) / d: EM for x = W z + μ + σ ε.

    The model is `ppca`: z ~ N(0, I_q), ε ~ N(0, I_d), W [d, q]. C are covariances over the rows x
    and z ~ p(z | x) under the parameters before the step, for means over the rows: C_xx = mean of
    x xᵀ - x̄ x̄ᵀ, C_xz = mean of x E[z | x]ᵀ - x̄ z̄ᵀ and C_zz = mean of E[z zᵀ | x] - z̄ z̄ᵀ, with x̄
    the mean of x and z̄ that of E[z | x].

    dim, num_latents: d and q, the sizes of x and z; q < d, else `InputError`
    floor: lower bound of σ², in the squared units of x, which would go to zero if q latents explain
        all
    axis_name: the axis of a `jax.pmap` of which each device has a part of the rows, and over which
        the statistics of the E-step are averaged; None where one program sees all rows, as in `jit`

    Returns an `Algorithm`, init(key) -> state and step(state, key, batch) -> (state, metrics), for
    `learning.train`, whose state is the parameters of `ppca` and whose batch is rows [n, d]. It
    starts with random columns of W of length about 1, μ = 0 and σ = 1. The metric "log_likelihood"
    is that of the parameters before the step, in nats per row. If all rows are the batch, it never
    decreases and converges to that of `ppca_optimum`. Near it the error of W Wᵀ falls per step by a
    factor of about the largest of λ_{q+1} / λ_q and 1 - 2 ρ_j (1 - ρ_j), ρ_j = σ² / λ_j for j ≤ q,
    with λ_1 ≥ λ_2 ≥ ... the eigenvalues of C_xx: EM is slow if σ² is much smaller than λ_1, where
    this factor is about 1 - 2 σ² / λ_1. C_xx is never formed: O(n d q) per step. Tipping and Bishop
    (1999), "Probabilistic principal component analysis", appendix B.
    """
    return linear_gaussian_em(dim, num_latents, (), floor, axis_name)


# ------------------------------------------- the same for a σ of every entry (factor analysis)
def linear_gaussian(dim: int, num_latents: int, scales: Shape) -> LatentVariable:
    """x | z ~ N(W z + μ, diag σ²), with log σ of shape `scales`: () for one, (dim,) for each entry.

    num_latents: the size of z.
    """
    dim = checks.positive_int(dim, "dim")
    num_latents = _latents(num_latents, dim)
    init = _start(dim, num_latents, scales)

    def prior(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return _Normal(jnp.zeros(num_latents), jnp.ones(num_latents))

    def likelihood(params, z, cond=None, *, key=None):
        checks.parameters(params, init)
        checks.condition(cond, None)
        checks.event_of(z, (num_latents,), "z")
        mean = jnp.einsum("...q,dq->...d", z, params["weights"]) + params["mean"]
        return _Normal(mean, jnp.broadcast_to(jnp.exp(params["log_scale"]), (dim,)))

    def posterior(params, x, cond=None, *, key=None):
        checks.parameters(params, init)
        checks.condition(cond, None)
        checks.event_of(x, (dim,))
        mean, covariance = explained(params, x - params["mean"])
        return _FullNormal(mean, jnp.linalg.cholesky(covariance))

    return LatentVariable(init, prior, likelihood, posterior)


def linear_gaussian_density(dim: int, num_latents: int, scales: Shape) -> Density:
    """N(μ, W Wᵀ + diag σ²), with the parameters of `linear_gaussian(dim, num_latents, scales)`."""
    dim = checks.positive_int(dim, "dim")
    init = _start(dim, _latents(num_latents, dim), scales)

    def dist(params, cond=None, *, key=None):
        checks.parameters(params, init)
        checks.condition(cond, None)
        noise = jnp.broadcast_to(jnp.exp(2 * params["log_scale"]), (dim,))
        covariance = params["weights"] @ params["weights"].T + jnp.diag(noise)
        return _FullNormal(params["mean"], jnp.linalg.cholesky(covariance))

    return Density(init, dist)


def linear_gaussian_em(
    dim: int, num_latents: int, scales: Shape, floor: float, axis_name: str | None
) -> Algorithm:
    """EM for p(x) = N(x; μ, W Wᵀ + diag σ²): that of `ppca_em` and of `factor_analysis_em`.

    With means over the rows x [n, d], and the posterior of z under the present parameters:

        E-step: E[z | x] and E[z zᵀ | x]
        M-step: W ← C_xz C_zz⁻¹, σ_i² ← (C_xx - W C_xzᵀ)_ii, μ ← the mean of x

    where C are second moments about the mean, such as C_zz = mean E[z zᵀ | x] - z̄ z̄ᵀ, with z̄ the
    mean of E[z | x].

    dim, num_latents: d and q, the sizes of x and z
    scales: the shape of log σ: () for one σ (PPCA; σ² is then the mean of the σ_i²), (d,) for a σ_i
        of each entry (factor analysis)
    floor: the smallest σ² that is allowed, in squared units of x
    axis_name: the name of the axis of devices over which means are taken, or None; see
        `learning.expectation_maximization`

    The metric "log_likelihood" is that of the parameters before the step, in nats per row. Cost:
    O(n d q) per step, for q below d. Raises `InputError` if batches are not floating [n, d]. Rubin
    and Thayer (1982), "EM algorithms for ML factor analysis"; Tipping and Bishop (1999), appendix
    B.
    """
    dim = checks.positive_int(dim, "dim")
    floor = checks.positive(floor, "floor")
    init = _start(dim, _latents(num_latents, dim), scales)

    def e_step(params, x):
        checks.parameters(params, init)
        checks.floating(x, "batch", (None, dim))
        y = x - params["mean"]
        z, covariance = explained(params, y)
        statistics = {
            "y": y.mean(0),
            "yy": (y**2).mean(0),
            "z": z.mean(0),
            "zz": z.T @ z / len(x) + covariance,
            "yz": y.T @ z / len(x),
        }
        return statistics, {"log_likelihood": log_likelihood(params, y).mean()}

    def m_step(params, s):
        """μ becomes the mean of x. What the E-step says at that μ has the same second moments about
        the mean: E[z | x] is affine in x, and the covariance of z | x does not look at x."""
        zz = s["zz"] - jnp.outer(s["z"], s["z"])
        yz = s["yz"] - jnp.outer(s["y"], s["z"])
        weights = jnp.linalg.solve(zz, yz.T).T
        noise = s["yy"] - s["y"] ** 2 - (weights * yz).sum(1)
        noise = jnp.maximum(noise if scales else noise.mean(), floor)
        return {
            "weights": weights,
            "mean": params["mean"] + s["y"],
            "log_scale": jnp.log(noise) / 2,
        }

    return expectation_maximization(init, e_step, m_step, axis_name=axis_name)


def explained(params: Params, y: Array) -> tuple[Array, Array]:
    """Mean [..., q] and covariance [q, q] of z given y = x - μ: G⁻¹ Wᵀ Ψ⁻¹ y and G⁻¹."""
    scaled, gram = _gram(params)
    covariance = jnp.linalg.inv(gram)
    return jnp.einsum("...d,dq,qr->...r", y, scaled, covariance), covariance


def log_likelihood(params: Params, y: Array) -> Array:
    """log N(y; 0, W Wᵀ + Ψ), [...], in O(d q) per row: ‖Ψ^-½ y‖² minus the part explained by z."""
    scaled, gram = _gram(params)
    seen = jnp.einsum("...d,dq->...q", y, scaled)
    of_latents = (seen * jnp.linalg.solve(gram, seen[..., None])[..., 0]).sum(-1)
    scales = jnp.broadcast_to(params["log_scale"], y.shape[-1:])
    log_det = 2 * scales.sum() + jnp.linalg.slogdet(gram)[1]
    squares = ((y * jnp.exp(-scales)) ** 2).sum(-1)
    return -0.5 * (squares - of_latents + log_det + y.shape[-1] * jnp.log(2 * jnp.pi))


def _gram(params):
    """Ψ⁻¹ W [d, q] and G = I + Wᵀ Ψ⁻¹ W [q, q]."""
    weights = params["weights"]
    noise = jnp.broadcast_to(jnp.exp(2 * params["log_scale"]), weights.shape[:1])
    scaled = weights / noise[:, None]
    return scaled, jnp.eye(weights.shape[1], dtype=weights.dtype) + weights.T @ scaled


def _start(dim, num_latents, scales):
    def init(key):
        checks.key(key)
        weights = jax.random.normal(key, (dim, num_latents)) / dim**0.5
        return {"weights": weights, "mean": jnp.zeros(dim), "log_scale": jnp.zeros(scales)}

    return init


def _latents(num_latents, dim):
    num_latents = checks.positive_int(num_latents, "num_latents")
    if num_latents >= dim:
        raise checks.InputError(
            f"num_latents must be below the dimension of x, {dim}; got {num_latents}."
        )
    return num_latents


@exact
class _Normal(Drawn, distrax.MultivariateNormalDiag):
    """Independent entries."""


@exact
class _FullNormal(Drawn, distrax.MultivariateNormalTri):
    """By the factor of its covariance."""
