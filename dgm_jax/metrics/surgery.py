"""The KL term of the ELBO in two parts: information about the data, and distance to the prior."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..objectives import infer
from ..protocol import Array, Key, LatentVariable, Params, Rows


class Surgery(NamedTuple):
    """ELBO = reconstruction - mutual_information - marginal_kl, means over rows, scalars in nats.

    elbo: E log p(x | z) - E KL(q(z | x) ‖ p(z))
    reconstruction: E log p(x | z)
    kl: E KL(q(z | x) ‖ p(z)) = mutual_information + marginal_kl
    mutual_information: I(n; z), of the number n of a row and its code z
    marginal_kl: KL(q(z) ‖ p(z)) of the aggregate posterior q(z) = 1/N Σ_n q(z | x_n)
    most: log N, or log B of batches, an upper bound of mutual_information

    All are computed from the same samples, so the sums hold up to rounding. Returned by
    `elbo_surgery`.
    """

    elbo: Array
    reconstruction: Array  # E log p(x | z)
    kl: Array  # E KL(q(z | x) ‖ p(z))
    mutual_information: Array  # I(n; z), of the index n of a row and its code
    marginal_kl: Array  # KL(q(z) ‖ p(z)) of the aggregate posterior q(z) = 1/N Σ_n q(z | x_n)
    most: Array  # log N, or log B of batches


@checks.spelled
def elbo_surgery(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Rows,
    cond: Rows | None = None,
    *,
    batch_size: int | None = None,
    stratified: bool = False,
    chunk: int = 256,
) -> Surgery:
    """E KL(q(z | x_n) ‖ p) = I(n; z) + KL(q(z) ‖ p), with one z_n ~ q(z | x_n) per row, in nats.

    The information that codes have about the rows n, and the distance of the aggregate posterior
    q(z) = 1/N Σ_n q(z | x_n) from the prior. I(n; z) ≤ log N, with equality if codes identify all
    rows: then more data would have more. Returns `Surgery`, scalars in nats: `elbo`,
    `reconstruction` E log p(x | z), `kl`, its parts `mutual_information` and `marginal_kl`, and
    `most`, the bound log N of the information (log B of batches with stratified=False).

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    key: draws z_n and the order of rows
    x: rows [N, ...], at least two; cond: one condition per row, or one for all. With conditions a
        row is (x_n, c_n), and p is p(z | c_n)
    batch_size: None sums q(z) over all rows, exact up to the samples z_n. A number B estimates it
        within batches of B rows in random order (incomplete batches are dropped), which has a bias:
    - stratified=False: q(z) by 1/B Σ_m q(z | x_m). The mutual information is I(n; z | batch) ≤ log
      B in expectation, too low by I(batch; z), which is between 0 and log N/B
    - stratified=True: q(z) by 1/N q(z | x_n) + (N - 1)/N · 1/(B - 1) Σ_{m≠n} q(z | x_m), which is
      unbiased, so that the mutual information is too high by Jensen's inequality, and ≤ log N
    chunk: how many rows are scored at once; memory is [chunk, chunk, *z]

    Cost: N² densities q(z_n | x_m), or N B; N²/chunk, or N B/chunk, encoders; N decoders. Jit it. z
    may be a tree if `model.posterior(...)` scores it. Fewer than two rows, or a batch_size below 2
    or above N, raise `InputError`. Hoffman and Johnson (2016), "ELBO surgery", equation 9; Chen et
    al. (2018), appendix C.1.
    """
    checks.noun(model, LatentVariable, "model")
    checks.parameters(params, model.init)
    checks.key(key)
    rows, chunk = _rows(model, x, cond), checks.positive_int(chunk, "chunk")
    num = len(rows[0])
    stratified = checks.flag(stratified, "stratified")
    if batch_size is None and stratified:
        raise checks.InputError("stratified=True corrects batches: give a batch_size.")
    if batch_size is None:
        return _of_rows(model, params, key, rows, num, chunk)
    size = checks.positive_int(batch_size, "batch_size", least=2)
    if size > num:
        raise checks.InputError(f"batch_size must be at most the {num} rows; got {size}.")
    order_key, key = jax.random.split(key)
    order = jax.random.permutation(order_key, num)[: num // size * size].reshape(-1, size)
    keys = jax.random.split(key, len(order))
    total = num if stratified else size

    def of_batch(given):
        key, taken = given
        batch = tuple(part[taken] for part in rows)
        return _of_rows(model, params, key, batch, total, chunk)

    return jax.tree.map(lambda a: a.mean(0), jax.lax.map(of_batch, (keys, order)))


def _of_rows(model, params, key, rows, total, chunk):
    """The surgery of one batch, taken for one of `total` rows."""
    num = len(rows[0])
    chunk = min(chunk, num)
    rows, keys = _in_chunks(rows, chunk), jax.random.split(key, -(-num // chunk))

    def code(given):
        key, row = given
        found = infer(model, params, key, *row)
        if found.log_posterior.shape != (1, chunk):
            raise checks.InputError(
                f"x must be rows [n, ...] of the model; got shape {(num, *row[0].shape[1:])}."
            )
        return jax.tree.map(lambda a: a[0], found._replace(kl={}))

    found = jax.lax.map(code, (keys, rows))  # z [chunks, chunk, ...]
    numbers = jnp.arange(-(-num // chunk) * chunk).reshape(-1, chunk)
    log_own = -math.log(total)
    log_other = math.log1p(-1 / total) - math.log(num - 1)

    def log_marginal(given):
        z, own, log_q_own = given

        def add(log_sum, others):
            row, other = others
            log_q = _pairs(model, params, z, row)  # [z, row]
            own_row = own[:, None] == other[None]
            log_w = jnp.where(own_row, log_own, log_other)
            log_w = jnp.where(other[None] < num, log_w, -jnp.inf)  # those that fill up the last
            log_q = jnp.where(own_row, log_q_own[:, None], log_q) + log_w
            return jnp.logaddexp(log_sum, jax.nn.logsumexp(log_q, 1)), None

        start = jnp.full_like(log_q_own, -jnp.inf)
        return jax.lax.scan(add, start, (rows, numbers))[0]

    log_q = jax.lax.map(log_marginal, (found.z, numbers, found.log_posterior))

    def mean(values):
        return values.reshape(-1)[:num].mean()

    reconstruction = mean(found.log_likelihood)
    information = mean(found.log_posterior - log_q)
    marginal = mean(log_q - found.log_prior)
    kl = information + marginal
    most = jnp.asarray(-log_own, kl.dtype)
    return Surgery(reconstruction - kl, reconstruction, kl, information, marginal, most)


def _pairs(model, params, z, row):
    """log q(z_i | x_m), [i, m]."""
    apart = jax.tree.map(lambda a: a[:, None], z)
    return model.posterior(params, *row).log_prob(apart)


def _in_chunks(rows, chunk):
    """Each part as [chunks, chunk, ...]; the first rows once more fill up the last chunk."""
    num = len(rows[0])
    taken = jnp.arange(-(-num // chunk) * chunk) % num
    return tuple(jnp.asarray(part)[taken].reshape(-1, chunk, *part.shape[1:]) for part in rows)


def _rows(model, x, cond):
    """(x,) or (x, cond), with as many rows."""
    checks.array(x, "x")
    num = jnp.shape(x)[0] if jnp.ndim(x) else 1
    if num < 2:
        raise checks.InputError(
            f"x must have at least two rows to tell apart; got shape {jnp.shape(x)}."
        )
    checks.condition(cond, model.cond_shape)
    if cond is None:
        return (jnp.asarray(x),)
    shape = (num, *model.cond_shape)
    if jnp.shape(cond) not in (shape, shape[1:]):
        raise checks.InputError(
            f"cond must be one for each of {num} rows of x, or one for all; got {jnp.shape(cond)}."
        )
    return jnp.asarray(x), jnp.broadcast_to(cond, shape)
