"""The derivative of a triangular net, which is itself a triangular net and is solved like one.

The pre-activations of a net are u_n = W_n s(u_{n-1}) + b_n, layer by layer, and its outputs f are
the last of them. A dot marks a tangent: when the inputs x and the weights move by ẋ, Ẇ and ḃ, the
pre-activations move by

    u̇_n = W_n s'(u_{n-1}) u̇_{n-1}  +  Ẇ_n s(u_{n-1}) + ḃ_n        (in layer 1, ẋ for s' u̇)
          `spread(ẋ, u̇)`              `added`: the `sums` of the weights (Ẇ, ḃ)

This is the same net with linear units, a ↦ s'(u) a, and with other offsets. So the same algorithms
apply:

- for given ẋ and u̇ the right-hand side is one pass, all layers at once (`spread`);
- if ẋ_t depends on ḟ_t, as in the inverse of a flow, they are computed one after the other
  (`unroll`), each unit once;
- the cotangents obey the transposed equation, ū_{n-1} = s'(u_{n-1}) W_nᵀ ū_n + r_{n-1}, which is
  solved from the last coordinate to the first (`unroll_back`), each unit once.

All pre-activations are in one array `units`, [units and outputs, batch]. In a residual block they
include the skip connection.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...protocol import Array, Params
from .triangular import Layers, sums, transposed


class LinearCausalNet(NamedTuple):
    """u̇ = spread(ẋ, u̇) + added(θ̇, ċ): the derivative of a causal net at a point.

    u are the pre-activations of all units, including the outputs f. They move with the inputs of
    the units (`spread`), and with their weights and the condition (`added`). Both maps are linear.
    A unit depends only on units computed before it, so the equation is solved unit by unit.

    - `outputs(u̇)` -> ḟ [..., d, k], a part of u̇.
    - `unroll(emit, right)` -> (ẋ [..., d], u̇) solves u̇ = spread(ẋ, u̇) + right with
      ẋ_i = emit(i, ḟ_i), from the first coordinate to the last.
    - `unroll_back(emit, right)` -> (ū, v [..., d]) solves the transpose,
      (v, ū) = spreadᵀ(ū) + (0, right), where emit(i, v_i) is added to the cotangent f̄_i of each
      output, from the last coordinate to the first.
    """

    added: Callable[[Params, Array | None], Array]
    spread: Callable[[Array, Array], Array]
    outputs: Callable[[Array], Array]
    unroll: Callable[[Callable, Array], tuple[Array, Array]]
    unroll_back: Callable[[Callable, Array], tuple[Array, Array]]


class Derivative(NamedTuple):
    """The parts of a `LinearCausalNet`, for arrays in the layout of the layers.

    Arrays are feature-major and in the order of the steps: x [d·p, batch], u [units, batch].
    """

    layers: Layers
    x: Array
    streams: list[Array]  # u of each layer
    values: list[Array]  # s(u), what the next layer reads
    slopes: list[Array]  # s'(u)
    substitute: Callable  # `substitution.unroll` of one batch size, as (layers, emit, unit)
    num_blocks: int  # of a pass

    def sums(self, layers: Layers) -> Array:
        """Pre-activations for these weights, with the units' inputs fixed; linear in them."""
        return self._sums(layers, self.x, self.streams, self.values)

    def spread(self, x_dot: Array, units_dot: Array) -> Array:
        """The part of u̇ that comes from ẋ and u̇, with the weights at the point."""
        *pushed, _ = self._split(units_dot)
        moved = [slope * stream for slope, stream in zip(self.slopes, pushed)]
        still = self.layers._replace(
            offsets=[jnp.zeros((len(own), 1), units_dot.dtype) for own in self.layers.steps],
            out_offset=jnp.zeros_like(self.layers.out_offset),
        )
        return self._sums(still, x_dot, pushed, moved)

    def outputs(self, units_dot: Array) -> Array:
        """ḟ [d·q, batch], the last part of u̇."""
        return units_dot[self._ends()[-1] :]

    def unroll(self, emit: Callable, right: Array) -> tuple[Array, Array]:
        """(ẋ, u̇) with u̇ = spread(ẋ, u̇) + right and ẋ_t = emit(t, ḟ_t)."""
        *offsets, out_offset = self._split(right)
        moving = self.layers._replace(offsets=offsets, out_offset=out_offset)

        def push(n, start, a, skip):
            stream = a + skip
            return stream, rows_from(self.slopes[n], start, a) * stream

        x_dot, _, f_dot, pushed = self.substitute(moving, lambda t, f: (emit(t, f), None), push)
        return x_dot, jnp.concatenate([*pushed, f_dot])

    def unroll_back(self, emit: Callable, right: Array) -> tuple[Array, Array]:
        """(ū, v) with f̄_t = emit(t, v_t) + right_t, where t counts from the last coordinate.

        Layers, units and coordinates are all reversed; the p entries of a coordinate are not.
        """
        dim, q = self.layers.dim, self.layers.q
        *right_h, right_f = self._split(right)
        right_h = [part[::-1] for part in right_h[::-1]]
        right_f = right_f.reshape(dim, q, -1)[::-1]
        slopes = [slope[::-1] for slope in self.slopes[::-1]]

        def pull(n, start, a, skip):
            own = rows_from(right_h[n], start, a)
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
    """The derivative at inputs x [d·p, batch] with pre-activations `units`.

    activate(n, u): what the next layer reads of the pre-activations u of layer n; substitute:
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
    """array[start : start + len(like)] along the first axis, also for a traced `start`.

    like: only its number of rows counts. `start` must be at most len(array) - len(like): a larger
        one is reduced to that, without an error.
    """
    return jax.lax.dynamic_slice_in_dim(array, start, len(like))
