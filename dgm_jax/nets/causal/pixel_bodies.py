"""The bodies of the causal nets of images, each written once (see `nets.causal.stepwise`).

A body makes pixels in raster order. A vertical stack makes a row at a time out of the rows above
it, and gives each pixel of the row what those say; a picture of one row has none.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..adapter import Dense, linen
from .convolutions import CausalConv, RowConv
from .stepwise import PerStep, of_condition

zeros = linen.initializers.zeros


def of_row(view, cond, features):
    """V c for the steps of rows: one for all columns, or that of each."""
    if cond is None or isinstance(cond, PerStep):
        return of_condition(view, cond, features)
    return of_condition(view, cond, features)[..., None, :]


def square(size):
    """The taps of a kernel that is square before its mask."""
    return {"up": size // 2, "left": size // 2, "right": size // 2}


def tanh_gate(a):
    a, b = jnp.split(a, 2, -1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


def concat_elu(a):
    return jax.nn.elu(jnp.concatenate([a, -a], -1))


class PixelCNN(linen.Module):
    size: int
    width: int
    hidden: int
    num_layers: int
    kernel_size: int
    first_kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond):
        first = square(self.first_kernel_size)
        h = CausalConv(2 * self.hidden, self.width, **first, late=True)(view, u)
        for _ in range(self.num_layers):
            a = Dense(self.hidden)(jax.nn.relu(h)) + of_condition(view, cond, self.hidden)
            conv = CausalConv(self.hidden, self.width, **square(self.kernel_size))
            a = conv(view, jax.nn.relu(a))
            h = h + Dense(2 * self.hidden)(jax.nn.relu(a))
        h = Dense(2 * self.hidden)(jax.nn.relu(h)) + of_condition(view, cond, 2 * self.hidden)
        return Dense(self.size, kernel_init=zeros)(jax.nn.relu(h))


class VerticalStack(linen.Module):
    """Of each layer what the rows above give to the gates of the horizontal stack."""

    hidden: int
    num_layers: int
    kernel_size: int
    first_kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond):
        half = self.first_kernel_size // 2
        a = RowConv(2 * self.hidden, max(half - 1, 0), half, late=True)(view, u)
        found = [Dense(2 * self.hidden)(a)]
        half = self.kernel_size // 2
        for _ in range(self.num_layers - 1):
            v = tanh_gate(a + of_row(view, cond, 2 * self.hidden))
            a = RowConv(2 * self.hidden, half, half)(view, v)
            found.append(Dense(2 * self.hidden)(a))
        return tuple(found)


class HorizontalStack(linen.Module):
    size: int
    width: int
    hidden: int
    num_layers: int
    kernel_size: int
    first_kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond, *above):
        h = 0
        for n in range(self.num_layers):
            left = (self.kernel_size if n else self.first_kernel_size) // 2
            conv = CausalConv(2 * self.hidden, self.width, left=left, late=n == 0)
            a = conv(view, h if n else u) + of_condition(view, cond, 2 * self.hidden)
            a = a + above[n] if above else a
            h = h + Dense(self.hidden)(tanh_gate(a))
        h = Dense(self.hidden)(jax.nn.relu(h))
        return Dense(self.size, kernel_init=zeros)(jax.nn.relu(h))


def gated_residual(view, h, cond, conv, of_cond, beside=None):
    """h + a σ(b), (a, b) = conv(e(conv(e(h)) + W e(beside))) + V c, with e the concat-ELU."""
    hidden = h.shape[-1]
    a = conv(hidden)(view, concat_elu(h))
    if beside is not None:
        a = a + Dense(hidden)(concat_elu(beside))
    a = conv(2 * hidden, scale=0.01)(view, concat_elu(a)) + of_cond(view, cond, 2 * hidden)
    a, b = jnp.split(a, 2, -1)
    return h + a * jax.nn.sigmoid(b)


class PixelCNNPPRows(linen.Module):
    """The stream of the rows above, as it is after each block of the first and the second half."""

    hidden: int
    num_layers: int
    kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond):
        half = self.kernel_size // 2
        conv = partial(RowConv, up=half, side=half)
        found = [conv(self.hidden, late=True)(view, u)]
        kept = []
        for _ in range(self.num_layers):
            kept.append(found[-1])
            found.append(gated_residual(view, found[-1], cond, conv, of_row))
        for _ in range(self.num_layers):
            found.append(gated_residual(view, found[-1], cond, conv, of_row, kept.pop()))
        return tuple(found[1:])


class PixelCNNPPPixels(linen.Module):
    """The stream of the pixels above and to the left, beside that of the rows."""

    size: int
    width: int
    hidden: int
    num_layers: int
    kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond, *above):
        half = self.kernel_size // 2
        conv = partial(CausalConv, width=self.width, up=half, left=half)
        h = conv(self.hidden, right=half, late=True)(view, u)
        above, kept = above or [None] * 2 * self.num_layers, []
        for a in above[: self.num_layers]:
            kept.append(h)
            h = gated_residual(view, h, cond, conv, of_condition, a)
        for a in above[self.num_layers :]:
            beside = kept.pop() if a is None else jnp.concatenate([a, kept.pop()], -1)
            h = gated_residual(view, h, cond, conv, of_condition, beside)
        return Dense(self.size, kernel_init=zeros)(jax.nn.elu(h))


class PixelSNAIL(linen.Module):
    size: int
    width: int
    hidden: int
    num_layers: int
    num_convs: int
    num_heads: int
    kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond):
        half = self.kernel_size // 2
        conv = partial(CausalConv, width=self.width, up=half, left=half)
        alone = partial(CausalConv, width=self.width)
        place = view.along(places(view.num_steps, self.width))
        place = jnp.broadcast_to(place, (*u.shape[:-1], 2)).astype(u.dtype)
        h = conv(self.hidden, right=half, late=True)(view, u)

        def split_heads(a):
            return a.reshape(*a.shape[:-1], self.num_heads, self.hidden // self.num_heads)

        for _ in range(self.num_layers):
            for _ in range(self.num_convs):
                h = gated_residual(view, h, cond, conv, of_condition)
            query = jnp.concatenate([h, place], -1)
            query = gated_residual(view, query, None, alone, of_condition)
            q = Dense(self.hidden)(query)
            memory = jnp.concatenate([u, h, place], -1)
            memory = gated_residual(view, memory, None, alone, of_condition)
            k, v = jnp.split(Dense(2 * self.hidden)(memory), 2, -1)
            attended = view.attend(*map(split_heads, (q, k, v))).reshape(h.shape)
            h = gated_residual(view, h, None, alone, of_condition, attended)
        return Dense(self.size, kernel_init=zeros)(jax.nn.elu(h))


def places(num_steps, width):
    """Row and column of each step, each from -1/2 to 1/2."""
    at = np.stack(np.divmod(np.arange(num_steps), width), -1)
    return at / np.maximum(at[-1], 1) - 0.5
