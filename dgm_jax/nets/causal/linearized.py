"""The derivative of a triangular net: a triangular net too, with which it can be solved.

The sums of a net, u_n = W_n s(u_{n-1}) + b_n for its layers and last its outputs f, are equations.
Where they hold, a move of the inputs and of the weights moves them by

    u̇_n = W_n s'(u_{n-1}) u̇_{n-1}  +  Ẇ_n s(u_{n-1}) + ḃ_n        (the first layer: ẋ for s' u̇)
          `spread(ẋ, u̇)`              `added`: the `sums` of (Ẇ, ḃ)

which is the net itself with other units, a ↦ s'(u) a, and other offsets. It has the same steps, so
all that is done with the net is done with its derivative:

- for given ẋ and u̇ the right side is one pass, all layers at once (`spread`);
- where ẋ_t depends on ḟ_t, as in the inverse of a flow, they are made one after the other
  (`unroll`), each unit once;
- the cotangents of u obey the transpose, ū_{n-1} = s'(u_{n-1}) W_nᵀ ū_n + r_{n-1}, which runs from
  the last coordinate to the first (`unroll_back`), each unit once.

Sums are in one array, [units and outputs, batch]; a layer adds the sums that it skips over.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...protocol import Array, Params
from .triangular import Layers, sums, transposed


class LinearCausalNet(NamedTuple):
    """The derivative of a causal net, unit by unit: u̇ = spread(ẋ, u̇) + added(θ̇, ċ).

    A sum moves because what it reads moves (`spread`), and because its own weights do (`added`).
    Both maps are linear, and spread is strictly triangular: u̇ can be unrolled, each unit once.

    - `outputs(u̇)` -> ḟ [..., d, k], which is part of u̇.
    - `unroll(emit, right)` -> (ẋ [..., d], u̇): u̇ = spread(ẋ, u̇) + right, ẋ_i = emit(i, ḟ_i).
    - `unroll_back(emit, right)` -> (ū, v [..., d]): the same for the transpose, from the last
      coordinate to the first: (v, ū) = spreadᵀ(ū) + (0, right), plus emit(i, v_i) in f̄_i. With the
      cotangents of all sums at hand, those of the weights are products with what the sums read.
    """

    added: Callable[[Params, Array | None], Array]
    spread: Callable[[Array, Array], Array]
    outputs: Callable[[Array], Array]
    unroll: Callable[[Callable, Array], tuple[Array, Array]]
    unroll_back: Callable[[Callable, Array], tuple[Array, Array]]


class Derivative(NamedTuple):
    """u̇ = spread(ẋ, u̇) + r and its transpose, about a point; see `LinearCausalNet`.

    Here all is feature-major and in the order of the steps: x [d·p, batch], u [units, batch].
    """

    layers: Layers
    x: Array
    streams: list[Array]  # u of each layer
    values: list[Array]  # s(u), what the next layer reads
    slopes: list[Array]  # s'(u)
    substitute: Callable  # `substitution.unroll` of one batch size, as (layers, emit, unit)
    num_blocks: int  # of a pass

    def sums(self, layers: Layers) -> Array:
        """u of these weights, each sum from the values at the point."""
        return self._sums(layers, self.x, self.streams, self.values)

    def spread(self, x_dot: Array, units_dot: Array) -> Array:
        """How u moves because x and u do."""
        *pushed, _ = self._split(units_dot)
        moved = [slope * stream for slope, stream in zip(self.slopes, pushed)]
        still = self.layers._replace(
            offsets=[jnp.zeros((len(own), 1), units_dot.dtype) for own in self.layers.steps],
            out_offset=jnp.zeros_like(self.layers.out_offset),
        )
        return self._sums(still, x_dot, pushed, moved)

    def outputs(self, units_dot: Array) -> Array:
        """ḟ [d·q, batch], the last of the sums."""
        return units_dot[self._ends()[-1] :]

    def unroll(self, emit: Callable, right: Array) -> tuple[Array, Array]:
        """(ẋ, u̇) with ẋ_t = emit(t, ḟ_t)."""
        *offsets, out_offset = self._split(right)
        moving = self.layers._replace(offsets=offsets, out_offset=out_offset)

        def push(n, start, a, skip):
            stream = a + skip
            return stream, rows_from(self.slopes[n], start, a) * stream

        x_dot, _, f_dot, pushed = self.substitute(moving, lambda t, f: (emit(t, f), None), push)
        return x_dot, jnp.concatenate([*pushed, f_dot])

    def unroll_back(self, emit: Callable, right: Array) -> tuple[Array, Array]:
        """(ū, v) with f̄_t = emit(t, v_t) + right; t counts from the last coordinate.

        All backwards: layers, units, and coordinates, whose entries keep their order.
        """
        dim, q = self.layers.dim, self.layers.q
        *right, right_f = self._split(right)
        right = [part[::-1] for part in right[::-1]]
        right_f = right_f.reshape(dim, q, -1)[::-1]
        slopes = [slope[::-1] for slope in self.slopes[::-1]]

        def pull(n, start, a, skip):
            own = rows_from(right[n], start, a)
            stream = rows_from(slopes[n], start, a) * a + skip + own
            return stream, stream

        def emit_f(t, v):  # row by row: see `substitution`
            return jnp.stack([row + right_f[t, j] for j, row in enumerate(emit(t, v))]), None

        f_bar, _, v, pulled = self.substitute(transposed(self.layers), emit_f, pull)
        f_bar = f_bar.reshape(right_f.shape)[::-1].reshape(dim * q, -1)
        units_bar = jnp.concatenate([*(part[::-1] for part in pulled[::-1]), f_bar])
        return units_bar, v.reshape(dim, self.layers.p, -1)[::-1].reshape(v.shape)

    def _sums(self, layers, x, streams, values):
        made, f = sums(layers, x, streams, values, num_blocks=self.num_blocks)
        return jnp.concatenate([*made, f])

    def _ends(self):
        return np.cumsum([len(own) for own in self.layers.steps])

    def _split(self, units):
        """[units, batch] -> the sums of each layer, and last the outputs."""
        return jnp.split(units, self._ends())


def derivative(
    layers: Layers,
    x: Array,
    units: Array,
    activate: Callable[[int, Array], Array],
    *,
    substitute: Callable,
    num_blocks: int,
) -> Derivative:
    """The derivative at inputs x [d·p, batch] and the sums `units` that these have.

    activate(n, u) is what the layer above reads of the sums of layer n; substitute:
    `substitution.unroll` of one batch size, as (layers, emit, unit); num_blocks: those of a pass.
    """
    *streams, _ = jnp.split(units, np.cumsum([len(own) for own in layers.steps]))
    values, slopes = [], []
    for n, a in enumerate(streams):
        value, slope = jax.jvp(lambda a: activate(n, a), (a,), (jnp.ones_like(a),))
        values.append(value)
        slopes.append(slope)
    return Derivative(layers, x, streams, values, slopes, substitute, num_blocks)


def rows_from(array: Array, start: Array | int, like: Array) -> Array:
    """As many rows of `array` as `like` has, from row `start` on."""
    return jax.lax.dynamic_slice_in_dim(array, start, len(like))
