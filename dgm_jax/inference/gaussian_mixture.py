"""p(x) = Σ_k π_k N(x; m_k, Σ_k), with four forms of the covariances."""

import math

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from .. import checks
from ..arrays import wide
from ..distributions import Levels
from ..distributions.divergence import exact
from ..distributions.drawn import Drawn
from ..protocol import Array, Density, Params, Shape

COVARIANCES = ("full", "tied", "diagonal", "spherical")


def gaussian_mixture(dim: int, num_components: int, *, covariance: str = "full") -> Density:
    """log p(x) = log Σ_k π_k N(x; m_k, Σ_k), in nats, for vectors x [..., d].

    dim, num_components: d and K
    covariance: "full"; "tied", one Σ for all k; "diagonal"; "spherical", Σ_k = σ_k² I

    π = softmax(logits) and Σ_k = L_k L_kᵀ, with L_k lower triangular with diagonal exp(log_scales).
    Parameters

        logits [K], means [K, d]
        log_scales [K, d], tied [d], spherical [K]
        lower [K, d(d-1)/2] for full, [d(d-1)/2] for tied: L below the diagonal, row by row

    They have no constraints, so the model can be trained by gradients, as a prior or a base. Means
    start as samples of N(0, I), all covariances as I. For EM see `gaussian_mixture_em`;
    `gaussian_parameters` converts weights, means and covariances.

    The distribution has `responsibilities(x)`, p(k | x) [..., K], and exact `mean`, `variance` and
    `covariance`. Samples are not reparametrised. Cost: K d² per row (diagonal K d), one component
    after the other. Dempster, Laird and Rubin (1977), "Maximum likelihood from incomplete data via
    the EM algorithm"; Bishop (2006), "Pattern recognition and machine learning", section 9.2.
    """
    dim = checks.positive_int(dim, "dim")
    num_components = checks.positive_int(num_components, "num_components")
    checks.choice(covariance, COVARIANCES, "covariance")
    shapes = _shapes(dim, num_components, covariance)

    def init(key):
        checks.key(key)
        zeros = {name: jnp.zeros(shape) for name, shape in shapes.items()}
        return zeros | {"means": jax.random.normal(key, shapes["means"])}

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        checks.parameters(params, init)
        return GaussianMixture(params["logits"], params["means"], scales(params, covariance))

    return Density(init, dist)


def _shapes(dim, num_components, covariance):
    below = dim * (dim - 1) // 2
    log_scales = {"tied": (dim,), "spherical": (num_components,)}
    shapes = {
        "logits": (num_components,),
        "means": (num_components, dim),
        "log_scales": log_scales.get(covariance, (num_components, dim)),
    }
    if covariance in ("full", "tied"):
        shapes["lower"] = (num_components, below) if covariance == "full" else (below,)
    return shapes


def scales(params: Params, covariance: str) -> Array:
    """L_k with Σ_k = L_k L_kᵀ, the covariance of component k: [K, d, d], or the diagonals [K, d].

    params: those of `gaussian_mixture`, with the same `covariance`. For "full" and "tied" L_k is
    lower triangular, with the diagonal exp(log_scales); for "tied" the K matrices are equal. For
    "diagonal" and "spherical" the standard deviations [K, d] are returned; for "spherical" those of
    one component are equal. The shapes are not checked.
    """
    num_components, dim = jnp.shape(params["means"])
    diagonal = jnp.exp(params["log_scales"])
    if covariance == "spherical":
        return jnp.broadcast_to(diagonal[:, None], (num_components, dim))
    if covariance == "diagonal":
        return diagonal
    i, j = np.tril_indices(dim, -1)
    matrix = jnp.zeros((*diagonal.shape[:-1], dim, dim), diagonal.dtype)
    matrix = matrix.at[..., i, j].set(params["lower"])
    matrix = matrix.at[..., np.arange(dim), np.arange(dim)].set(diagonal)
    return jnp.broadcast_to(matrix, (num_components, dim, dim))


def whitening(scale: Array) -> Array:
    """W = L⁻¹ for matrices [K, d, d] or diagonals [K, d]."""
    if scale.ndim == 2:
        return 1 / scale
    return solve_triangular(scale, jnp.broadcast_to(eye(scale), scale.shape), lower=True)


def eye(matrix: Array) -> Array:
    """I with the size and dtype of a matrix [..., d, d]."""
    return jnp.eye(matrix.shape[-1], dtype=matrix.dtype)


