"""Residual maps with a cheap determinant, by the determinant lemma: planar and Sylvester flows."""

import distrax
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from .. import checks
from ..arrays import same_rank, wide
from ..protocol import Array
from .roots import find_root


class Sylvester(distrax.Bijector):
    """y = x + A tanh(B x + b), with T = B A upper triangular [m, m] and t_ii > -1, on x [..., d].

    By Sylvester's identity det(I_d + A diag(h') B) = det(I_m + diag(h') T), so log|det ∂y/∂x| = Σ_i
    log(1 + h'_i t_ii), h' = tanh'(B x + b): O(m). With m = 1 it is the planar flow, A = u, B = wᵀ.

    a, b: A [..., d, m] and B [..., m, d]
    shift: the vector b [..., m]
    t: T = B A [..., m, m], given because its triangular form is known where A and B are made; that
        it is B A is not checked
    dtype: of the results, together with that of x; by default that of the parameters

    The inverse solves v + T tanh(v) = B y + b for v, last entry first, each by bisection of an
    increasing scalar function to the precision of the dtype; then x = y - A tanh(v). Its gradient,
    by the implicit function theorem, is one triangular system. Rounding errors of B y are amplified
    in v by ‖(I + T diag(h'))⁻¹‖: 1 / (1 + h' t) for m = 1; for larger m products of such factors
    with the off-diagonal entries of T, which are not bounded.
    Cost: `forward` O(dm); `inverse` O(dm) and m sequential root searches. Arithmetic in float32 at
    least. Rezende and Mohamed (2015), "Variational inference with normalizing flows", eq. 10; van
    den Berg et al. (2018), "Sylvester normalizing flows", eqs. 8-15.
    """

    same_as = checks.same_bijector

    def __init__(
        self, a: Array, b: Array, shift: Array, t: Array, *, dtype: DTypeLike | None = None
    ):
        super().__init__(event_ndims_in=1)
        _check_shapes(a, b, shift, t)
        own = jnp.result_type(a, b, shift, t)
        self._dtype = own if dtype is None else checks.dtype(dtype, "dtype")
        parts = (jnp.asarray(part, wide(own)) for part in (a, b, shift, t))
        self._a, self._b, self._shift, self._t = parts

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        checks.events(x, self._a.shape[-2])
        v = self._project(x)
        y = sum(same_rank(x, _times(self._a, jnp.tanh(v))))
        return self._results(x, y, self._log_det(v))

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        checks.events(y, self._a.shape[-2], "y")
        v = _triangular_root(self._t, self._project(y))
        x = sum(same_rank(y, -_times(self._a, jnp.tanh(v))))
        return self._results(y, x, -self._log_det(v))

    def _project(self, x):
        v, shift = same_rank(
            _times(self._b, jnp.asarray(x, jnp.result_type(x, self._b))), self._shift
        )
        return v + shift

    def _log_det(self, v):
        diagonal = jnp.diagonal(self._t, axis1=-2, axis2=-1)
        slope, diagonal = same_rank(1 - jnp.tanh(v) ** 2, diagonal)
        return jnp.log1p(slope * diagonal).sum(-1)

    def _results(self, like, *results):
        dtype = jnp.result_type(like, self._dtype)
        return tuple(result.astype(dtype) for result in results)


def _check_shapes(a, b, shift, t):
    for value, name in ((a, "a"), (b, "b"), (shift, "shift"), (t, "t")):
        checks.floating(value, name)
    if jnp.ndim(a) < 2:
        raise checks.InputError(f"a must have shape [..., d, m]; got {jnp.shape(a)}.")
    d, m = a.shape[-2:]
    for value, name, shape in ((b, "b", (m, d)), (shift, "shift", (m,)), (t, "t", (m, m))):
        checks.event_shape(value, shape, name)


def _times(matrix, vector):
    if matrix.ndim == 2:
        return vector @ matrix.T
    matrix, row = same_rank(matrix, vector[..., None, :])
    return (matrix * row).sum(-1)


def _triangular_root(t: Array, right: Array) -> Array:
    """The v [..., m] with v + T tanh(v) = right, for T upper triangular with t_ii > -1."""
    m, of_each = t.shape[-1], same_rank(t, right[..., None])[0]

    def f(v):
        return v + _times(t, jnp.tanh(v)) - right

    def substitute(f, start):
        def solve_entry(k, v):  # v_i for i = m-1-k; the entries after it are known, the others 0
            i = m - 1 - k
            others = (of_each[..., i, :] * jnp.tanh(v)).sum(-1)
            alone = right[..., i] - others  # v_i + t_ii tanh(v_i)
            slope = jnp.broadcast_to(of_each[..., i, i], alone.shape)
            reach = jnp.abs(slope)  # |tanh| < 1
            root = find_root(
                lambda u: u + slope * jnp.tanh(u) - alone, alone - reach, alone + reach
            )
            return v.at[..., i].set(root)

        return jax.lax.fori_loop(0, m, solve_entry, start)

    def tangent_solve(linear, y):
        units = jnp.eye(m, dtype=y.dtype)
        columns = [linear(jnp.broadcast_to(unit, y.shape)) for unit in units]
        jacobian = jnp.stack(columns, -1)  # I + T diag(h'), upper triangular
        return jax.scipy.linalg.solve_triangular(jacobian, y[..., None])[..., 0]

    return jax.lax.custom_root(f, jnp.zeros_like(right), substitute, tangent_solve)
