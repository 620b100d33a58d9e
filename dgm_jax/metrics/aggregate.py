"""The three parts of the KL of the ELBO over a whole data set, from arrays of codes."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..objectives import log_aggregate
from ..objectives.aggregate import ESTIMATES, log_pairs
from ..protocol import Array, Key


class KLTerms(NamedTuple):
    """E KL(q(z | x) ‖ N(0, I)) = mutual_information + total_correlation + dimension_kl, in nats.

    mutual_information: I(n; z) ≤ log N, of the number n of a row and its code z
    total_correlation: KL(q(z) ‖ ∏_j q(z_j)), the dependence among the entries of z
    dimension_kl: Σ_j KL(q(z_j) ‖ N(0, 1))

    Scalars. q(z) = 1/N Σ_n q(z | x_n) is the aggregate posterior. They are means over one sample of
    z per row, so the sum equals the KL up to the noise of the samples.
    """

    mutual_information: Array  # I(n; z) <= log N, of the index n of a row and its code
    total_correlation: Array  # KL(q(z) ‖ ∏_j q(z_j))
    dimension_kl: Array  # Σ_j KL(q(z_j) ‖ N(0, 1))


@checks.spelled
def kl_terms(
    key: Key,
    mean: Array,
    scale: Array,
    *,
    num_codes: int | None = None,
    batch_size: int | None = None,
    estimate: str = "stratified",
    chunk: int = 512,
) -> KLTerms:
    """I(n; z), KL(q(z) ‖ ∏_j q(z_j)), Σ_j KL(q(z_j) ‖ N(0, 1)) of q(z | x_n) = N(μ_n, diag σ_n²).

    The three parts of the KL in the ELBO, for N rows of data. q(z) = 1/N Σ_n q(z | x_n), the
    aggregate posterior, is summed over all rows and evaluated at one z per row; only the mean over
    z is an estimate. Returns `KLTerms`, scalars in nats: `mutual_information`, `total_correlation`
    and `dimension_kl`, in this order.

    key: draws z and the order of rows
    mean, scale: μ_n and σ_n of all rows, [N, d], N ≥ 2
    num_codes: for how many rows, drawn without replacement, a z is sampled; None for all
    batch_size: instead estimate q(z) from batches of rows in random order, as in training
        (`objectives.log_aggregate`); incomplete batches are dropped
    estimate: how, from the B = batch_size rows of a batch: "stratified", 1/N q(z_n | x_n) + (N -
        1)/N · mean over m ≠ n of q(z_n | x_m), unbiased for q(z_n); "plain", the mean over all m;
        "weighted", that divided by N
    chunk: how many rows and codes are compared at once; memory is [chunk, chunk, d]

    Both num_codes and batch_size, or more than N, raise `InputError`. Jit it. Cost: N num_codes d
    Gaussians, or N batch_size d. Chen et al. (2018), "Isolating sources of disentanglement in
    VAEs", equation 2.
    """
    checks.key(key)
    checks.floating(mean, "mean", (None, None))
    checks.floating(scale, "scale", mean.shape)
    checks.choice(estimate, ESTIMATES, "estimate")
    chunk = checks.positive_int(chunk, "chunk")
    if len(mean) < 2:
        raise checks.InputError(f"mean must have at least two rows to tell apart; got {len(mean)}.")
    if batch_size is not None and num_codes is not None:
        raise checks.InputError("num_codes is of sums over all rows; leave it, or batch_size, out.")
    num_codes = _at_most(num_codes, len(mean), "num_codes", 1)
    size = _at_most(batch_size, len(mean), "batch_size", 2)
    draw_key, order_key = jax.random.split(key)
    mean, scale = jnp.asarray(mean), jnp.asarray(scale)
    z = mean + scale * jax.random.normal(draw_key, mean.shape, mean.dtype)
    order = jax.random.permutation(order_key, len(mean))
    if batch_size is None:
        return _of_set(z, mean, scale, order[:num_codes], chunk)
    batches = order[: len(mean) // size * size].reshape(-1, size)
    return _of_batches(z, mean, scale, batches, estimate)


def _of_set(z, mean, scale, taken, chunk):
    """At the codes that are taken, by all rows."""
    joint, product = jax.lax.map(
        lambda z: _of_all(z, mean, scale, chunk), z[taken], batch_size=min(chunk, len(taken))
    )
    return _parts(z[taken], mean[taken], scale[taken], joint, product)


def _of_batches(z, mean, scale, batches, estimate):
    def of_batch(taken):
        log_q = log_pairs(z[taken], mean[taken], scale[taken])
        joint = log_aggregate(log_q.sum(-1), len(mean), estimate=estimate)
        product = log_aggregate(log_q, len(mean), estimate=estimate).sum(-1)
        return _parts(z[taken], mean[taken], scale[taken], joint, product)

    return jax.tree.map(lambda a: a.mean(0), jax.lax.map(of_batch, batches))


def _of_all(z, mean, scale, chunk):
    """log q(z) and Σ_j log q(z_j) of one z [d], by all rows."""
    num, dim = mean.shape
    full = num // chunk * chunk

    def add(sums, rows):
        log_q = log_pairs(z[None], *rows)[0]
        found = log_q.sum(-1), log_q
        return tuple(jnp.logaddexp(s, jax.nn.logsumexp(f, 0)) for s, f in zip(sums, found)), None

    sums = (jnp.full((), -jnp.inf, z.dtype), jnp.full(dim, -jnp.inf, z.dtype))
    if full:
        rows = tuple(a[:full].reshape(-1, chunk, dim) for a in (mean, scale))
        sums = jax.lax.scan(add, sums, rows)[0]
    if full < num:
        sums = add(sums, (mean[full:], scale[full:]))[0]
    return sums[0] - math.log(num), (sums[1] - math.log(num)).sum()


def _parts(z, mean, scale, log_joint, log_product):
    standard = (z - mean) / scale
    constant = 0.5 * math.log(2 * math.pi) * z.shape[-1]
    log_q = -0.5 * jnp.square(standard).sum(-1) - jnp.log(scale).sum(-1) - constant
    log_prior = -0.5 * jnp.square(z).sum(-1) - constant
    each = (log_q - log_joint, log_joint - log_product, log_product - log_prior)
    return KLTerms(*(part.mean() for part in each))


def _at_most(value, num, name, least):
    """How many of num rows; all by default."""
    value = num if value is None else checks.positive_int(value, name, least=least)
    if value > num:
        raise checks.InputError(f"{name} must be at most the {num} rows; got {value}.")
    return value
