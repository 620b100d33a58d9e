"""The aggregate posterior q(z) = 1/N Σ_m q(z | x_m) of N rows of data, estimated from a batch.

The KL term of the ELBO has three parts, means over rows in nats (`elbo_terms`):

    E KL(q(z | x) ‖ p(z)) = I(n; z) + KL(q(z) ‖ ∏_j q(z_j)) + KL(∏_j q(z_j) ‖ p(z))

the mutual information of a row's index and its code, the total correlation of the entries of the
code, and, for a prior with independent entries, the KL of each entry, Σ_j KL(q(z_j) ‖ p(z_j)).
Chen, Li, Grosse and Duvenaud (2018), "Isolating sources of disentanglement in VAEs", equation 2.

q(z) is a sum over all N rows, of which a step sees B. At z_n ~ q(z | x_n) the estimates are

- "stratified": 1/N q(z_n | x_n) + (N - 1)/N · 1/(B - 1) Σ_{m≠n} q(z_n | x_m), which is unbiased for
  q(z_n). It is that of appendix C.1, with equal weights for all other rows.
- "plain": 1/B Σ_m q(z_n | x_m), where x_n counts as one of B and not as one of N, so that the
  mutual information cannot exceed log B.
- "weighted": 1/(N B) Σ_m q(z_n | x_m), equation 5. It is the plain one over N: mutual information
  is log N higher than with "plain", and the total correlation of d entries (d - 1) log N. Gradients
  are those of "plain".
"""

import math
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..distributions.divergence import normal_entries
from ..protocol import Array, Key, LatentVariable, Params, split
from .bounds import check_pathwise, checked, scored

ESTIMATES = ("stratified", "plain", "weighted")


class ElboTerms(NamedTuple):
    """ELBO = -distortion - kl, and kl = mutual_information + total_correlation + dimension_kl.

    The first five are scalars, means over the batch in nats; q(z) = 1/N Σ_m q(z | x_m) is the
    aggregate posterior of the N rows of the data, and n the index of a row.

    distortion: -E log p(x | z)
    kl: E KL(q(z | x) ‖ p(z)), in closed form where there is one
    mutual_information: I(n; z) = E log q(z | x_n) - log q(z), of a row and its code
    total_correlation: KL(q(z) ‖ ∏_j q(z_j)), the dependence among the entries of the code
    dimension_kl: Σ_j KL(q(z_j) ‖ p(z_j)), computed as what is left of kl
    z, mean, scale: [batch, num_latents], one sample per row from q(z | x) = ∏_j N(mean_j, scale_j²)
    """

    distortion: Array  # -E log p(x | z)
    kl: Array  # E KL(q(z | x) ‖ p(z)), in closed form where there is one
    mutual_information: Array  # I(n; z)
    total_correlation: Array  # KL(q(z) ‖ ∏_j q(z_j))
    dimension_kl: Array  # Σ_j KL(q(z_j) ‖ p(z_j)): what is left of kl
    z: Array
    mean: Array
    scale: Array


@checks.spelled
def elbo_terms(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_data: int,
    estimate: str = "stratified",
    parts_key: Key | None = None,
) -> ElboTerms:
    """ELBO = E log p(x | z) - I(n; z) - KL(q(z) ‖ ∏_j q(z_j)) - Σ_j KL(q(z_j) ‖ p(z_j)), estimated.

    The ELBO with its KL in three parts, from one z_n ~ q(z | x_n) for each row n of a batch. q(z) =
    1/N Σ_m q(z | x_m) is the average over the data set, of which the batch is a part.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    x: B ≥ 2 different rows of the data, [B, *shape]. cond: one condition c_n per row, or one for
        all; with conditions a row is (x_n, c_n)
    key: draws z. parts_key: for dropout in the distributions; None for none
    num_data: N, the number of rows of the whole data set, at least B
    estimate: how q(z) and each q(z_j) are estimated from the B rows: "stratified", 1/N q(z_n | x_n)
        + (N - 1)/N · mean over m ≠ n of q(z_n | x_m), which is unbiased; "plain", the mean over all
        m of the batch, as if it were the data set; or "weighted", that divided by N. Their
        logarithms are biased

    Returns `ElboTerms`, means over the batch in nats: `distortion` -E log p(x | z), `kl`, and its
    parts `mutual_information`, `total_correlation` and `dimension_kl`, the last three terms of the
    formula; and `z`, `mean` and `scale` of the posterior, [B, num_latents].

    The posterior must be a Gaussian with independent entries; another raises `ValueError`, and so
    does B < 2. Differentiable in params; under `jax.pmap` the batch is that of one device. Cost:
    one pass of the model, and B² Gaussians of num_latents entries. Chen et al. (2018), "Isolating
    sources of disentanglement in VAEs", equation 2.
    """
    checked(model, params, key, x, 1, parts_key)
    checks.choice(estimate, ESTIMATES, "estimate")
    posterior_key, prior_key, likelihood_key = split(parts_key, 3)
    posterior = model.posterior(params, x, cond, key=posterior_key)
    check_pathwise(x, posterior)
    mean, scale = independent_entries(posterior)
    if len(mean) < 2:
        raise checks.InputError(f"x must have at least two rows to tell apart; got {len(mean)}.")
    num_data = _all_rows(num_data, len(mean))
    found = scored(model, params, posterior, key, x, cond, 1, prior_key, likelihood_key)
    z, kl = found.z[0], found.kl["z"].sum() / len(mean)
    log_q = log_pairs(_made_once(z), mean, scale)  # [z, row, entry]
    log_joint = log_aggregate(log_q.sum(-1), num_data, estimate=estimate)
    log_product = log_aggregate(log_q, num_data, estimate=estimate).sum(-1)
    information = (found.log_posterior[0] - log_joint).mean()
    correlation = (log_joint - log_product).mean()
    rest = kl - information - correlation
    distortion = -found.log_likelihood.mean()
    return ElboTerms(distortion, kl, information, correlation, rest, z, mean, scale)


