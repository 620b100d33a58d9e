"""log p(x) of latent variable models by importance sampling from the prior or from q(z | x)."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import compiled_once
from ..objectives import log_weights, mean_and_stderr
from ..protocol import Array, Key, LatentVariable, Params, Rows
from .likelihood import in_batches


class Estimate(NamedTuple):
    """log p(x_n) ≈ log 1/K Σ_k w_k for each row, with weights w_k of mean E w_k = p(x_n).

    log_prob: the estimates, [n], in nats
    stderr: their standard errors, √(1/ESS - 1/K), [n], from the spread of the weights; 0 for K = 1,
        which shows none
    effective_samples: ESS = (Σ w)² / Σ w², in 1..K, [n]; if it is near 1, stderr is unreliable
    num_samples: K
    method: how the weights were computed, in words

    By Jensen's inequality the estimate is too low in expectation, for large K by about the relative
    variance of w over 2K (that of a reverse chain is too high instead). Compare estimates only at
    equal K. `str` shows the mean over rows, its standard error, the method and K.
    """

    log_prob: np.ndarray  # [n], in nats
    stderr: np.ndarray  # [n]: that of log_prob by the spread of its weights, √(1/ESS - 1/K);
    # of one sample 0, since it shows none
    effective_samples: np.ndarray  # [n]: ESS = (Σ w)² / Σ w²; if near 1, `stderr` is unreliable
    num_samples: int  # K
    method: str

    def __str__(self):
        mean, stderr = mean_and_stderr(self.log_prob)
        return (
            f"{float(mean):.2f} ± {float(stderr):.2f} nats (mean of {len(self.log_prob)} rows; "
            f"{self.method}, K = {self.num_samples})"
        )


class Weights(NamedTuple):
    """Sums of weights w relative to the largest one, for each row, [b]: a running logsumexp.

    peak: max log w; total: Σ exp(log w - peak); squares: Σ exp(2 (log w - peak))
    """

    peak: Array  # max log w, [b]
    total: Array  # Σ exp(log w - peak)
    squares: Array  # Σ exp(2 log w - 2 peak)


@checks.spelled
def importance_log_prob(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Rows,
    cond: Rows | None = None,
    *,
    num_samples: int,
    chunk_size: int = 50,
    batch_size: int = 100,
) -> Estimate:
    """log 1/K Σ_k p(x, z_k) / q(z_k | x), z_k ~ q(z | x), for each row of x, in nats.

    The bound L_K, a lower bound of log p(x) in expectation that rises with K to log p(x); K = 1 is
    the ELBO. It works for any model, hierarchies included. Returns an `Estimate` with `log_prob`
    [n], `stderr` [n], `effective_samples` [n] = (Σ w)² / Σ w² of the weights w_k = p(x, z_k) /
    q(z_k | x), `num_samples` K and `method`, in words.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    key: draws z_k
    x: rows [n, ...]
    cond: one condition per row, or one for all
    num_samples: K
    chunk_size, batch_size: how many samples and rows are computed at once; memory is their product

    Cost: n passes of the encoder for each chunk and n · K of the decoder (an incomplete last batch
    costs as much as a full one); compiled once for all params. Raises `InputError` for counts below
    1, and for x that is empty or not finite. Burda et al. (2016), "Importance weighted
    autoencoders", equation 8.
    """
    return _estimate(
        _by_posterior, "importance sampling", model, params, key, x, cond,
        num_samples, chunk_size, batch_size,
    )  # fmt: skip


@checks.spelled
def naive_log_prob(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Rows,
    cond: Rows | None = None,
    *,
    num_samples: int,
    chunk_size: int = 50,
    batch_size: int = 100,
) -> Estimate:
    """log 1/K Σ_k p(x | z_k), z_k ~ p(z), for each row of x, in nats.

    Returns an `Estimate` with `log_prob` [n], `stderr` [n], `effective_samples` [n] = (Σ w)² / Σ w²
    of the weights w_k = p(x | z_k), `num_samples` K and `method`, in words. Naive Monte Carlo is
    unbiased for p(x), but useless for log p(x) if few samples of the prior explain x, since K must
    grow as e^KL(p(z | x) ‖ p(z)). It uses no encoder, and so shows what an encoder contributes.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    key: draws z_k
    x: rows [n, ...]
    cond: one condition per row, or one for all
    num_samples: K
    chunk_size, batch_size: how many samples and rows are computed at once; memory is their product

    Cost: n · K passes of the decoder. Raises `InputError` for counts below 1, and for x that is
    empty or not finite.
    """
    return _estimate(
        _by_prior, "naive Monte Carlo", model, params, key, x, cond,
        num_samples, chunk_size, batch_size,
    )  # fmt: skip


def _estimate(
    weigh, method, model, params, key, x, cond, num_samples, chunk_size, batch_size
) -> Estimate:
    num_samples = checks.positive_int(num_samples, "num_samples")
    chunk = min(checks.positive_int(chunk_size, "chunk_size"), num_samples)
    parts = rows_of(model, params, key, x, cond)
    batch_size = checks.positive_int(batch_size, "batch_size")

    def scored(batch_key, *batch):
        return _scored(weigh, model, num_samples, chunk, params, batch_key, *batch)

    found = in_batches(scored, key, parts, batch_size)
    return Estimate(*(np.asarray(a, float) for a in found), num_samples, method)


def rows_of(
    model: LatentVariable, params: Params, key: Key, x: Rows | int, cond: Rows | None
) -> tuple[np.ndarray, ...]:
    """(x,) or (x, cond), checked, with equally many rows, on the host.

    An integer x is a number of rows to be generated; it is returned as a vector of that length.
    """
    checks.noun(model, LatentVariable, "model")
    checks.parameters(params, model.init)
    checks.key(key)
    if isinstance(x, int):
        x = np.zeros(x, bool)
    else:
        x = checks.finite_rows(x, "x")
        _check_events(x, model)
    checks.condition(cond, model.cond_shape)
    if cond is None or model.cond_shape is None:
        return (x,)
    cond = checks.finite_rows(cond, "cond")
    shape = (len(x), *model.cond_shape)
    if cond.shape not in (shape, shape[1:]):
        raise checks.InputError(
            f"cond must be one for each of {len(x)} rows of x, or one for all; got {cond.shape}."
        )
    return x, np.broadcast_to(cond, shape)


def _check_events(x, model):
    """Rows that are events of the likelihood: what does not look at an encoder has no other word
    for those that are not."""
    event_shape = _event_shape(model)
    if x.shape[1:] != event_shape:
        wanted = ", ".join(map(str, ("n", *event_shape)))
        raise checks.InputError(f"x must have shape [{wanted}], as model makes it; got {x.shape}.")


@functools.lru_cache(maxsize=64)
def _event_shape(model):
    shapes = []

    def trace(key):
        init_key, z_key = jax.random.split(key)
        params = model.init(init_key)
        cond = None if model.cond_shape is None else jnp.zeros(model.cond_shape)
        z = model.prior(params, cond).sample(seed=z_key)
        shapes.append(tuple(model.likelihood(params, z, cond).event_shape))

    jax.eval_shape(trace, jax.eval_shape(lambda: jax.random.key(0)))
    return shapes[0]


def _by_posterior(model, params, key, num, x, cond=None):
    """log p(x, z_k) - log q(z_k | x), [num, b]."""
    return log_weights(model, params, key, x, cond, num_samples=num)


def _by_prior(model, params, key, num, x, cond=None):
    """log p(x | z_k), [num, b]: each row has samples of its own."""
    z = from_prior(model, params, key, num, len(x), cond)
    return model.likelihood(params, z, cond).log_prob(x)


def from_prior(
    model: LatentVariable, params: Params, key: Key, num: int, rows: int, cond: Array | None
) -> Any:
    """z ~ p(z | c): `num` samples for each of `rows` rows, [num, rows, ...], or a tree of these.

    model: with a prior, which may depend on c; cond: c, one per row [rows, *cond_shape], or None
    """
    if cond is None:
        return model.prior(params).sample(seed=key, sample_shape=(num, rows))

    def of_row(key, cond):
        return model.prior(params, cond).sample(seed=key, sample_shape=(num,))

    return jax.vmap(of_row, out_axes=1)(jax.random.split(key, rows), cond)


def _all_samples(weigh: Callable, model, num_samples, chunk, params, key, *batch):
    """(log 1/K Σ w, its standard error, ESS), each [b], of exactly K samples, chunk by chunk."""
    first_key, scan_key, last_key = jax.random.split(key, 3)
    num_chunks, rest = divmod(num_samples, chunk)
    of_chunk = lambda chunk_key: gathered(weigh(model, params, chunk_key, chunk, *batch))
    if num_chunks == 1:
        weights = of_chunk(first_key)
    else:  # one loop of all chunks, so that the model is compiled once
        keys = [first_key[None], jax.random.split(scan_key, num_chunks - 1)]
        weights = jax.lax.scan(
            lambda weights, chunk_key: (merged(weights, of_chunk(chunk_key)), None),
            _no_weights(jax.eval_shape(of_chunk, first_key)),
            jnp.concatenate(keys),
        )[0]
    if rest:
        weights = merged(weights, gathered(weigh(model, params, last_key, rest, *batch)))
    return told(weights, num_samples)


_scored = compiled_once(_all_samples, static_argnums=(0, 1, 2, 3))


def gathered(log_w: Array) -> Weights:
    """(max log w, Σ w, Σ w²) over K weights of each row, relative to the largest one: `Weights`.

    log_w: [K, b]. A row whose weights are all 0 has the peak -inf and the sums 0.
    """
    peak = log_w.max(0)
    w = jnp.exp(log_w - jnp.where(peak == -jnp.inf, 0, peak)[None])
    return Weights(peak, w.sum(0), (w**2).sum(0))


def _no_weights(like: Weights) -> Weights:
    """What `merged` changes nothing by."""
    peak, *sums = (jnp.zeros(part.shape, part.dtype) for part in like)
    return Weights(peak - jnp.inf, *sums)


def merged(a: Weights, b: Weights) -> Weights:
    """The `Weights` of two sets of weights together: sums relative to the larger peak.

    a, b: of the same rows, [b] each
    """
    peak = jnp.maximum(a.peak, b.peak)
    safe = jnp.where(peak == -jnp.inf, 0, peak)
    a_scale, b_scale = jnp.exp(a.peak - safe), jnp.exp(b.peak - safe)
    return Weights(
        peak,
        a_scale * a.total + b_scale * b.total,
        a_scale**2 * a.squares + b_scale**2 * b.squares,
    )


def told(weights: Weights, num_samples: int) -> tuple[Array, Array, Array]:
    """(log 1/K Σ w, √(1/ESS - 1/K), ESS), ESS = (Σ w)² / Σ w²: estimates from `Weights`, each [b].

    The logarithm in nats, its standard error by the delta method, and the effective sample size.

    weights: sums of K weights for each row; num_samples: K
    """
    some = jnp.where(weights.total > 0, weights.total, 1)
    effective = jnp.where(
        weights.total > 0, some**2 / jnp.where(weights.total > 0, weights.squares, 1), 0
    )
    log_prob = weights.peak + jnp.log(some) - math.log(num_samples)
    spread = 1 / jnp.maximum(effective, 1) - 1 / num_samples
    return log_prob, jnp.sqrt(jnp.maximum(spread, 0)), effective
