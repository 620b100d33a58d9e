"""Block-triangular nets: a parallel pass, and a forward substitution that computes each unit once.

In a causal net a unit is known as soon as the inputs that it depends on are. Sort the units of each
layer by the step that completes them, and every weight matrix is block triangular. Three things
follow, all of them exact:

- the parallel pass multiplies the lower blocks only (`evaluate`);
- making the inputs one after the other, as the inverse of a flow or a sampler must, is a forward
  substitution: no unit is computed twice, so it costs the arithmetic of one pass (`unroll`);
- the transpose of such a net is such a net, made from the last coordinate to the first
  (`transposed`), so that cotangents are solved for in the same way.

All arrays are feature-major, [features, batch]: a step of the substitution writes whole rows.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...protocol import Array


class Layers(NamedTuple):
    """Inputs [d·p, batch] -> layers of units -> outputs [d·q, batch], coordinates in their order.

    Step t makes input t. Output t may read inputs and units of steps < t, a unit those of steps <=
    its own; entries of the matrices that break this rule are ignored.
    """

    weights: list[Array]  # layer n: [units_n, units_{n-1}]; layer 0 reads the inputs
    offsets: list[Array]  # layer n: [units_n, batch or 1]
    readout: Array  # [d·q, units_last]
    direct: Array | None  # [d·q, d·p], from the inputs to the outputs
    out_offset: Array  # [d·q, batch or 1]
    steps: list[np.ndarray]  # layer n: the step of each unit, ascending; -1 where it needs no input
    skips: list[int | None]  # layer n adds the stream of this earlier layer to its own
    dim: int
    p: int = 1
    q: int = 1


# What a unit does with its sum: unit(n, start, a [units, batch], skip) -> (stream, value), for the
# units of layer n from `start` on. The next layer reads values; skip connections read streams.
Unit = Callable[[int, Array | int, Array, Array | float], tuple[Array, Array]]


def evaluate(layers: Layers, x: Array, unit: Unit, *, num_blocks: int) -> tuple[list[Array], Array]:
    """All streams, and f [d·q, batch], for given inputs x [d·p, batch]: one pass.

    Cost: (1 + 1/num_blocks) / 2 of the multiplications of the dense masked matrices.
    """
    values, streams = [x], []
    for n in range(len(layers.weights)):
        a = _layer(layers, n, values[-1], num_blocks)
        stream, value = unit(n, 0, a, _skip(layers, n, streams, slice(None)))
        streams.append(stream)
        values.append(value)
    return streams, _outputs(layers, x, values[-1], num_blocks)


def sums(layers: Layers, x: Array, streams: list[Array], values: list[Array], *, num_blocks: int):
    """The sums that `evaluate` makes, of all layers at once, each from given values below it.

    Linear in the weights, and in the inputs, streams and values; returns ([units, batch] for each
    layer, skips added, and f).
    """
    below = [x, *values]
    made = [
        _layer(layers, n, below[n], num_blocks) + _skip(layers, n, streams, slice(None))
        for n in range(len(layers.weights))
    ]
    return made, _outputs(layers, x, below[-1], num_blocks)


def unroll(
    layers: Layers,
    emit: Callable[[Array, Array], tuple[Array, Any]],
    unit: Unit,
    batch: int,
    *,
    num_blocks: int,
    iterate: bool = False,
    tolerance: float = 0.0,
) -> tuple[Array, Any, Array, list[Array]]:
    """x_t, kept_t = emit(t, f_t(x_<t)) for t = 0..d-1, from f [q, batch] to x_t [p, batch].

    Returns x [d·p, batch], all that was kept (such as the levels that x encodes), stacked [d, ...],
    f(x) [d·q, batch], and all streams.

    A block of coordinates first takes in all that is known already, one product for each matrix:
    nearly all of the arithmetic. What is left is the block's own small corner of each matrix. The
    default walks it coordinate by coordinate, each unit once; `iterate` repeats it for all
    coordinates of the block together (Jacobi), until nothing changes by more than `tolerance`,
    which is exact after as many rounds as the block has coordinates.

    Cost: walking, the arithmetic of one pass, d small steps one after the other; iterating, fewer
    and larger steps, several times the arithmetic in the corners. Compile time grows with
    num_blocks.
    """
    inputs, outputs, bounds = _geometry(layers, num_blocks)
    f = jnp.zeros((layers.q, batch), layers.readout.dtype)
    dtype = jnp.result_type(f, jax.eval_shape(emit, 0, f)[0])

    known = [jnp.zeros((0, batch), dtype)]  # inputs, then the values of each layer
    streams = []
    for n, own in enumerate(layers.steps):  # units that need no input at all
        rows = slice(0, int((own < 0).sum()))
        a = layers.weights[n][rows, : len(known[n])] @ known[n] + layers.offsets[n][rows]
        a = jnp.broadcast_to(a, (rows.stop, batch)).astype(dtype)
        stream, value = unit(n, 0, a, _skip(layers, n, streams, rows))
        streams.append(stream)
        known.append(value)
    made, all_kept = [], []
    for lo, hi in pairwise(bounds):
        block = _take_in(layers, known, lo, hi, inputs, outputs)
        if iterate:
            new, kept, f = _iterate(layers, block, emit, unit, dtype, tolerance)
        else:
            new, kept, f = _walk(layers, block, emit, unit, dtype)
        values, new_streams = new
        known = [jnp.concatenate(pair) for pair in zip(known, values)]
        streams = [jnp.concatenate(pair) for pair in zip(streams, new_streams)]
        made.append(f)
        all_kept.append(kept)
    kept = jax.tree.map(lambda *parts: jnp.concatenate(parts), *all_kept)
    return known[0], kept, jnp.concatenate(made), streams


def transposed(layers: Layers) -> Layers:
    """The same connections backwards: outputs to inputs, last layer and last coordinate first.

    Offsets are zero, since it is the linear part that has a transpose. With p and q exchanged, step
    t makes what belongs to coordinate d-1-t.
    """
    dim, p, q = layers.dim, layers.p, layers.q
    depth = len(layers.weights)

    def backwards(matrix, groups_out=None, groups_in=None):
        """Transposed, rows and columns in reverse; the entries of a coordinate keep their order."""
        out, inner = matrix.shape
        groups_out, groups_in = groups_out or out, groups_in or inner
        matrix = matrix.reshape(groups_out, out // groups_out, groups_in, inner // groups_in)
        return jnp.transpose(matrix[::-1, :, ::-1], (2, 3, 0, 1)).reshape(inner, out)

    weights = [backwards(layers.readout, groups_out=dim)]
    weights += [backwards(w) for w in layers.weights[:0:-1]]
    sizes = [len(own) for own in layers.steps[::-1]]
    dtype = layers.readout.dtype
    skips = [None] * depth
    for n, m in enumerate(layers.skips):
        if m is not None:
            skips[depth - 1 - m] = depth - 1 - n
    return Layers(
        weights=weights,
        offsets=[jnp.zeros((size, 1), dtype) for size in sizes],
        readout=backwards(layers.weights[0], groups_in=dim),
        direct=None if layers.direct is None else backwards(layers.direct, dim, dim),
        out_offset=jnp.zeros((dim * p, 1), dtype),
        steps=[(dim - 2 - own)[::-1] for own in layers.steps[::-1]],
        skips=skips,
        dim=dim,
        p=q,
        q=p,
    )


# --------------------------------------------------------------------- the pieces of a block
def _geometry(layers, num_blocks):
    """The step of every input row and output row, and the first step of each block."""
    inputs = np.repeat(np.arange(layers.dim), layers.p)
    outputs = np.repeat(np.arange(layers.dim), layers.q)
    bounds = np.linspace(0, layers.dim, num_blocks + 1).round().astype(int)
    return inputs, outputs, [int(b) for b in bounds]


def _span(steps, lo, hi):
    """The slice of rows whose step is in [lo, hi)."""
    return slice(*(int(i) for i in np.searchsorted(steps, (lo, hi))))


def _corner(weight, own, below, rows, columns):
    """weight[rows, columns] without its illegal entries."""
    legal = below[columns][None] <= own[rows][:, None]
    corner = weight[rows, columns]
    return corner if legal.all() else jnp.where(legal, corner, 0)


def _triangular(weight, values, own, below, bounds):
    """weight @ values by blocks of rows, each times the columns it may read."""
    sums = []
    for lo, hi in pairwise((-1, *bounds[1:])):
        rows, left, here = _span(own, lo, hi), _span(below, -1, lo), _span(below, lo, hi)
        a = _corner(weight, own, below, rows, here) @ values[here]
        sums.append(a + weight[rows, left] @ values[left] if left.stop else a)
    return jnp.concatenate(sums)


def _layer(layers, n, below, num_blocks):
    """The sums of layer n, [units, batch], from the values of the layer below it."""
    inputs, _, bounds = _geometry(layers, num_blocks)
    read = layers.steps[n - 1] if n else inputs
    return _triangular(layers.weights[n], below, layers.steps[n], read, bounds) + layers.offsets[n]


def _outputs(layers, x, last, num_blocks):
    """f [d·q, batch], from the inputs and the values of the last layer."""
    inputs, outputs, bounds = _geometry(layers, num_blocks)
    read = layers.steps[-1] if layers.steps else inputs
    f = _triangular(layers.readout, last, outputs - 1, read, bounds) + layers.out_offset
    if layers.direct is not None:
        f += _triangular(layers.direct, x, outputs - 1, inputs, bounds)
    return f


def _skip(layers, n, streams, rows):
    source = layers.skips[n]
    return 0.0 if source is None else streams[source][rows]


class _Block(NamedTuple):
    """Coordinates lo..hi-1: the sums over all that is known, and the corners that are left."""

    lo: int
    hi: int
    rows: list[slice]  # the units of each layer that the block completes
    sums: list[Array]  # layer n: [rows, batch]
    f: Array  # [size, q, batch]
    corners: list[Array]  # layer n: [rows, rows of the layer below]
    readout: Array  # [size, q, rows of the last layer]
    direct: Array | None  # [size, q, size·p]


def _take_in(layers, known, lo, hi, inputs, outputs):
    size, batch = hi - lo, known[0].shape[1]
    spans = [_span(steps, lo, hi) for steps in (inputs, *layers.steps)]
    lefts = [slice(0, span.start) for span in spans]
    sums, corners = [], []
    below = inputs
    for n, (weight, own) in enumerate(zip(layers.weights, layers.steps)):
        rows = spans[n + 1]
        sums.append(weight[rows, lefts[n]] @ known[n] + layers.offsets[n][rows])
        corners.append(_corner(weight, own, below, rows, spans[n]))
        below = own
    rows = slice(lo * layers.q, hi * layers.q)
    f = layers.readout[rows, lefts[-1]] @ known[-1] + layers.out_offset[rows]
    readout = _corner(layers.readout, outputs - 1, below, rows, spans[-1])
    direct = None
    if layers.direct is not None:
        f += layers.direct[rows, lefts[0]] @ known[0]
        direct = _corner(layers.direct, outputs - 1, inputs, rows, spans[0])
        direct = direct.reshape(size, layers.q, size * layers.p)
    f = f.reshape(size, layers.q, batch)
    readout = readout.reshape(size, layers.q, -1)
    return _Block(lo, hi, spans[1:], sums, f, corners, readout, direct)


def _walk(layers, block, emit, unit, dtype):
    """One coordinate a step, and the units that it completes.

    Units are written in groups of one static size. A group may run into units of later steps:
    these are not final, but no legal weight reads them before their own step writes them again.
    """
    size, batch = block.hi - block.lo, block.f.shape[-1]
    starts, groups = [], []
    for own, rows in zip(layers.steps, block.rows):
        edges = np.searchsorted(own, np.arange(block.lo, block.hi + 1))
        starts.append(edges[:-1] - rows.start)
        groups.append(int(np.diff(edges).max()))

    def step(carry, xs):
        t, begin = xs
        (x, *values), streams = carry
        f = block.readout[t] @ (values[-1] if values else x)
        if block.direct is not None:
            f += block.direct[t] @ x
        # Row by row: a slice of several rows in a sum keeps XLA from vectorising all of `emit`.
        f = jnp.stack([row + block.f[t, i] for i, row in enumerate(f)])
        new, kept = emit(block.lo + t, f)
        x = below = jax.lax.dynamic_update_slice(x, new.astype(dtype), (t * layers.p, 0))
        for n, group in enumerate(groups):
            if group:
                at = jnp.minimum(begin[n], len(values[n]) - group)
                corner = jax.lax.dynamic_slice_in_dim(block.corners[n], at, group)
                a = jax.lax.dynamic_slice_in_dim(block.sums[n], at, group) + corner @ below
                skip = 0.0
                if layers.skips[n] is not None:
                    skip = jax.lax.dynamic_slice_in_dim(streams[layers.skips[n]], at, group)
                stream, value = unit(n, block.rows[n].start + at, a, skip)
                values[n] = jax.lax.dynamic_update_slice(values[n], value, (at, 0))
                streams[n] = jax.lax.dynamic_update_slice(streams[n], stream, (at, 0))
            below = values[n]
        return ([x, *values], streams), kept

    nothing = [jnp.zeros((len(a), batch), dtype) for a in block.sums]
    start = ([jnp.zeros((size * layers.p, batch), dtype), *nothing], nothing)
    carry, kept = jax.lax.scan(step, start, (jnp.arange(size), [jnp.asarray(s) for s in starts]))
    # f once more, as one product: to store it row by row would cost more than to make it.
    return carry, kept, _read_out(block, carry[0]).reshape(size * layers.q, batch)


def _read_out(block, values):
    """f [size, q, batch] of a whole block, from its inputs and the values of its layers."""

    def product(matrix, rows):
        return jax.lax.collapse(matrix, 0, 2) @ rows

    f = product(block.readout, values[-1])
    if block.direct is not None:
        f += product(block.direct, values[0])
    return block.f + f.reshape(block.f.shape)


def _iterate(layers, block, emit, unit, dtype, tolerance):
    """All coordinates of the block from the last guess of all, until they stay as they are."""
    size, batch = block.hi - block.lo, block.f.shape[-1]

    def run(x):
        values, streams, below = [x], [], x
        for n, (sums, corner) in enumerate(zip(block.sums, block.corners)):
            skip = 0.0 if layers.skips[n] is None else streams[layers.skips[n]]
            stream, below = unit(n, block.rows[n].start, sums + corner @ below, skip)
            values.append(below)
            streams.append(stream)
        return (values, streams), _read_out(block, values)

    def emit_all(f):
        new, kept = jax.vmap(emit)(block.lo + jnp.arange(size), f)
        return new.astype(dtype).reshape(size * layers.p, batch), kept

    def improve(carry):
        rounds, x, _ = carry
        new, _ = emit_all(run(x)[1])
        return rounds + 1, new, jnp.max(jnp.abs(new - x), initial=0.0)

    def goes_on(carry):
        rounds, _, change = carry
        return (rounds < size) & ~(change <= tolerance)

    x = jnp.zeros((size * layers.p, batch), dtype)
    _, x, _ = jax.lax.while_loop(goes_on, improve, (0, x, jnp.asarray(jnp.inf, dtype)))
    values, f = run(x)
    return values, emit_all(f)[1], f.reshape(size * layers.q, batch)
