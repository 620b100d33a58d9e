"""A decoder-only transformer, whose outputs at step t depend on the inputs before step t.

The state of each step starts as the embedding of the last input (or of the start) plus that of its
position. Layers add attention to the preceding steps and an MLP. Vaswani et al. (2017); pre-norm,
GELU and scaled residual projections as in Radford et al. (2019), "GPT-2".
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...arrays import same_rank
from ...protocol import Array, CausalNet, Shape
from .. import starts
from ..adapter import Dense, LayerNorm, linen
from .conditions import of_condition
from .encodings import Encoding
from .stepwise import stepwise
from .time import View

POSITIONS = ("learned", "rotary")


@checks.spelled
def transformer(
    dim: int,
    *,
    num_outputs: int,
    hidden: int,
    num_layers: int,
    num_heads: int,
    window: int | None = None,
    positions: str = "learned",
    grid: Sequence[int] | None = None,
    order: Sequence[int] | np.ndarray | None = None,
    dropout: float = 0.0,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """f_i(x_<i, c) by L layers h ← h + attention(norm h), h ← h + MLP(norm h), and a linear map.

    x [..., dim] -> f [..., dim, num_outputs]. Returns a `CausalNet`, for `autoregressive.density`,
    with init(key) -> params, apply(params, x, cond=None, key=None) -> f for a known x, in one pass,
    and unroll(params, emit, batch_shape, cond=None, key=None) -> (x, f, units), which makes x entry
    by entry, as in sampling: x_i = emit(i, f_i). h of a step starts as an embedding of the last
    input, plus that of its position; attention is causal, the MLP has a layer of 4 · hidden units,
    with GELU. The last layer starts at zero; embeddings start as N(0, 1), and all branches together
    add the variance 1.

    dim: the number of steps, the length of x
    hidden, num_layers, num_heads: the size of h, L, and the attention heads, a divisor of `hidden`
    window: how many of the last inputs a layer sees, so that L layers see L (window - 1) + 1; None:
        all
    positions: "learned", a vector for each position; "rotary", keys and queries rotated by an angle
        proportional to it, so that their products depend on distances only (Su et al., 2021): then
        no parameter depends on dim, and the same parameters serve a net of another dim
    grid: the shape of the grid of the steps in raster order, such as (H, W, C), dim in all; None: a
        line. It matters for rotary positions: each axis longer than 1 has an equal part of each
        head (so hidden / num_heads must be a multiple of 2 · axes), and the pixel above is as near
        as the pixel to the left (Heo et al., 2024)
    order: order[t] is the coordinate computed at step t, for "learned" only. There are then two
        position vectors, of the last input and of the coordinate to compute; the same parameters
        serve every order
    dropout: the fraction of entries set to 0 if a key is given, in the input of the first layer and
        in the output of each branch; attention weights have no dropout
    num_outputs: the numbers f_i for each x_i, such as the logits of p(x_i | x_<i)
    encoding: how levels are seen (`nets.one_hot`, `nets.scaled`); None if x holds real numbers
    cond_shape: (n,), one condition for all steps, or (dim, n), one per step; None for none
    Cost: 12 hidden² parameters per layer; multiplications per step and layer: 12 hidden², and for
    attention 2 hidden · dim, or with a window at most 4 hidden · window. `unroll` costs no more and
    stores 2 hidden · min(window, dim) numbers per layer. Vaswani et al. (2017), "Attention is all
    you need"; Radford et al. (2019), "GPT-2".
    """
    dim = checks.positive_int(dim, "dim")
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    hidden, num_layers = (
        checks.positive_int(hidden, "hidden"),
        checks.positive_int(num_layers, "num_layers"),
    )
    num_heads = checks.positive_int(num_heads, "num_heads")
    if window is not None:
        window = checks.positive_int(window, "window")
    checks.choice(positions, POSITIONS, "positions")
    dropout = checks.rate(dropout, "dropout")
    if hidden % num_heads:
        raise checks.InputError(f"num_heads must divide hidden={hidden}; got {num_heads}.")
    grid = _axes(grid, dim)
    order = _order(order, dim, positions)
    if positions == "rotary" and hidden // num_heads % (2 * len(grid)):
        raise checks.InputError(
            f"hidden must be a multiple of {2 * len(grid)} a head for rotary positions, two "
            f"numbers an axis of grid={grid}; got hidden={hidden} with num_heads={num_heads}."
        )
    return stepwise(
        Decoder(
            num_outputs, dim, hidden, num_layers, num_heads, window, positions, grid, order, dropout
        ),
        (1, dim, 1),
        num_outputs=num_outputs,
        encoding=encoding,
        cond_shape=cond_shape,
        order=order,
    )


def _axes(grid, dim):
    """The axes that are longer than one, of a grid of dim places; a line is one axis."""
    grid = (dim,) if grid is None else checks.shape(grid, "grid")
    if math.prod(grid) != dim:
        raise checks.InputError(f"grid must have dim={dim} steps; got {grid}.")
    return tuple(size for size in grid if size > 1) or (1,)


def _order(order, dim, positions):
    if order is None:
        return None
    order = checks.permutation(order, dim)
    if positions == "rotary":
        raise checks.InputError(
            "order needs positions='learned': rotary ones know steps, not places."
        )
    return tuple(int(i) for i in order)


class Decoder(linen.Module):
    """The linen module of `transformer`."""

    size: int
    num_steps: int
    hidden: int
    num_layers: int
    num_heads: int
    window: int | None
    positions: str
    grid: tuple[int, ...]
    order: tuple[int, ...] | None
    dropout: float

    @linen.compact
    def __call__(self, view, u, cond):
        unit = starts.normal(1.0)
        # The bias is the start: as zeros it would have no norm, and the norms endless slopes there.
        h = Dense(self.hidden, kernel_init=unit, bias_init=unit, name="input")(u)
        for name, (num, places) in self.places().items():
            table = self.param(name, unit, (num, self.hidden))
            h, rows = same_rank(h, jnp.asarray(table, h.dtype)[view.along(places)])
            h = h + rows
        h = h + of_condition(view, cond, self.hidden, name="cond")
        h = view.dropout(h, self.dropout)
        for _ in range(self.num_layers):
            h = h + view.dropout(self.attention(view, LayerNorm()(h)), self.dropout)
            h = h + view.dropout(self.mlp(LayerNorm()(h)), self.dropout)
        zeros = linen.initializers.zeros
        return Dense(self.size, kernel_init=zeros, name="output")(LayerNorm()(h))

    def places(self):
        """For each table of position vectors its number of rows, and the row of each step."""
        if self.positions == "rotary":
            return {}
        if self.order is None:  # step t makes place t of an input from place t - 1
            return {"place": (self.num_steps, np.arange(self.num_steps))}
        order = np.asarray(self.order)
        come_from = np.append(0, 1 + order[:-1])  # row 0 is the start's
        return {"place": (self.num_steps, order), "come_from": (self.num_steps + 1, come_from)}

    def attention(self, view, h):
        width = self.hidden // self.num_heads
        qkv = Dense(3 * self.hidden, use_bias=False)(h)
        q, k, v = jnp.split(qkv.reshape(*h.shape[:-1], self.num_heads, 3 * width), 3, -1)
        if self.positions == "rotary":
            q, k = (rotated(view, a, self.grid) for a in (q, k))
        y = view.attend(q, k, v, window=self.window)
        return self.residual(y.reshape(h.shape))

    def mlp(self, h):
        return self.residual(jax.nn.gelu(Dense(4 * self.hidden)(h)))

    def residual(self, y):
        """A residual branch, scaled so that the 2 L branches together add the variance 1."""
        init = starts.scaled(0.5 / self.num_layers, cut=False)
        return Dense(self.hidden, kernel_init=init)(y)


def rotated(view: View, a: Array, grid: Shape) -> Array:
    """Pairs (a_j, a_{j+c/2}) rotated by their place, so that products depend on distances only.

    view: of time. a [..., steps, heads, c], in one step [..., heads, c]; c / 2 a multiple of
    len(grid). The n pairs of an axis of `grid` rotate by place · base^(-j/n), j < n, in radians;
    base is 10,000 for a line, 100 for the shorter axes of an image.
    """
    half, base = a.shape[-1] // 2, 10_000.0 if len(grid) == 1 else 100.0
    n = half // len(grid)
    places = np.stack(np.unravel_index(np.arange(math.prod(grid)), grid), -1)  # [steps, axes]
    angles = (places[..., None] * base ** (-np.arange(n) / n)).reshape(-1, 1, half)
    cos, sin = (view.along(f(angles).astype(a.dtype)) for f in (np.cos, np.sin))
    left, right, cos, sin = same_rank(*jnp.split(a, 2, -1), cos, sin)
    return jnp.concatenate([left * cos - right * sin, left * sin + right * cos], -1)
