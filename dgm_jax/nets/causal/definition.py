"""Any causal net, one coordinate at a time, by definition.

A net is causal if output i depends only on the inputs before i. To invert a flow or to sample from
a density, the inputs are computed one after the other; the lecture does this by d full passes,
which is `naive`. A net that uses its own structure needs less: see `nets.causal.triangular`.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...protocol import Array, CausalNet, Key, Params, Shape, again
from .linearized import LinearCausalNet


def naive(
    init: Callable[[Key], Params],
    apply: Callable[..., Array],
    dim: int,
    order: Sequence[int] | np.ndarray | None = None,
    *,
    levels: bool = False,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """f_i(x_<i) for all i by one pass, x_i = emit(i, f_i(x_<i)) by d passes: any causal `apply`.

    Makes a `CausalNet`, for `autoregressive.density`, of a pair (init, apply). Its unroll(params,
    emit, batch_shape, cond=None, key=None) -> (x, f, units) computes x one coordinate after the
    other, as in the lecture: d times a pass over all of x, of which only output i is used. `emit`
    is given by the caller; a sampler draws x_i from p(x_i; f_i) there. Every faster unroll must
    equal this one.

    init: init(key) -> params
    apply: apply(params, x, cond, key=key) -> f [..., d, k] for x [..., d], where f_i must depend
        only on the coordinates before i in the order; this is not checked. With a key, all passes
        use the same one, so the same dropout
    dim: d
    order: order[t] is the coordinate computed at step t; default 0..d-1
    levels: whether x holds integers. Such a net has no derivative with respect to x, and no
        `linearize`
    cond_shape: the shape of one condition c [..., *cond_shape], or None
    Cost: `unroll` d + 1 passes; the last one computes f at the finished x.
    """
    checks.function(init, "init")
    checks.function(apply, "apply")
    dim, levels = checks.positive_int(dim, "dim"), checks.flag(levels, "levels")
    cond_shape = checks.cond_shape(cond_shape)
    order = checks.permutation(np.arange(dim) if order is None else order, dim)
    net = _Naive(apply, dim, order, levels)
    return CausalNet(init, apply, net.unroll, None if levels else net.linearize, cond_shape)


def _one_by_one(outputs, emit, values, order):
    """v_i = emit(i, outputs(v)_i) for each i in `order`, where outputs(v)_i reads those before i.

    values [batch, d, ...] is what v holds at first; outputs(v) is [batch, d, ...]. Each step runs
    `outputs` on all of v to set one coordinate. Returns (v, outputs(v)).
    """

    def fill_one(values, i):
        return values.at[:, i].set(emit(i, outputs(values)[:, i])), None

    values, _ = jax.lax.scan(fill_one, values, jnp.asarray(order))
    return values, outputs(values)


class _Naive(NamedTuple):
    apply: Callable[..., Array]
    dim: int
    order: np.ndarray
    levels: bool

    def one_pass(self, params, x, cond, key):
        """f [..., d, k]. Every pass draws the same."""
        return self.apply(params, x, cond, key=again(key))

    def unroll(
        self,
        params: Params,
        emit: Callable,
        batch_shape: Shape,
        cond: Array | None = None,
        *,
        key: Key | None = None,
    ) -> tuple[Array, Array, Array]:
        nothing = jnp.full((*batch_shape, self.dim), 0 if self.levels else 0.0)  # weakly typed
        f = jax.eval_shape(self.one_pass, params, nothing, cond, key)
        f_0 = jax.ShapeDtypeStruct((*batch_shape, f.shape[-1]), f.dtype)
        dtype = jnp.int32 if self.levels else jnp.result_type(f, jax.eval_shape(emit, 0, f_0))

        def outputs(x):
            x = x.reshape(*batch_shape, self.dim)
            return self.one_pass(params, x, cond, key).reshape(-1, *f.shape[-2:])

        def emit_flat(i, f_i):
            return emit(i, f_i.reshape(f_0.shape)).reshape(-1).astype(dtype)

        start = jnp.zeros((math.prod(batch_shape), self.dim), dtype)
        x, f_x = _one_by_one(outputs, emit_flat, start, self.order)
        f = f_x.reshape(f.shape)
        return x.reshape(*batch_shape, self.dim), f, f

    def linearize(
        self,
        params: Params,
        x: Array,
        units: Array,
        cond: Array | None = None,
        *,
        key: Key | None = None,
    ) -> LinearCausalNet:
        """The derivative at x. The units are the outputs, since no other sums are known.

        So spread(ẋ, u̇) is (∂f/∂x) ẋ, and added(θ̇, ċ) is (∂f/∂θ) θ̇ + (∂f/∂c) ċ.
        """

        def at_x(params, cond):
            return self.one_pass(params, x, cond, key)

        def added(params_dot, cond_dot):
            return jax.jvp(at_x, (params, cond), (params_dot, cond_dot))[1]

        push = jax.linearize(lambda x: self.one_pass(params, x, cond, key), x)[1]
        linear = _Linear(push, x, units.shape, self.order)
        return LinearCausalNet(
            added, lambda x_dot, _: push(x_dot), lambda u: u, linear.unroll, linear.unroll_back
        )


class _Linear(NamedTuple):
    """A = ∂f/∂x, known by `push`: ẋ ↦ A ẋ. Both triangular systems with A take d passes of it."""

    push: Callable[[Array], Array]
    x: Array
    f_shape: Shape
    order: np.ndarray

    def unroll(self, emit, right):
        """ẋ_i = emit(i, (A ẋ + right)_i)."""
        f_i_shape = (*self.f_shape[:-2], self.f_shape[-1])
        x_dot, f_dot = _one_by_one(
            lambda v: self.rows_of_f(self.push(v.reshape(self.x.shape)) + right),
            lambda i, f_i: emit(i, f_i.reshape(f_i_shape)).reshape(-1),
            self.rows_of_x(jnp.zeros_like(self.x)),
            self.order,
        )
        return x_dot.reshape(self.x.shape), f_dot.reshape(self.f_shape)

    def unroll_back(self, emit, right):
        """f̄_i = emit(i, v_i) + right_i with v = Aᵀ f̄, from the last coordinate to the first."""
        pull = jax.linear_transpose(self.push, self.x)
        right_rows, k = jnp.moveaxis(right, -2, 0), self.f_shape[-1]
        f_bar, v = _one_by_one(
            lambda u: self.rows_of_x(pull(u.reshape(self.f_shape))[0]),
            lambda i, v_i: (right_rows[i] + emit(i, v_i.reshape(self.x.shape[:-1]))).reshape(-1, k),
            self.rows_of_f(jnp.zeros(self.f_shape, right.dtype)),
            self.order[::-1],
        )
        return f_bar.reshape(self.f_shape), v.reshape(self.x.shape)

    def rows_of_x(self, x):
        return x.reshape(-1, self.x.shape[-1])

    def rows_of_f(self, f):
        return f.reshape(-1, *self.f_shape[-2:])
