"""The E-step of mixtures of Gaussians: moments of the rows under each component, in chunks.

Responsibilities r_nk = p(k | x_n) are computed for a chunk of rows at a time and not kept, so
memory does not depend on the number of rows. All mixtures of Gaussians use this pass: EM, MAP,
k-means and variational inference differ in `log_weights` and `whiten`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ..protocol import Array

FORMS = ("features", "centred")
CHUNK_BYTES = 2**20  # of what is made of a chunk: half the second cache of many cores


class Moments(NamedTuple):
    """Means over the rows, with x relative to the means m_k used in the E-step."""

    weight: Array  # r_nk, [K]
    first: Array  # r_nk (x_n - m_k), [K, d]
    second: Array  # r_nk (x_n - m_k)(x_n - m_k)ᵀ, [K, d, d]; of diagonals r_nk (x_n - m_k)², [K, d]
    num_rows: Array  # N


def moments(
    x: Array,
    log_weights: Array,
    means: Array,
    whiten: Array,
    *,
    centre: Array | None = None,
    hard: bool = False,
    form: str | None = None,
    chunk: int | None = None,
) -> tuple[Moments, Array]:
    """r_nk ∝ exp(ρ_nk), ρ_nk = w_k - ½ ‖W_k (x_n - m_k)‖²: (`Moments`, mean_n log Σ_k exp ρ_nk).

    x: [n, d]; log_weights: w [K]; means: m [K, d]; whiten: W [K, d, d], or its diagonals [K, d].
    hard: r_nk is 1 for the best k and 0 for others, and the second result is the mean of its ρ.
    form: how the quadratic form is computed.

    - "features": as a linear function of the d(d+1)/2 products x_i x_j, which give ρ and the second
      moments: 2nKd² operations. x is taken relative to `centre` [d], and the rounding error of ρ is
      about ‖W_k (m_k - centre)‖² units of the last digit. The default in float64.
    - "centred": from x - m_k, for one k after the other: 4nKd² operations, no cancellation. The
      default in other dtypes.

    chunk: rows at a time; by default what fits into a cache. Memory is O(chunk (d² + K)).
    """
    form = _default_form(x.dtype) if form is None else form
    diagonal = whiten.ndim == 2
    if form == "features":
        of_rows = _diagonal_features if diagonal else _features
        origin = means.mean(0) if centre is None else centre
    else:
        of_rows, origin = _centred, jnp.zeros_like(means[0])
    shifts = means - origin
    prepared = of_rows(log_weights, shifts, whiten, hard)
    chunk = default_chunk(x.shape[1], len(means), x.dtype, diagonal) if chunk is None else chunk
    total = sum_over_chunks(lambda rows: prepared(rows - origin), x, chunk)
    log_total, weight, first, second = jax.tree.map(lambda a: a / len(x), total)
    if form == "features":
        first, second = _about_means(weight, first, second, shifts, diagonal)
    return Moments(weight, first, second, jnp.asarray(len(x), x.dtype)), log_total


def _default_form(dtype):
    return "features" if dtype == jnp.float64 else "centred"


def default_chunk(dim: int, num_components: int, dtype: DTypeLike, diagonal: bool) -> int:
    """The number of rows whose products and responsibilities fill a cache.

    dim, num_components: d and K; diagonal: whether covariances are.
    """
    width = num_components + (2 * dim if diagonal else dim * (dim + 1) // 2)
    return max(64, min(4096, CHUNK_BYTES // (width * jnp.dtype(dtype).itemsize)))


def sum_over_chunks(function: Callable[[Array], Any], x: Array, chunk: int) -> Any:
    """Σ_c function(x_c), where the x_c are consecutive parts of `chunk` rows of x [n, ...].

    The last part is shorter if chunk does not divide n. So function is called for at most `chunk`
    rows at a time, and the memory for its intermediate values does not grow with n.

    function: rows [m, ...] -> an array, or a tree of arrays, whose shapes do not depend on m. The
        sum over all rows is then the same as function(x), up to rounding, if it is itself a sum
        over rows
    """
    num = len(x) // chunk

    def add(i, total):
        rows = jax.lax.dynamic_slice_in_dim(x, i * chunk, chunk)
        return jax.tree.map(jnp.add, total, function(rows))

    if num == 0:
        return function(x)
    if num == 1:
        total = function(x[:chunk])
    else:
        shapes = jax.eval_shape(function, jax.ShapeDtypeStruct((chunk, *x.shape[1:]), x.dtype))
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
        total = jax.lax.fori_loop(0, num, add, zeros)
    if len(x) % chunk:
        total = jax.tree.map(jnp.add, total, function(x[num * chunk :]))
    return total


def assigned(log_joint: Array, hard: bool, axis: int = -1) -> tuple[Array, Array]:
    """Responsibilities r and normalisers [rows] of ρ = log_joint, with the components along `axis`.

    hard: r is 1 for the best component, and the normaliser its ρ.
    """
    if hard:
        best, num = jnp.argmax(log_joint, axis), log_joint.shape[axis]
        return jax.nn.one_hot(best, num, dtype=log_joint.dtype, axis=axis), log_joint.max(axis)
    log_total = jax.nn.logsumexp(log_joint, axis)
    return jnp.exp(log_joint - jnp.expand_dims(log_total, axis)), log_total


# ------------------------------------------ three forms: rows -> log total, weight, first, second
def _features(log_weights, shifts, whiten, hard):
    """Second moments come out packed, [d(d+1)/2, K]."""
    rows, columns = np.triu_indices(shifts.shape[-1])
    precision = jnp.einsum("kij,kil->kjl", whiten, whiten, precision="highest")
    half = jnp.asarray(np.where(rows == columns, 0.5, 1.0), shifts.dtype)
    quadratic = precision[:, rows, columns] * half  # [K, d(d+1)/2]
    linear = jnp.einsum("kij,kj->ki", precision, shifts, precision="highest")
    constant = log_weights - 0.5 * (linear * shifts).sum(-1)

    def of_rows(x):
        x = x.T  # gathering whole rows is fast, columns slow
        products = x[rows] * x[columns]  # [d(d+1)/2, rows]
        log_joint = constant[:, None] + _dot(linear, x, 1, 0) - _dot(quadratic, products, 1, 0)
        r, log_total = assigned(log_joint, hard, axis=0)
        return log_total.sum(), r.sum(1), _dot(r, x, 1, 1), _dot(products, r, 1, 1)

    return of_rows


def _diagonal_features(log_weights, shifts, whiten, hard):
    precision = whiten**2
    linear = precision * shifts
    constant = log_weights - 0.5 * (linear * shifts).sum(-1)

    def of_rows(x):
        squares = x * x
        log_joint = _dot(x, linear, 1, 1) - 0.5 * _dot(squares, precision, 1, 1) + constant
        r, log_total = assigned(log_joint, hard)
        return log_total.sum(), r.sum(0), _dot(r, x, 0, 0), _dot(r, squares, 0, 0)

    return of_rows


def _centred(log_weights, means, whiten, hard):
    diagonal = whiten.ndim == 2

    def distance(x, m, w):
        y = (x - m) * w if diagonal else _dot(x - m, w, 1, 1)
        return (y * y).sum(-1)

    def under(x, m, r):
        from_mean = x - m
        weighted = r[:, None] * from_mean
        if diagonal:
            return weighted.sum(0), (weighted * from_mean).sum(0)
        return weighted.sum(0), _dot(weighted, from_mean, 0, 0)

    def of_rows(x):
        squared = jax.lax.map(lambda part: distance(x, *part), (means, whiten))  # [K, rows]
        r, log_total = assigned(log_weights - 0.5 * squared.T, hard)
        first, second = jax.lax.map(lambda part: under(x, *part), (means, r.T))
        return log_total.sum(), r.sum(0), first, second

    return of_rows


def _dot(a, b, i, j):
    """Σ over axis i of a and axis j of b, both matrices."""
    return jax.lax.dot_general(a, b, (((i,), (j,)), ((), ())), precision="highest")


def _about_means(weight, first, second, shifts, diagonal):
    """Moments of x - c as those of x - m_k, with m_k - c = shifts."""
    if diagonal:
        second = second - 2 * shifts * first + weight[:, None] * shifts**2
        return first - weight[:, None] * shifts, second
    dim = shifts.shape[-1]
    place = np.zeros((dim, dim), np.int32)
    rows, columns = np.triu_indices(dim)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    second = second.T[:, place]  # [K, d, d]
    cross = first[:, :, None] * shifts[:, None]
    second = second - cross - jnp.swapaxes(cross, 1, 2)
    second = second + weight[:, None, None] * shifts[:, :, None] * shifts[:, None]
    return first - weight[:, None] * shifts, second
