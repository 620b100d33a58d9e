"""A decoder-only transformer: what step t writes, it writes from the inputs before it.

Each step is the vector of the last input, or of the start, plus where it stands; layers add to it
what they read in the steps before (attention) and what they make of it (an MLP). Vaswani et al.
(2017); pre-norm, GELU and scaled residual projections as Radford et al. (2019), "GPT-2".
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...arrays import same_rank
from ...protocol import CausalNet, Shape
from ..adapter import Dense, LayerNorm, linen
from .conditions import of_condition
from .encodings import Encoding
from .stepwise import stepwise

POSITIONS = ("learned", "rotary")


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
    order: Sequence[int] | None = None,
    dropout: float = 0.0,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """f_i of x_<i by L layers h ← h + attention(norm h), h ← h + MLP(norm h), an MLP of 4 hidden.

    window: how many of the last inputs a layer sees, L (window - 1) + 1 all L of them; None: all
    positions: "learned", a vector for each place; "rotary", keys and queries turned by their place,
        so that products know distances alone (Su et al. 2021): then no parameter knows dim, and a
        net of another dim takes the same parameters
    grid: the shape that the steps walk in raster order, such as (H, W, C), of dim places; None: a
        line. Rotary places are then one for each axis longer than 1, of an equal share of the
        numbers of a head (so hidden / num_heads is a multiple of 2 · axes), and what is above is as
        near as what is to the left (Heo et al. 2024). Learned ones are of any grid
    order: order[t] is the coordinate made at step t. Position vectors are then two, of the place
        the input comes from and of the place to make; the same parameters serve every order.
    dropout: the share of numbers that are 0 where a key is given, of the vectors that go into the
        first layer and of what each branch adds; the weights of attention are all kept
    cond_shape: (n,), one condition for all steps, or (dim, n), one for each
    Starts as zero, by the last layer; vectors of inputs and places start as N(0, 1), and all
    branches together add the variance 1. 12 hidden² parameters a layer.
    Costs of a step, multiplications a layer: 12 hidden² and, of attention, 2 hidden · dim, or with
    a window 4 hidden · window at most. `unroll` keeps keys and values, 2 hidden · min(window, dim)
    numbers a layer, and costs no more than the pass: linear in dim with a window.
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
        unit = linen.initializers.normal(1.0)
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
        """Of each table of vectors its rows, and which one each step takes."""
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
        """The 2 L of them together add the variance of one."""
        init = linen.initializers.variance_scaling(0.5 / self.num_layers, "fan_in", "normal")
        return Dense(self.hidden, kernel_init=init)(y)


def rotated(view, a, grid):
    """Each step's pairs (a_j, a_{j+c/2}) turned by its place: products know differences alone.

    a [..., steps, heads, c], of which a step at a time is [..., heads, c]; c / 2 a multiple of
    len(grid). The n pairs of an axis turn by place · base^(-j/n), j < n, in radians. A line may be
    long, base 10,000; what is far in a picture is a hundred away, base 100.
    """
    half, base = a.shape[-1] // 2, 10_000.0 if len(grid) == 1 else 100.0
    n = half // len(grid)
    places = np.stack(np.unravel_index(np.arange(math.prod(grid)), grid), -1)  # [steps, axes]
    angles = (places[..., None] * base ** (-np.arange(n) / n)).reshape(-1, 1, half)
    cos, sin = (view.along(f(angles).astype(a.dtype)) for f in (np.cos, np.sin))
    left, right, cos, sin = same_rank(*jnp.split(a, 2, -1), cos, sin)
    return jnp.concatenate([left * cos - right * sin, left * sin + right * cos], -1)
