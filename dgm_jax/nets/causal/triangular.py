"""Block-triangular nets: the layers of a causal net, with units sorted by the step they depend on.

In a causal net a unit is known as soon as the inputs that it depends on are. Sort the units of each
layer by the step that completes them, and every weight matrix is block triangular. Three things
follow, all exact:

- the parallel pass multiplies the lower blocks only (`evaluate`);
- computing the inputs one after the other, for the inverse of a flow or a sampler, is a forward
  substitution: no unit is computed twice, so it costs the arithmetic of one pass
  (`nets.causal.substitution`);
- the transpose of such a net is such a net, from the last coordinate to the first (`transposed`),
  so that cotangents are solved for in the same way.

All arrays are feature-major, [features, batch]: a step of the substitution writes whole rows.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...protocol import Array

EVERYTHING = slice(None)


class Layers(NamedTuple):
    """Inputs [d·p, batch] -> layers of units -> outputs [d·q, batch], coordinates in their order.

    Step t computes input t and completes the units of step t. A unit may read inputs and units of
    steps up to its own, output t those of steps before t. Entries of the matrices that break this
    rule are read as 0.
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

    def input_steps(self) -> np.ndarray:
        """The step of each row of the inputs, [d·p]."""
        return np.repeat(np.arange(self.dim), self.p)

    def output_steps(self) -> np.ndarray:
        """The last step that each row of the outputs may read, [d·q]."""
        return np.repeat(np.arange(self.dim), self.q) - 1

    def steps_below(self, n: int) -> np.ndarray:
        """The steps of the rows that layer n reads; for n = len(steps), that the readout reads."""
        return self.steps[n - 1] if n else self.input_steps()

    def bounds(self, num_blocks: int) -> list[int]:
        """The first step of each of num_blocks blocks of steps, and the end of the last."""
        bounds = np.linspace(0, self.dim, num_blocks + 1).round().astype(int)
        return [int(b) for b in bounds]

    def skip(self, n: int, streams: Sequence[Array], rows: slice = EVERYTHING) -> Array | float:
        """The skip connection that layer n adds to its own rows, from the streams of all layers."""
        source = self.skips[n]
        return 0.0 if source is None else streams[source][rows]


# What units do with their sums: unit(n, start, a [units, batch], skip) -> (stream, value), for the
# units of layer n from `start` on. Skip connections read streams, the next layer reads values. In a
# multilayer perceptron, stream = a + skip is the pre-activation and value = s(stream).
Unit = Callable[[int, Array | int, Array, Array | float], tuple[Array, Array]]


def evaluate(layers: Layers, x: Array, unit: Unit, *, num_blocks: int) -> tuple[list[Array], Array]:
    """All streams of the layers, and f [d·q, batch], for inputs x [d·p, batch]: one pass.

    unit: the activations. Cost: (1 + 1/num_blocks) / 2 of the multiplications of the dense masked
    matrices.
    """
    values, streams = [x], []
    for n in range(len(layers.weights)):
        a = _layer(layers, n, values[-1], num_blocks)
        stream, value = unit(n, 0, a, layers.skip(n, streams))
        streams.append(stream)
        values.append(value)
    return streams, _outputs(layers, x, values[-1], num_blocks)


def sums(
    layers: Layers, x: Array, streams: list[Array], values: list[Array], *, num_blocks: int
) -> tuple[list[Array], Array]:
    """The pre-activations of `evaluate`, of all layers at once, for given values of the units.

    Linear in the weights, and in the inputs x, the streams and the values of the layers below.
    Returns ([units, batch] for each layer, with skip connections, and f). num_blocks: as in
    `evaluate`.
    """
    below = [x, *values]
    made = [
        _layer(layers, n, below[n], num_blocks) + layers.skip(n, streams)
        for n in range(len(layers.weights))
    ]
    return made, _outputs(layers, x, below[-1], num_blocks)


def transposed(layers: Layers) -> Layers:
    """The transposed net, from outputs to inputs, last layer and last coordinate first.

    Its offsets are zero, since only a linear map has a transpose. p and q are exchanged, and step t
    computes coordinate d-1-t.
    """
    dim, depth, dtype = layers.dim, len(layers.weights), layers.readout.dtype
    weights = [_backwards(layers.readout, groups_out=dim)]
    weights += [_backwards(w) for w in layers.weights[:0:-1]]
    skips = [None] * depth
    for n, m in enumerate(layers.skips):
        if m is not None:
            skips[depth - 1 - m] = depth - 1 - n
    return Layers(
        weights=weights,
        offsets=[jnp.zeros((len(own), 1), dtype) for own in layers.steps[::-1]],
        readout=_backwards(layers.weights[0], groups_in=dim),
        direct=None if layers.direct is None else _backwards(layers.direct, dim, dim),
        out_offset=jnp.zeros((dim * layers.p, 1), dtype),
        steps=[(dim - 2 - own)[::-1] for own in layers.steps[::-1]],
        skips=skips,
        dim=dim,
        p=layers.q,
        q=layers.p,
    )


def span(steps: np.ndarray, lo: int, hi: int) -> slice:
    """The rows with steps in [lo, hi), for ascending steps."""
    return slice(*(int(i) for i in np.searchsorted(steps, (lo, hi))))


def legal(weight: Array, own: np.ndarray, below: np.ndarray, rows: slice, columns: slice) -> Array:
    """weight[rows, columns], 0 where a row of step `own` may not read a column of step `below`."""
    may_read = below[columns][None] <= own[rows][:, None]
    corner = weight[rows, columns]
    return corner if may_read.all() else jnp.where(may_read, corner, 0)


def _backwards(matrix, groups_out=None, groups_in=None):
    """Transposed, rows and columns in reverse; the entries of a coordinate keep their order."""
    out, inner = matrix.shape
    groups_out, groups_in = groups_out or out, groups_in or inner
    matrix = matrix.reshape(groups_out, out // groups_out, groups_in, inner // groups_in)
    return jnp.transpose(matrix[::-1, :, ::-1], (2, 3, 0, 1)).reshape(inner, out)


def _product(weight, values, own, below, bounds):
    """weight @ values by blocks of rows, each times the columns it may read."""
    ends = [[span(steps, -1, hi).stop for hi in bounds[1:]] for steps in (own, below)]
    # Split: the gradient is joined. That of slices adds up padded ones as large as the matrix.
    blocks, parts = _split(weight, 0, ends[0]), []
    for block, rows, end in zip(blocks, pairwise((0, *ends[0])), ends[1]):
        readable, _ = _split(block, 1, [end, len(below)])
        lower = legal(readable, own[slice(*rows)], below[:end], EVERYTHING, EVERYTHING)
        parts.append(lower @ values[:end])
    return jnp.concatenate(parts)


def _split(matrix, axis, ends):
    return jax.lax.split(matrix, np.diff(ends, prepend=0).tolist(), axis)


def _layer(layers, n, below, num_blocks):
    """The sums of layer n, [units, batch], from the values of the layer below it."""
    own, read, bounds = layers.steps[n], layers.steps_below(n), layers.bounds(num_blocks)
    return _product(layers.weights[n], below, own, read, bounds) + layers.offsets[n]


def _outputs(layers, x, last, num_blocks):
    """f [d·q, batch], from the inputs and the values of the last layer."""
    own, bounds = layers.output_steps(), layers.bounds(num_blocks)
    read = layers.steps_below(len(layers.steps))
    f = _product(layers.readout, last, own, read, bounds) + layers.out_offset
    if layers.direct is not None:
        f += _product(layers.direct, x, own, layers.input_steps(), bounds)
    return f
