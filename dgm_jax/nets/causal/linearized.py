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
    """u̇ = spread(ẋ, u̇) + r and its transpose, about a point; see `LinearCausalNet`."""

    sums: Callable[[Layers], Array]  # layers -> u of these weights, each from the values given here
    spread: Callable[[Array, Array], Array]  # ẋ [d·p, batch], u̇ -> [units, batch]
    outputs: Callable[[Array], Array]  # u̇ -> ḟ [d·q, batch]
    unroll: Callable[[Callable, Array], tuple[Array, Array]]  # ẋ_t = emit(t, ḟ_t), r -> ẋ, u̇
    unroll_back: Callable[[Callable, Array], tuple[Array, Array]]  # emit(t, v_t) -> f̄_t, r -> ū, v


def derivative(
    layers: Layers, x: Array, units: Array, activation: Callable, unroll: Callable, num_blocks: int
) -> Derivative:
    """The derivative at inputs x [d·p, batch] and the sums `units` that these have.

    unroll: `triangular.unroll` of one batch size, as unroll(layers, emit, unit); num_blocks: those
    of a pass.
    """
    ends = np.cumsum([len(own) for own in layers.steps])
    *streams, _ = jnp.split(units, ends)
    values, slopes = zip(*(jax.jvp(activation, (a,), (jnp.ones_like(a),)) for a in streams))

    def all_sums(layers, x, streams, values):
        made, f = sums(layers, x, streams, values, num_blocks=num_blocks)
        return jnp.concatenate([*made, f])

    still = layers._replace(
        offsets=[jnp.zeros((len(own), 1), units.dtype) for own in layers.steps],
        out_offset=jnp.zeros_like(layers.out_offset),
    )

    def spread(x_dot, units_dot):
        *pushed, _ = jnp.split(units_dot, ends)
        moved = [slope * stream for slope, stream in zip(slopes, pushed)]
        return all_sums(still, x_dot, pushed, moved)

    def push(n, start, a, skip):
        stream = a + skip
        return stream, _part(slopes[n], start, a) * stream

    def unroll_forth(emit, right):
        *offsets, out_offset = jnp.split(right, ends)
        moving = layers._replace(offsets=offsets, out_offset=out_offset)
        x_dot, _, f_dot, pushed = unroll(moving, lambda t, f: (emit(t, f), None), push)
        return x_dot, jnp.concatenate([*pushed, f_dot])

    def unroll_back(emit, right):
        """All backwards: layers, units, and coordinates, whose entries keep their order."""
        *right, right_f = jnp.split(right, ends)
        right = [part[::-1] for part in right[::-1]]
        right_f = right_f.reshape(layers.dim, layers.q, -1)[::-1]
        backwards = [slope[::-1] for slope in slopes[::-1]]

        def pull(n, start, a, skip):
            own = _part(right[n], start, a)
            stream = _part(backwards[n], start, a) * a + skip + own
            return stream, stream

        def emit_f(t, v):  # row by row: see `triangular`
            return jnp.stack([row + right_f[t, j] for j, row in enumerate(emit(t, v))]), None

        f_bar, _, v, pulled = unroll(transposed(layers), emit_f, pull)
        f_bar = f_bar.reshape(right_f.shape)[::-1].reshape(layers.dim * layers.q, -1)
        units_bar = jnp.concatenate([*(part[::-1] for part in pulled[::-1]), f_bar])
        return units_bar, v.reshape(layers.dim, layers.p, -1)[::-1].reshape(v.shape)

    return Derivative(
        lambda layers: all_sums(layers, x, streams, values),
        spread,
        lambda units_dot: units_dot[ends[-1] :],
        unroll_forth,
        unroll_back,
    )


def _part(array, start, like):
    return jax.lax.dynamic_slice_in_dim(array, start, len(like))