@exact
class GaussianMixture(Drawn, distrax.Distribution):
    """Σ_k π_k N(x; m_k, L_k L_kᵀ) as a distribution."""

    reparametrised = False  # the choice of a component has no gradient

    def __init__(self, logits: Array, means: Array, scale: Array):
        """logits [K], means [K, d], scale L [K, d, d], or its diagonals [K, d]."""
        super().__init__()
        self._logits, self._means, self._scale = map(jnp.asarray, (logits, means, scale))

    @property
    def event_shape(self) -> Shape:
        return self._means.shape[1:]

    @property
    def batch_shape(self) -> Shape:
        return ()

    def log_prob(self, value: Array) -> Array:
        """log p(x), [..., d] -> [...]."""
        return jax.nn.logsumexp(self._log_joint(value), axis=0)

    def responsibilities(self, value: Array) -> Array:
        """p(k | x), [..., d] -> [..., K]."""
        return jnp.moveaxis(jax.nn.softmax(self._log_joint(value), axis=0), 0, -1)

    def mean(self) -> Array:
        """E[x] = Σ_k π_k m_k, [d]."""
        return jax.nn.softmax(self._logits) @ self._means

    def covariance(self) -> Array:
        """Cov[x] = Σ_k π_k (Σ_k + (m_k - m)(m_k - m)ᵀ), [d, d]."""
        weights, apart = jax.nn.softmax(self._logits), self._means - self.mean()
        between = jnp.einsum("k,ki,kj->ij", weights, apart, apart)
        if self._scale.ndim == 2:
            return between + jnp.diag(weights @ self._scale**2)
        return between + jnp.einsum("k,kil,kjl->ij", weights, self._scale, self._scale)

    def variance(self) -> Array:
        """Var[x_i], [d]."""
        weights, apart = jax.nn.softmax(self._logits), self._means - self.mean()
        within = jnp.square(self._scale)
        within = within if within.ndim == 2 else within.sum(-1)
        return weights @ (within + apart**2)

    def _log_joint(self, value):
        """log π_k N(x; m_k, Σ_k), [K, ...]."""
        checks.event_of(value, self.event_shape, "value")
        value = jnp.asarray(value)
        log_weights = log_normalisers(self._logits, self._scale)
        whiten, diagonal = whitening(self._scale), self._scale.ndim == 2

        def of(part):
            log_weight, m, w = part
            y = (value - m) * w if diagonal else jnp.einsum("...j,ij->...i", value - m, w)
            return log_weight - 0.5 * (y**2).sum(-1)

        return jax.lax.map(of, (log_weights, self._means, whiten))

    def _sample_n(self, key, n):
        choice_key, noise_key = jax.random.split(key)
        k = Levels(self._logits)._sample_n(choice_key, n)
        noise = jax.random.normal(noise_key, (n, *self.event_shape), self._means.dtype)

        def put(x, part):
            number, m, scale = part
            here = noise * scale if scale.ndim == 1 else noise @ scale.T
            return jnp.where((k == number)[:, None], m + here, x), None

        parts = jnp.arange(len(self._logits)), self._means, self._scale
        return jax.lax.scan(put, jnp.zeros_like(noise), parts)[0]

    def _sample_n_and_log_prob(self, key, n):
        x = self._sample_n(key, n)
        return x, self.log_prob(x)


def log_normalisers(logits: Array, scale: Array) -> Array:
    """log π_k - log det L_k - d/2 log 2π, [K]."""
    diagonal = scale if scale.ndim == 2 else jnp.diagonal(scale, axis1=1, axis2=2)
    dim = diagonal.shape[-1]
    log_det = jnp.log(diagonal).sum(-1)
    return jax.nn.log_softmax(logits) - log_det - 0.5 * dim * math.log(2 * math.pi)


def gaussian_parameters(
    weights: Array, means: Array, covariances: Array, *, covariance: str = "full"
) -> Params:
    """(π, m, Σ) ↦ the parameters of `gaussian_mixture` with these weights, means and covariances.

    weights: π [K], at least 0; they are normalised. means: m [K, d]
    covariances: [K, d, d] if covariance="full", [d, d] if "tied", variances [K, d] if "diagonal",
        [K] if "spherical", as in scikit-learn
    covariance: the form of the covariances, that of the model

    Returns {"logits", "means", "log_scales"[, "lower"]}. Raises `ValueError` for other shapes, and
    for a covariance that is not positive definite, unless it is traced.
    """
    checks.choice(covariance, COVARIANCES, "covariance")
    checks.floating(means, "means", (None, None))
    num_components, dim = jnp.shape(means)
    checks.floating(weights, "weights", (num_components,))
    wanted = {
        "full": (num_components, dim, dim),
        "tied": (dim, dim),
        "diagonal": (num_components, dim),
        "spherical": (num_components,),
    }
    checks.floating(covariances, "covariances", wanted[covariance])
    checks.within(weights, 0, math.inf, "weights")
    weights, means, covariances = (
        jnp.asarray(a, wide(jnp.asarray(a))) for a in (weights, means, covariances)
    )
    matrices = covariance in ("full", "tied")
    factor = (
        jnp.linalg.cholesky(covariances)
        if matrices
        else jnp.sqrt(jnp.where(covariances > 0, covariances, jnp.nan))
    )
    if checks.readable(factor) and not np.isfinite(factor).all():
        raise checks.InputError(
            "covariances must be positive definite; got a singular or indefinite one. Add a floor, "
            "covariances + 1e-6 * jnp.eye(d)."
        )
    return packed(weights, means, factor, matrices)


def packed(weights: Array, means: Array, factor: Array, matrices: bool) -> Params:
    """Parameters with these weights and means, and L: triangular, or its diagonal.

    factor: L [K, d, d] if `matrices`, else [K, d].
    """
    tiny = jnp.finfo(means.dtype).tiny  # of a component without rows: -inf has no gradient
    logits = jnp.log(jnp.maximum(weights, tiny))
    params = {"logits": jax.nn.log_softmax(logits), "means": means}
    if not matrices:
        return params | {"log_scales": jnp.log(factor)}
    i, j = np.tril_indices(means.shape[-1], -1)
    diagonal = jnp.diagonal(factor, axis1=-2, axis2=-1)
    return params | {"log_scales": jnp.log(diagonal), "lower": factor[..., i, j]}