def log_aggregate(log_q: Array, num_data: int, *, estimate: str = "stratified") -> Array:
    """log q(z_n), q(z) = 1/N Σ_m q(z | x_m), for the B rows n of a batch, in nats, [B, ...].

    log_q: log q(z_n | x_m) of all pairs [n, m, ...], [B, B, ...] with B ≥ 2. Axes after the first
        two are entries of z, each of which is estimated separately
    num_data: N, the number of rows of the data set, N ≥ B
    estimate: how the sum over N rows is estimated from B: "stratified", 1/N q(z_n | x_n) + (N -
        1)/N · mean over m ≠ n of q(z_n | x_m), which is unbiased for q(z_n); "plain", the mean over
        all m, as if the batch were the data set; "weighted", the plain one divided by N

    Raises `ValueError` for a log_q of another shape or for N < B. Chen et al. (2018), "Isolating
    sources of disentanglement in VAEs", equation 5 and appendix C.1.
    """
    checks.floating(log_q, "log_q")
    checks.choice(estimate, ESTIMATES, "estimate")
    num = log_q.shape[0] if log_q.ndim > 1 else 0
    if num < 2 or log_q.shape[1] != num:
        raise checks.InputError(
            f"log_q must be of all pairs of two rows or more, [B, B, ...]; got {log_q.shape}."
        )
    num_data = _all_rows(num_data, num)
    if estimate == "stratified":
        own, other = log_shares(num, num_data)
        log_w = np.where(np.eye(num, dtype=bool), own, other)
    else:
        log_w = np.full((num, num), -math.log(num))
    log_w = jnp.asarray(log_w.reshape(num, num, *[1] * (log_q.ndim - 2)), log_q.dtype)
    found = jax.nn.logsumexp(log_q + log_w, axis=1)
    return found - math.log(num_data) if estimate == "weighted" else found


def log_shares(num: int, total: int) -> tuple[float, float]:
    """Log-weights in q(z_n) of q(z_n | x_n), and of each of the num - 1 others of a batch.

    1/N, and (N - 1)/N · 1/(B - 1). With N = B both are 1/B.
    """
    return -math.log(total), math.log1p(-1 / total) - math.log(num - 1)


def log_pairs(z: Array, mean: Array, scale: Array) -> Array:
    """log N(z_ij; mean_mj, scale_mj²) for codes [i, j] and rows [m, j]: [i, m, j], in nats."""
    standard = (z[:, None] - mean[None]) / scale[None]
    return -0.5 * jnp.square(standard) - jnp.log(scale)[None] - 0.5 * math.log(2 * math.pi)


def independent_entries(posterior: distrax.Distribution) -> tuple[Array, Array]:
    """(mean, scale) [batch, n] of q(z | x), which must be a Gaussian with independent entries."""
    entries = normal_entries(posterior)
    if entries is None:
        raise checks.InputError(
            "model must have a posterior that is a Gaussian of independent entries, whose q(z_j | "
            f"x) are known, such as vae.diagonal(n); got {posterior.name.lstrip('_')}."
        )
    mean, scale = jnp.broadcast_arrays(*entries)
    if mean.ndim != 2:
        raise checks.InputError(
            "x must be rows, [batch, ...], with codes [batch, n]; the codes of this x have shape "
            f"{mean.shape}."
        )
    return mean, scale


def _made_once(z):
    """z as a product with I. XLA on a CPU would draw the noise in z again for each pair of rows."""
    return jnp.dot(z, jnp.eye(z.shape[-1], dtype=z.dtype), precision="highest")


def _all_rows(num_data, num):
    num_data = checks.positive_int(num_data, "num_data")
    if num_data < num:
        raise checks.InputError(
            f"num_data must be the rows of the whole set, at least the {num} of the batch; got "
            f"{num_data}."
        )
    return num_data
