"""Running a causal net one coordinate at a time, every activation computed once.

A net is causal when output i depends on the inputs before i only. Inverting a flow or sampling a
density then needs the inputs one after the other, which the lecture does with d full passes:
`naive`, the definition. But a unit that depends on the first k inputs is final as soon as
these are known. With the units of each layer sorted by k, all weight matrices are block triangular
and the whole of x is one forward substitution: `unroll_layers`, the arithmetic of one pass.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..protocol import Array, CausalNet


def naive(init: Callable, apply: Callable, dim: int, order: Sequence[int] | None = None) -> CausalNet:
    """Any causal `apply` as a `CausalNet`: each unroll is d full passes, as in the lecture.

    The definition that every faster unroll must equal. order[t] is the coordinate made at step t.
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

    def unroll(params, emit, batch_shape, cond=None):
        nothing = jnp.full((*batch_shape, dim), 0.0)  # weakly typed: the parameters decide
        f = jax.eval_shape(apply, params, nothing, cond)
        f_0 = jax.ShapeDtypeStruct((*batch_shape, f.shape[-1]), f.dtype)
        dtype = jnp.result_type(f, jax.eval_shape(emit, 0, f_0))
        start = jnp.zeros((math.prod(batch_shape), dim), dtype)
        flat_f = (-1, dim, f.shape[-1])

        def outputs(x):
            return apply(params, x.reshape(*batch_shape, dim), cond).reshape(flat_f)

        def emit_flat(i, f_i):
            return emit(i, f_i.reshape(f_0.shape)).reshape(-1).astype(dtype)

        x, f_x = one_by_one(outputs, emit_flat, start, order)
        return x.reshape(*batch_shape, dim), f_x.reshape(f.shape)

    def linear_unroll(params, x, emit, cond=None, *, transpose):
        f, push = jax.linearize(lambda x: apply(params, x, cond), x)
        batch_shape, flat_x, flat_f = x.shape[:-1], (-1, dim), (-1, dim, f.shape[-1])
        if transpose:
            pull = jax.linear_transpose(push, x)
            values, products = one_by_one(
                lambda u: pull(u.reshape(f.shape))[0].reshape(flat_x),
                lambda i, a: emit(i, a.reshape(batch_shape)).reshape(-1, f.shape[-1]),
                jnp.zeros_like(f).reshape(flat_f),
                order[::-1],
            )
            return values.reshape(f.shape), products.reshape(x.shape)
        values, products = one_by_one(
            lambda v: push(v.reshape(x.shape)).reshape(flat_f),
            lambda i, a: emit(i, a.reshape(*batch_shape, f.shape[-1])).reshape(-1),
            jnp.zeros_like(x).reshape(flat_x),
            order,
        )
        return values.reshape(x.shape), products.reshape(f.shape)

    return CausalNet(init, apply, unroll, linear_unroll)


class Layers(NamedTuple):
    """A block-triangular net, feature-major: inputs [d·p, batch] -> layers -> outputs [d·q, batch].

    The coordinates are in the order in which they are made; the units of each layer are sorted by
    the step that completes them. All matrices are [out, in] with their illegal entries zero.
    """

    weights: list[Array]  # layer n: [units_n, units_{n-1}]; layer 0 reads the inputs
    offsets: list[Array]  # layer n: [units_n, batch or 1]
    readout: Array  # [d·q, units_last]
    direct: Array | None  # [d·q, d·p], straight from the inputs
    out_offset: Array  # [d·q, batch or 1]
    starts: list[np.ndarray]  # layer n: [d + 1]; step t completes units starts[t]:starts[t+1]


