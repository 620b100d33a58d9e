"""Forward substitution: the inputs of a triangular net one after the other, each unit once.

The coordinates are computed in blocks. For each block, everything that is known already enters by
one product per matrix, which is nearly all of the arithmetic. A small corner of each matrix
remains, in which the units of the block read one another. It is solved coordinate by coordinate, or
iterated for all coordinates of the block together (Jacobi's method).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...protocol import Array
from .triangular import Layers, Unit, legal, span

Emit = Callable[[Array, Array], tuple[Array, Any]]  # emit(t, f_t [q, batch]) -> (x_t, kept_t)


def unroll(
    layers: Layers,
    emit: Emit,
    unit: Unit,
    batch: int,
    *,
    num_blocks: int,
    iterate: bool = False,
    tolerance: float = 0.0,
) -> tuple[Array, Any, Array, list[Array]]:
    """x_t, kept_t = emit(t, f_t(x_<t)) for t = 0..d-1, from f [q, batch] to x_t [p, batch].

    unit: the activations of the layers; batch: the batch size. Returns x [d·p, batch], what `emit`
    kept of each step (such as the level that x_t encodes), stacked [d, ...], f(x) [d·q, batch], and
    the streams of all layers.

    By default the num_blocks blocks are solved coordinate by coordinate, and each unit is computed
    once. With `iterate`, all coordinates of a block are recomputed until none changes by more than
    `tolerance`, which is exact after as many rounds as the block has coordinates.

    Cost: coordinate by coordinate, the arithmetic of one pass in d small sequential steps.
    Iterating takes fewer and larger steps, and several times the arithmetic in the corners. Compile
    time grows with num_blocks.
    """
    f = jnp.zeros((layers.q, batch), layers.readout.dtype)
    dtype = jnp.result_type(f, jax.eval_shape(emit, 0, f)[0])
    known, streams = _without_inputs(layers, unit, batch, dtype)
    made, all_kept = [], []
    for lo, hi in pairwise(layers.bounds(num_blocks)):
        block = _take_in(layers, known, lo, hi)
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


def _without_inputs(layers, unit, batch, dtype):
    """What is known before the first input: no inputs, and the units that need none.

    Returns (inputs and the values of each layer, the streams of each layer).
    """
    known, streams = [jnp.zeros((0, batch), dtype)], []
    for n, own in enumerate(layers.steps):
        rows = slice(0, int((own < 0).sum()))
        a = layers.weights[n][rows, : len(known[n])] @ known[n] + layers.offsets[n][rows]
        a = jnp.broadcast_to(a, (rows.stop, batch)).astype(dtype)
        stream, value = unit(n, 0, a, layers.skip(n, streams, rows))
        streams.append(stream)
        known.append(value)
    return known, streams


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

    @property
    def size(self):
        return self.hi - self.lo

    def output(self, t, x, last):
        """f [q, batch] of coordinate lo + t, from the block's inputs and its last layer."""
        f = self.readout[t] @ last
        if self.direct is not None:
            f += self.direct[t] @ x
        # Row by row: a slice of several rows in a sum keeps XLA from vectorising all of `emit`.
        return jnp.stack([row + self.f[t, i] for i, row in enumerate(f)])

    def outputs(self, x, last):
        """f [size, q, batch] of the whole block."""
        f = jax.lax.collapse(self.readout, 0, 2) @ last
        if self.direct is not None:
            f += jax.lax.collapse(self.direct, 0, 2) @ x
        return self.f + f.reshape(self.f.shape)


def _take_in(layers, known, lo, hi):
    """The block lo..hi-1: one product of each matrix with all that is known."""
    size, batch, depth = hi - lo, known[0].shape[1], len(layers.steps)
    below = [layers.steps_below(n) for n in range(depth + 1)]  # of each layer, and of the readout
    spans = [span(steps, lo, hi) for steps in below]
    lefts = [slice(0, here.start) for here in spans]
    sums, corners = [], []
    for n, (weight, own) in enumerate(zip(layers.weights, layers.steps)):
        rows = spans[n + 1]
        sums.append(weight[rows, lefts[n]] @ known[n] + layers.offsets[n][rows])
        corners.append(legal(weight, own, below[n], rows, spans[n]))
    rows, own = slice(lo * layers.q, hi * layers.q), layers.output_steps()
    f = layers.readout[rows, lefts[-1]] @ known[-1] + layers.out_offset[rows]
    readout = legal(layers.readout, own, below[-1], rows, spans[-1])
    direct = None
    if layers.direct is not None:
        f += layers.direct[rows, lefts[0]] @ known[0]
        direct = legal(layers.direct, own, below[0], rows, spans[0])
        direct = direct.reshape(size, layers.q, size * layers.p)
    f, readout = f.reshape(size, layers.q, batch), readout.reshape(size, layers.q, -1)
    return _Block(lo, hi, spans[1:], sums, f, corners, readout, direct)


