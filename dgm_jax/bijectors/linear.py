"""Factors of linear maps, whose inverse and log-determinant are cheap.

All act on the last axis. With event_ndims=1 an event is a vector [..., d]. With event_ndims=3 it is
an image [..., H, W, C] whose channels are mapped at every pixel (a 1×1 convolution), so the
log-determinant is H·W times that of one pixel. A product such as P L U is a `distrax.Chain`.
"""

import math
from functools import partial

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import no_log_det, same_rank, wide
from ..protocol import Array, Rows


class Diagonal(distrax.Bijector):
    """y = e^s ⊙ x + b, on vectors x [..., d], with log|det ∂y/∂x| = Σ_i s_i.

    log_scale: s [d]
    shift: b [d]; None for 0
    event_ndims: 1 for vectors; 3 for the channels of images [..., H, W, d], where the
        log-determinant is H·W times as large
    """

    same_as = checks.same_bijector

    def __init__(self, log_scale: Array, shift: Array | None = None, *, event_ndims: int = 1):
        event_ndims = checks.positive_int(event_ndims, "event_ndims")
        super().__init__(event_ndims_in=event_ndims, is_constant_jacobian=True)
        checks.floating(log_scale, "log_scale", (None,))
        if shift is not None:
            checks.floating(shift, "shift", log_scale.shape)
        self._log_scale = log_scale
        self._shift = jnp.zeros_like(log_scale) if shift is None else shift

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        checks.events(x, self._log_scale.shape[-1])
        x, log_scale, shift = same_rank(x, self._log_scale, self._shift)
        y = x * jnp.exp(log_scale) + shift
        return y, _log_det(self._log_scale, x, self.event_ndims_in)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        checks.events(y, self._log_scale.shape[-1], "y")
        y, log_scale, shift = same_rank(y, self._log_scale, self._shift)
        x = (y - shift) * jnp.exp(-log_scale)
        return x, -_log_det(self._log_scale, y, self.event_ndims_in)


class Triangular(distrax.Bijector):
    """y = M x, M triangular [d, d] with the diagonal e^s, and log|det M| = Σ_i s_i.

    On vectors x [..., d]. The log-determinant costs O(d), where that of a full matrix costs O(d³).
    The inverse is a substitution, O(d²) as is the product. Arithmetic in float32 at least.

    matrix: [d, d], of which only the entries below (or above) the diagonal are read
    log_diagonal: s [d]
    lower: whether M is lower or upper triangular
    event_ndims: 1 for vectors; 3 for the channels of images [..., H, W, d], where the
        log-determinant is H·W times as large
    """

    same_as = checks.same_bijector

    def __init__(self, matrix: Rows, log_diagonal: Rows, *, lower: bool, event_ndims: int = 1):
        event_ndims = checks.positive_int(event_ndims, "event_ndims")
        super().__init__(event_ndims_in=event_ndims, is_constant_jacobian=True)
        _check_square(matrix)
        checks.floating(log_diagonal, "log_diagonal", matrix.shape[:1])
        lower = checks.flag(lower, "lower")
        dtype = wide(matrix, log_diagonal)
        strict = jnp.tril(matrix, -1) if lower else jnp.triu(matrix, 1)
        self._matrix = strict.astype(dtype) + jnp.diag(jnp.exp(log_diagonal.astype(dtype)))
        self._log_diagonal, self._lower = log_diagonal, lower

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        checks.events(x, len(self._log_diagonal))
        y = (x.astype(self._dtype(x)) @ self._matrix.T).astype(x.dtype)
        return y, _log_det(self._log_diagonal, x, self.event_ndims_in)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        checks.events(y, len(self._log_diagonal), "y")
        rows = y.astype(self._dtype(y)).reshape(-1, y.shape[-1])  # [n, d]: one solve for all
        matrix = self._matrix.astype(rows.dtype)
        solved = jax.scipy.linalg.solve_triangular(matrix, rows.T, lower=self._lower).T
        x = solved.reshape(y.shape).astype(y.dtype)
        return x, -_log_det(self._log_diagonal, y, self.event_ndims_in)

    def _dtype(self, x):
        return jnp.result_type(x, self._matrix)