def unroll_layers(
    layers: Layers, emit: Callable, activate: Callable, batch: int, dim: int, num_blocks: int
) -> tuple[Array, Array]:
    """x_t = emit(t, f_t(x_<t)) for t = 0..d-1: a block forward substitution.

    emit(t, f [q, batch]) -> x [p, batch]; activate(n, start, a [units, batch]) -> units of layer n
    from `start` on. Returns x [d·p, batch] and f [d·q, batch].

    Cost: each entry of each matrix is used once. A block of coordinates first takes in everything
    already known by one product a matrix (nearly all of the arithmetic); an inner scan then walks
    its coordinates and touches the block's own small corner only. Compile time grows with
    num_blocks, memory is that of the activations.
    """
    depth, p = len(layers.weights), layers.weights[0].shape[1] // dim
    q = layers.readout.shape[0] // dim
    f = jnp.zeros((q, batch), layers.readout.dtype)
    dtype = jnp.result_type(f, jax.eval_shape(emit, 0, f))
    edges = np.linspace(0, dim, num_blocks + 1).round().astype(int)

    known = [jnp.zeros((0, batch), dtype)]  # inputs, then the units of each layer
    for n in range(depth):  # units that need no input at all
        first = layers.starts[n][0]
        a = layers.weights[n][:first, : known[n].shape[0]] @ known[n] + layers.offsets[n][:first]
        known.append(activate(n, 0, jnp.broadcast_to(a, (first, batch))))
    outputs = []
    for lo, hi in zip(edges[:-1], edges[1:]):
        span = [(s[lo], s[hi]) for s in layers.starts]
        block, f_block = _unroll_block(layers, emit, activate, batch, known, lo, hi, span, p, q)
        known = [jnp.concatenate([old, new]) for old, new in zip(known, block)]
        outputs.append(f_block)
    return known[0], jnp.concatenate(outputs)


def _unroll_block(layers, emit, activate, batch, known, lo, hi, span, p, q):
    """Coordinates lo..hi: take in what is known, then walk. Returns the block's inputs and units."""
    depth, size = len(span), hi - lo
    sizes = [b - a for a, b in span]
    dtype = known[0].dtype

    # Everything that is known already, one matrix product for each matrix.
    rows = slice(lo * q, hi * q)
    f_known = layers.readout[rows, : span[-1][0]] @ known[-1] + layers.out_offset[rows]
    if layers.direct is not None:
        f_known += layers.direct[rows, : lo * p] @ known[0]
    f_known = f_known.reshape(size, q, batch)
    a_known, corner = [], []
    for n, (a, b) in enumerate(span):
        left = lo * p if n == 0 else span[n - 1][0]
        right = hi * p if n == 0 else span[n - 1][1]
        a_known.append(layers.weights[n][a:b, :left] @ known[n] + layers.offsets[n][a:b])
        corner.append(layers.weights[n][a:b, left:right])
    f_corner = layers.readout[rows, span[-1][0] : span[-1][1]].reshape(size, q, sizes[-1])
    d_corner = None
    if layers.direct is not None:
        d_corner = layers.direct[rows, lo * p : hi * p].reshape(size, q, size * p)

    # Units are written in groups of one static size. A group may run into units of later steps:
    # their values are not final, but no legal weight reads them before their own step writes them.
    begins = [s[lo:hi] - a for s, (a, _) in zip(layers.starts, span)]
    groups = [int(np.max(np.diff(s[lo : hi + 1]), initial=0)) for s in layers.starts]

    def walk(block, step):
        s, begin = step
        f = f_known[s] + f_corner[s] @ block[-1]
        if d_corner is not None:
            f += d_corner[s] @ block[0]
        block = list(block)
        block[0] = jax.lax.dynamic_update_slice(block[0], emit(lo + s, f).astype(dtype), (s * p, 0))
        for n in range(depth):
            if not groups[n]:
                continue
            at = jnp.minimum(begin[n], sizes[n] - groups[n])
            weight = jax.lax.dynamic_slice(corner[n], (at, 0), (groups[n], corner[n].shape[1]))
            a = jax.lax.dynamic_slice(a_known[n], (at, 0), (groups[n], batch))
            units = activate(n, span[n][0] + at, a + weight @ block[n])
            block[n + 1] = jax.lax.dynamic_update_slice(block[n + 1], units, (at, 0))
        return tuple(block), f

    start = tuple(jnp.zeros((m, batch), dtype) for m in (size * p, *sizes))
    steps = (jnp.arange(size), [jnp.asarray(b) for b in begins])
    block, f = jax.lax.scan(walk, start, steps)
    return block, f.reshape(size * q, batch)


