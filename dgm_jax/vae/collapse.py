"""Posterior collapse in closed form: linear VAEs; and a probe of what a code says about a class.

In a linear VAE p(z) = N(0, I), p(x | z) = N(W z + μ, σ² I), q(z | x) = N(V (x - μ), S), every
expectation has a closed form, so that whether z_i is used can be computed exactly:

- for fixed σ², principal directions of the data with variance λ_i at most σ² carry no information,
  and the optimal model leaves one unit of z unused for each of them (`linear_optimum`)
- with a diagonal S, a model in which several units explain the same direction loses likelihood
  (`best_posterior`), so that all but one of them collapse; with a full S it loses nothing.

Lucas et al. (2019), "Don't blame the ELBO! A linear VAE perspective on posterior collapse".
"""

import math
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..distributions import standard_normal
from ..protocol import Array, LatentVariable, Params, Rows

SHAPES = ("diagonal", "full")  # of the covariance of a posterior


class LinearOptimum(NamedTuple):
    """The optimal linear VAE of a Gaussian, and the information in each unit of its code.

    params: those of a `linear_vae`, {"mean": [d], "decoder": [d, n], "encoder": [n, d], "scale"}
    kl: E_x KL(q(z_i | x) ‖ p(z_i)) of each unit in nats, [num_latents], the largest first
    num_active: the number of units with a KL above 0
    bound: E_x ELBO in nats, which at the optimum is E_x log p(x)
    """

    params: Params  # those of `linear_vae`
    kl: np.ndarray  # E_x KL(q(z_i | x) ‖ p(z_i)) in nats, the largest first, [num_latents]
    num_active: int  # units with a KL above 0
    bound: float  # E_x ELBO in nats, which is E_x log p(x) there


def linear_vae(
    dim: int, num_latents: int, *, variance: float, covariance: str = "diagonal"
) -> LatentVariable:
    """p(z) = N(0, I), p(x | z) = N(W z + μ, σ² I), q(z | x) = N(V (x - μ), L Lᵀ): a linear VAE.

    dim: d, the size of x. num_latents: n, the size of z
    variance: σ², which is fixed and not trained
    covariance: of q: "diagonal", or "full" for any lower triangular L

    Parameters {"mean": μ [d], "decoder": W [d, n], "encoder": V [n, d], "scale": L}. L is stored as
    the logarithm of its diagonal, [n], or if it is full as a matrix [n, n] with that logarithm on
    its diagonal, of which the lower triangle counts. Starts with random W and V, μ = 0 and L = I.
    Its ELBO needs no samples: `linear_bound`. Lucas et al. (2019), "Don't blame the ELBO! A linear
    VAE perspective on posterior collapse", section 4.
    """
    dim = checks.positive_int(dim, "dim")
    num_latents = checks.positive_int(num_latents, "num_latents")
    variance = checks.positive(variance, "variance")
    checks.choice(covariance, SHAPES, "covariance")
    full = covariance == "full"

    def init(key):
        checks.key(key)
        decoder_key, encoder_key = jax.random.split(key)
        return {
            "mean": jnp.zeros(dim),
            "decoder": jax.random.normal(decoder_key, (dim, num_latents)) / math.sqrt(dim),
            "encoder": jax.random.normal(encoder_key, (num_latents, dim)) / math.sqrt(dim),
            "scale": jnp.zeros((num_latents,) * (2 if full else 1)),
        }

    def prior(params, cond=None, *, key=None):
        return standard_normal(num_latents).dist({}, cond)

    def likelihood(params, z, cond=None, *, key=None):
        checks.condition(cond, None)
        checks.events(z, num_latents, "z")
        mean = z @ params["decoder"].T + params["mean"]
        return distrax.MultivariateNormalDiag(mean, jnp.full_like(mean, math.sqrt(variance)))

    def posterior(params, x, cond=None, *, key=None):
        checks.condition(cond, None)
        checks.events(x, dim)
        mean = (x - params["mean"]) @ params["encoder"].T
        scale = jnp.broadcast_to(_scale(params), (*mean.shape, num_latents))
        if full:
            return distrax.MultivariateNormalTri(mean, scale)
        return distrax.MultivariateNormalDiag(mean, jnp.diagonal(scale, axis1=-2, axis2=-1))

    return LatentVariable(init, prior, likelihood, posterior)


def _check(params):
    """Those of a linear VAE, of either form."""
    decoder = params.get("decoder") if isinstance(params, dict) else None
    if decoder is None or jnp.ndim(decoder) != 2:
        raise checks.InputError(
            f"params must be those of a linear_vae; got {checks.shown(params)}."
        )
    full = jnp.ndim(params.get("scale")) == 2
    dim, num_latents = decoder.shape
    shapes = linear_vae(dim, num_latents, variance=1.0, covariance=SHAPES[full])
    checks.parameters(params, shapes.init)