class Orthogonal(distrax.Bijector):
    """y = Q x for a matrix Q [d, d] with QᵀQ = I: the inverse is Qᵀ, log|det Q| = 0.

    matrix: Q; any other matrix raises InputError, except in traced code (`jit`), where its values
        are not known. Make one by `bijectors.householder`
    event_ndims: 1 for vectors x [..., d]; 3 for the channels of images [..., H, W, d]
    Cost: O(d²) per vector, in both directions.
    """

    same_as = checks.same_bijector

    def __init__(self, matrix: Array, *, event_ndims: int = 1):
        event_ndims = checks.positive_int(event_ndims, "event_ndims")
        super().__init__(event_ndims_in=event_ndims, is_constant_jacobian=True)
        _check_square(matrix)
        _check_orthogonal(matrix)
        self._matrix = matrix

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return self._multiply(x, self._matrix.T)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return self._multiply(y, self._matrix)

    def _multiply(self, x, matrix):
        checks.events(x, len(matrix))
        y = (x.astype(jnp.result_type(x, matrix)) @ matrix).astype(x.dtype)
        return y, no_log_det(x, self.event_ndims_in)


def householder(vectors: Array) -> Array:
    """Q = H_1 H_2 ... H_k with H_i = I - 2 v_i v_iᵀ / ‖v_i‖²; vectors [..., k, d] -> Q [..., d, d].

    A product of k reflections, which is orthogonal for any vectors v_i; a zero vector gives H_i =
    I.

    Computed without a loop: with unit v_i as the columns of V, Q = I - V (½I + striu(VᵀV))⁻¹ Vᵀ,
    two products and a substitution, where striu is the triangle above the diagonal. Cost: O(d²k).
    Arithmetic in float32 at least. Joffrain et al. (2006), "Accumulating Householder
    transformations, revisited".
    """
    checks.floating(vectors, "vectors")
    if jnp.ndim(vectors) < 2:
        raise checks.InputError(f"vectors must have shape [..., k, d]; got {jnp.shape(vectors)}.")
    vectors = jnp.asarray(vectors, wide(vectors))
    squares = (vectors**2).sum(-1, keepdims=True)
    v = vectors * jax.lax.rsqrt(jnp.where(squares > 0, squares, 1))  # [..., k, d]
    v_t = jnp.swapaxes(v, -1, -2)
    unit = partial(jnp.eye, dtype=v.dtype)
    above, half = same_rank(jnp.triu(v @ v_t, 1), unit(v.shape[-2]) / 2)
    moved = v_t @ jax.scipy.linalg.solve_triangular(above + half, v)
    one, moved = same_rank(unit(v.shape[-1]), moved)
    return one - moved


def _check_square(matrix):
    checks.floating(matrix, "matrix", (None, None))
    if matrix.shape[0] != matrix.shape[1]:
        raise checks.InputError(f"matrix must have shape [d, d]; got {matrix.shape}.")


def _check_orthogonal(matrix):
    """NaN passes: it is seen in all that is made of it."""
    if checks.readable(matrix):
        q = np.asarray(matrix, np.float64)
        off = np.abs(q.T @ q - np.eye(len(q))).max(initial=0)
        if off > 32 * float(jnp.finfo(matrix.dtype).eps) * math.sqrt(len(q)):
            raise checks.InputError(
                f"matrix must be orthogonal, QᵀQ = I; got one where they differ by {off:.3g}. "
                "Make one of any vectors with householder, or take Triangular."
            )


def _log_det(log_diagonal, x, event_ndims):
    """Σ_i s_i once for each pixel, for each event of x."""
    batch = x.ndim - event_ndims
    total = math.prod(x.shape[batch:-1]) * log_diagonal.sum()
    return jnp.broadcast_to(total, x.shape[:batch])
