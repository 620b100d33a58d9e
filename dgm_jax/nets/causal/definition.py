"""Any causal net one coordinate at a time, by the definition.

A net is causal when output i depends on the inputs before i only. Inverting a flow or sampling a
density then needs the inputs one after the other, which the lecture does with d full passes. That
is `naive`. Nets that know their own structure do better: see `nets.causal.triangular`.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...protocol import CausalNet, Shape
from .linearized import LinearCausalNet


def naive(
    init: Callable,
    apply: Callable,
    dim: int,
    order: Sequence[int] | None = None,
    *,
    levels: bool = False,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """Any causal `apply` as a `CausalNet`: each unroll is d full passes, as in the lecture.

    The definition that every faster unroll must equal. order[t] is the coordinate made at step t.
    levels: x holds integers; such a net has no derivative by x, so no `linearize`.
    With a key each pass draws the same: apply(params, x, cond, key=key).
    """
    checks.positive_int(dim, "dim")
    order = np.arange(dim) if order is None else np.asarray(order)
    checks.permutation(order, dim)

    def one_by_one(outputs, emit, values, order):
        """Each step runs the whole map, and makes coordinate i of the values final."""

        def fill_one(values, i):
            return values.at[:, i].set(emit(i, outputs(values)[:, i])), None

        values, _ = jax.lax.scan(fill_one, values, jnp.asarray(order))
        return values, outputs(values)

    def one_pass(params, x, cond, key):  # a clone, since every pass draws the same by intent
        return apply(params, x, cond, key=None if key is None else jax.random.clone(key))

    def unroll(params, emit, batch_shape, cond=None, *, key=None):
        nothing = jnp.full((*batch_shape, dim), 0 if levels else 0.0)  # weakly typed
        f = jax.eval_shape(one_pass, params, nothing, cond, key)
        f_0 = jax.ShapeDtypeStruct((*batch_shape, f.shape[-1]), f.dtype)
        dtype = jnp.int32 if levels else jnp.result_type(f, jax.eval_shape(emit, 0, f_0))
        start = jnp.zeros((math.prod(batch_shape), dim), dtype)
        flat_f = (-1, dim, f.shape[-1])

        def outputs(x):
            return one_pass(params, x.reshape(*batch_shape, dim), cond, key).reshape(flat_f)

        def emit_flat(i, f_i):
            return emit(i, f_i.reshape(f_0.shape)).reshape(-1).astype(dtype)

        x, f_x = one_by_one(outputs, emit_flat, start, order)
        f = f_x.reshape(f.shape)
        return x.reshape(*batch_shape, dim), f, f

    def linearize(params, x, units, cond=None, *, key=None):
        """Its units are its outputs: what the net has inside is not known."""
        push = jax.linearize(lambda x: one_pass(params, x, cond, key), x)[1]
        pull = jax.linear_transpose(push, x)
        flat_x, flat_f = (-1, dim), (-1, *units.shape[-2:])
        one_x, one_f = x.shape[:-1], (*x.shape[:-1], units.shape[-1])

        def added(params_dot, cond_dot):
            def at_x(p, c):
                return one_pass(p, x, c, key)

            return jax.jvp(at_x, (params, cond), (params_dot, cond_dot))[1]

        def unroll(emit, right):
            x_dot, f_dot = one_by_one(
                lambda v: (push(v.reshape(x.shape)) + right).reshape(flat_f),
                lambda i, a: emit(i, a.reshape(one_f)).reshape(-1),
                jnp.zeros_like(x).reshape(flat_x),
                order,
            )
            return x_dot.reshape(x.shape), f_dot.reshape(units.shape)

        def unroll_back(emit, right):
            by_output = jnp.moveaxis(right, -2, 0)
            f_bar, v = one_by_one(
                lambda u: pull(u.reshape(units.shape))[0].reshape(flat_x),
                lambda i, a: (by_output[i] + emit(i, a.reshape(one_x))).reshape(-1, flat_f[-1]),
                jnp.zeros_like(units).reshape(flat_f),
                order[::-1],
            )
            return f_bar.reshape(units.shape), v.reshape(x.shape)

        return LinearCausalNet(added, lambda v, u: push(v), lambda u: u, unroll, unroll_back)

    return CausalNet(init, apply, unroll, None if levels else linearize, cond_shape)