# ------------------------------------------------------------------------ coordinate by coordinate
def _walk(layers, block, emit, unit, dtype):
    """One coordinate a step, and the units that it completes.

    Units are written in groups of one static size. A group may run into units of later steps:
    these are not final, but no legal weight reads them before their own step writes them again.
    """
    batch = block.f.shape[-1]
    starts, groups = _groups(layers, block)

    def step(carry, at):
        t, begin = at
        (x, *values), streams = carry
        new, kept = emit(block.lo + t, block.output(t, x, values[-1] if values else x))
        x = below = jax.lax.dynamic_update_slice(x, new.astype(dtype), (t * layers.p, 0))
        for n, group in enumerate(groups):
            if group:
                first = jnp.minimum(begin[n], len(values[n]) - group)
                stream, value = _units(layers, block, unit, n, first, group, below, streams)
                values[n] = jax.lax.dynamic_update_slice(values[n], value, (first, 0))
                streams[n] = jax.lax.dynamic_update_slice(streams[n], stream, (first, 0))
            below = values[n]
        return ([x, *values], streams), kept

    nothing = [jnp.zeros((len(a), batch), dtype) for a in block.sums]
    start = ([jnp.zeros((block.size * layers.p, batch), dtype), *nothing], nothing)
    each = jnp.arange(block.size), [jnp.asarray(s) for s in starts]
    carry, kept = jax.lax.scan(step, start, each)
    # f once more, as one product: to store it row by row would cost more than to make it.
    (x, *values), _ = carry
    f = block.outputs(x, values[-1] if values else x)
    return carry, kept, f.reshape(block.size * layers.q, batch)


def _groups(layers, block):
    """Of each layer: where the units of each step begin in the block, and the most of one step."""
    starts, groups = [], []
    for own, rows in zip(layers.steps, block.rows):
        edges = np.searchsorted(own, np.arange(block.lo, block.hi + 1))
        starts.append(edges[:-1] - rows.start)
        groups.append(int(np.diff(edges).max()))
    return starts, groups


def _units(layers, block, unit, n, first, group, below, streams):
    """(streams, values) of the `group` units of layer n from row `first` of the block on."""
    corner = jax.lax.dynamic_slice_in_dim(block.corners[n], first, group)
    a = jax.lax.dynamic_slice_in_dim(block.sums[n], first, group) + corner @ below
    skip = 0.0
    if layers.skips[n] is not None:
        skip = jax.lax.dynamic_slice_in_dim(streams[layers.skips[n]], first, group)
    return unit(n, block.rows[n].start + first, a, skip)


# ------------------------------------------------------------------------------- all coordinates
def _iterate(layers, block, emit, unit, dtype, tolerance):
    """All coordinates of the block from the last guess of all, until they stay as they are."""
    size, batch = block.size, block.f.shape[-1]

    def emit_all(f):
        new, kept = jax.vmap(emit)(block.lo + jnp.arange(size), f)
        return new.astype(dtype).reshape(size * layers.p, batch), kept

    def improve(carry):
        rounds, x, _ = carry
        new, _ = emit_all(_pass(layers, block, unit, x)[1])
        return rounds + 1, new, jnp.max(jnp.abs(new - x), initial=0.0)

    def goes_on(carry):
        rounds, _, change = carry
        return (rounds < size) & ~(change <= tolerance)

    x = jnp.zeros((size * layers.p, batch), dtype)
    _, x, _ = jax.lax.while_loop(goes_on, improve, (0, x, jnp.asarray(jnp.inf, dtype)))
    values, f = _pass(layers, block, unit, x)
    return values, emit_all(f)[1], f.reshape(size * layers.q, batch)


def _pass(layers, block, unit, x):
    """((inputs and values, streams), f [size, q, batch]) of the block, for given inputs of it."""
    values, streams = [x], []
    for n, (known, corner) in enumerate(zip(block.sums, block.corners)):
        a, skip = known + corner @ values[-1], layers.skip(n, streams)
        stream, value = unit(n, block.rows[n].start, a, skip)
        values.append(value)
        streams.append(stream)
    return (values, streams), block.outputs(x, values[-1])