def _scale(params):
    """L [n, n], of either form."""
    scale = params["scale"]
    if scale.ndim == 1:
        return jnp.diag(jnp.exp(scale))
    return jnp.tril(scale, -1) + jnp.diag(jnp.exp(jnp.diagonal(scale)))


def linear_bound(params: Params, x: Array, *, variance: float) -> tuple[Array, Array]:
    """ELBO(x) = E_q log p(x | z) - KL(q ‖ p) of a `linear_vae` in closed form, and its KL_i.

    With q(z | x) = N(m, S), m = V (x - μ), the first term is -½ (‖x - μ - W m‖² + tr(Wᵀ W S)) / σ²
    - d/2 log 2πσ², where W is the decoder, V the encoder and μ the mean.

    params: those of a `linear_vae`, {"mean": μ [d], "decoder": W [d, n], "encoder": V [n, d],
        "scale": L}; others raise `ValueError`
    x: [..., d]
    variance: σ², that of the model

    Returns (ELBO [...], KL [..., n]) in nats, where KL_i is that of the marginal of unit i, N(m_i,
    S_ii) against N(0, 1). With a full S the ELBO contains the KL of all units together, Σ_i KL_i +
    ½ (Σ_i log S_ii - log |S|). Cost: two products with W and V.
    """
    variance = checks.positive(variance, "variance")
    _check(params)
    decoder, scale = params["decoder"], _scale(params)
    checks.events(x, len(decoder))
    y = x - params["mean"]
    mean = y @ params["encoder"].T
    covariance = scale @ scale.T
    var = jnp.diagonal(covariance)
    missed = jnp.square(y - mean @ decoder.T).sum(-1) + jnp.sum((decoder.T @ decoder) * covariance)
    fit = -missed / (2 * variance) - len(decoder) / 2 * math.log(2 * math.pi * variance)
    kl = (jnp.square(mean) + var - 1 - jnp.log(var)) / 2
    joint = jnp.log(var).sum() / 2 - jnp.log(jnp.diagonal(scale)).sum()
    return fit - kl.sum(-1) - joint, kl


def linear_optimum(
    mean: Array, covariance: Array, num_latents: int, *, variance: float
) -> LinearOptimum:
    """max E_x ELBO of a `linear_vae`, over x with mean μ and covariance C = U Λ Uᵀ, in closed form.

    The model is p(z) = N(0, I), p(x | z) = N(W z + μ, σ² I) and q(z | x) = N(V (x - μ), S). At the
    optimum W = U (Λ - σ²)₊^½ over the n largest λ, V = Wᵀ / max(λ, σ²) and S = σ² / max(λ, σ²),
    where Λ = diag(λ), and a₊ = max(a, 0).

    mean: μ [d]. covariance: C [d, d]; one that is not symmetric or has a negative eigenvalue raises
        `ValueError`
    num_latents: n ≤ d. variance: σ² of p(x | z), which is not trained

    Returns a `LinearOptimum`, computed in float64: `params`, {"mean": μ [d], "decoder": W [d, n],
    "encoder": V [n, d], "scale": ½ log of the diagonal of S, [n]}; `kl` [n],
    the mean KL_i of each unit, the largest first; `num_active`, the number of units with a KL above
    0; and `bound`, the maximum; KL and bound in nats. Unit i is active if λ_i > σ², with KL_i =
    ½ log(λ_i / σ²) on average over x; for any other unit q(z_i | x) is the prior. The bound is
    tight: it equals E_x log p(x) of probabilistic PCA with this σ², so no other posterior is
    better. W R with any orthogonal R has the same likelihood, but a diagonal S allows only
    permutations and reflections R (for distinct λ). Lucas et al. (2019), "Don't blame the ELBO!",
    section 4; Tipping and Bishop (1999), "Probabilistic principal component analysis".
    """
    mean, values, vectors = _spectrum(mean, covariance)
    dim = len(mean)
    num_latents = checks.positive_int(num_latents, "num_latents")
    if num_latents > dim:
        raise checks.InputError(f"num_latents must be at most d = {dim}; got {num_latents}.")
    variance = checks.positive(variance, "variance")
    kept = np.maximum(values[:num_latents], variance)
    decoder = vectors[:, :num_latents] * np.sqrt(kept - variance)
    params = {
        "mean": mean,
        "decoder": decoder,
        "encoder": decoder.T / kept[:, None],
        "scale": np.log(variance / kept) / 2,
    }
    explained = np.full(dim, variance)  # the variances of p(x)
    explained[:num_latents] = kept
    terms = np.log(2 * math.pi * explained) + values / explained
    params = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in params.items()}
    num_active = int((values[:num_latents] > variance).sum())
    return LinearOptimum(params, np.log(kept / variance) / 2, num_active, -terms.sum() / 2)


def _spectrum(mean, covariance):
    """The mean, and eigenvalues and eigenvectors of the covariance, the largest first; float64."""
    mean = checks.finite_rows(mean, "mean").astype(np.float64)
    covariance = checks.finite_rows(covariance, "covariance").astype(np.float64)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise checks.InputError(
            f"mean and covariance must be [d] and [d, d]; got {mean.shape} and {covariance.shape}."
        )
    values, vectors = np.linalg.eigh(covariance)
    small = 1e-5 * max(values[-1], 0)
    if abs(covariance - covariance.T).max() > small or values[0] < -small:
        raise checks.InputError(
            "covariance must be symmetric without a negative eigenvalue; got one whose least is "
            f"{values[0]:.3g}."
        )
    return mean, values[::-1], vectors[:, ::-1]


def best_posterior(
    decoder: Array, *, variance: float, covariance: str = "diagonal"
) -> tuple[Array, Array]:
    """min KL(q ‖ p(z | x)) over q(z | x) = N(m, S) for a `linear_vae`: the best S, and its KL.

    The exact posterior p(z | x) has the precision P = I + Wᵀ W / σ² for every x, and the best m is
    its mean.

    decoder: W [d, n]. variance: σ² of p(x | z)
    covariance: the form of S. "full" gives S = P⁻¹ and a KL of 0. "diagonal" gives S_ii = 1 / P_ii,
        narrower than the marginals (P⁻¹)_ii, and a KL of ½ (Σ_i log P_ii - log |P|), which is 0
        only if the columns of W are orthogonal

    Returns (S [n, n], the KL, a scalar in nats). For x = w_1 z_1 + w_2 z_2 + ε, whose likelihood
    depends on w_1² + w_2² alone, training with a diagonal S therefore leads to w_1 = 0 or w_2 = 0:
    a unit collapses. Lucas et al. (2019), "Don't blame the ELBO!", section 4.
    """
    checks.floating(decoder, "decoder", (None, None))
    variance = checks.positive(variance, "variance")
    checks.choice(covariance, SHAPES, "covariance")
    precision = jnp.eye(decoder.shape[1]) + decoder.T @ decoder / variance
    if covariance == "full":
        return jnp.linalg.inv(precision), jnp.zeros(())
    each = jnp.diagonal(precision)
    gap = (jnp.log(each).sum() - jnp.linalg.slogdet(precision).logabsdet) / 2
    return jnp.diag(1 / each), gap


def linear_probe(
    codes: Rows, labels: Rows, new_codes: Rows, new_labels: Rows, *, ridge: float = 1.0
) -> float:
    """1/m Σ_i 1[argmax_k (Bᵀ z_i + b)_k = y_i]: the accuracy of a linear classifier of codes.

    It lies in 0..1 and says how much of a class can be read from a code linearly. B and b minimise
    Σ ‖Bᵀ z + b - e_y‖² + ridge ‖B‖² over the training rows, in closed form, with codes standardised
    by the training rows and e_y the one-hot class.

    codes, labels: training rows, [n, k] and integers [n] from 0; as codes give posterior means, not
        samples
    new_codes, new_labels: the rows that are scored, [m, k] and [m]
    ridge: the weight of the penalty, above 0

    Returns a float. Codes without information score about the frequency of the most frequent class.
    Raises `ValueError` for other shapes or codes that are not finite.
    """
    codes, labels = _labelled(codes, labels, "codes", "labels")
    new_codes, new_labels = _labelled(new_codes, new_labels, "new_codes", "new_labels")
    if new_codes.shape[1] != codes.shape[1]:
        raise checks.InputError(
            f"new_codes must have {codes.shape[1]} columns as codes; got {new_codes.shape[1]}."
        )
    ridge = checks.positive(ridge, "ridge")
    centre, spread = codes.mean(0), codes.std(0)
    standard = lambda c: (c - centre) / np.where(spread > 1e-6, spread, 1)
    a, targets = standard(codes), np.eye(labels.max() + 1)[labels]
    offset = targets.mean(0)
    gram = a.T @ a + ridge * np.eye(a.shape[1])
    weights = np.linalg.solve(gram, a.T @ (targets - offset))
    named = (standard(new_codes) @ weights + offset).argmax(1)
    return float((named == new_labels).mean())


def _labelled(codes, labels, name, labels_name):
    """Codes [n, k] in float64, and a class 0, 1, ... for each."""
    codes = checks.finite_rows(codes, name).astype(np.float64)
    labels = checks.on_host(labels, labels_name)
    if codes.ndim != 2:
        raise checks.InputError(f"{name} must be rows [n, k]; got shape {codes.shape}.")
    if labels.shape != codes.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise checks.InputError(
            f"{labels_name} must be a class 0, 1, ... for each of {len(codes)} rows; got "
            f"{labels.dtype} of shape {labels.shape}, {checks.shown(labels.tolist())}."
        )
    return codes, labels
