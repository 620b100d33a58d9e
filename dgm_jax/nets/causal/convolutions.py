"""Causal convolutions of images, in both views of time (`nets.causal.time`).

Only the weights that a mask would keep exist, so the fan-in of their initial values is right, and a
single step computes no products with zeros.
"""

import jax.numpy as jnp
import numpy as np

from ... import checks
from ...arrays import same_rank
from .. import starts
from ..adapter import linen
from ..upsampling import down_conv
from .time import AllSteps, View


class CausalConv(linen.Module):
    """y_t = b + Σ_lag K_lag x_{t - lag}, where a step is a pixel in raster order, x [B, (T,) c].

    Kernel: in each of the `up` rows above, the columns from `left` to the left to `right` to the
    right; in the same row, `left` columns to the left and the pixel itself. x is 0 outside of the
    image; kernel entries that are outside for every pixel are left out.
    late: True if x_t is the input of a body, which is pixel t - 1. Then the kernel covers the same
        pixels except pixel t itself (mask A).
    Costs: with all steps at once, the masked products of the same row are computed too; with one
    step none of them.
    """

    features: int
    width: int
    up: int = 0
    left: int = 0
    right: int = 0
    late: bool = False
    scale: float = 1.0  # variance of the outputs at the start, for inputs of variance 1

    @linen.compact
    def __call__(self, view: View, x):
        height = view.num_steps // self.width
        up, left = min(self.up, height - 1), min(self.left, self.width - 1)
        columns = left + 1 + (min(self.right, self.width - 1) if up else 0)
        num_taps = up * columns + left + (not self.late)
        bias = self.param("bias", linen.initializers.zeros, (self.features,))
        if not num_taps:
            return jnp.broadcast_to(bias, (*x.shape[:-1], self.features))
        init = starts.scaled(self.scale)
        kernel = self.param("kernel", init, (num_taps, x.shape[-1], self.features))
        convolve = self.at_all_steps if isinstance(view, AllSteps) else self.at_one_step
        y, bias = same_rank(convolve(view, x, kernel, up, left, columns), bias)
        return y + bias

    def at_all_steps(self, view, x, kernel, up, left, columns):
        """One convolution, with a kernel that is 0 to the right of the pixel itself.

        up, left, columns: the extent of the kernel.
        """
        height = view.num_steps // self.width
        if self.late:  # the last pixel is one that no tap reaches
            x = jnp.pad(x[:, 1:], [(0, 0), (0, 1), (0, 0)])
        unused = (up + 1) * columns - len(kernel)
        kernel = jnp.pad(kernel, [(0, unused), (0, 0), (0, 0)])
        y = down_conv(
            x.reshape(len(x), height, self.width, x.shape[-1]),
            kernel.reshape(up + 1, columns, *kernel.shape[1:]),
            stride=1,
            padding=((up, 0), (left, columns - 1 - left)),
        )
        return y.reshape(*x.shape[:-1], self.features)

    def at_one_step(self, view, x, kernel, up, left, columns):
        """One product of the kernel with the pixels under it, 0 outside of the image.

        up, left, columns: the extent of the kernel.
        """
        tap_row, tap_column = np.divmod(np.arange(len(kernel)), columns)
        above, aside = up - tap_row, tap_column - left
        row, column = np.divmod(np.arange(view.num_steps)[:, None], self.width)
        inside = (row >= above) & (column + aside >= 0) & (column + aside < self.width)
        lags = above * self.width - aside - self.late
        taps = jnp.stack(view.past(x, lags.tolist()), -2)  # [B, taps, c]
        taps = jnp.where(view.along(inside)[:, None], taps, 0)
        flat = len(kernel) * x.shape[-1]
        return taps.reshape(len(x), flat) @ kernel.reshape(flat, self.features)


class RowConv(linen.Module):
    """y_r = b + Σ_{j≤up} Σ_{|s|≤side} K_js x_{r-j}[column + s]: a step is a row, x [B, (H,) W, c].

    Causal in rows; both sides are seen in columns. late: True if x_r is row r - 1, the input of
    `rows`. Kernel entries that are outside of the image for every pixel are left out.
    """

    features: int
    up: int
    side: int
    late: bool = False
    scale: float = 1.0

    @linen.compact
    def __call__(self, view: View, x):
        up = min(self.up, view.num_steps - 1 - self.late)
        side = min(self.side, x.shape[-2] - 1)
        bias = self.param("bias", linen.initializers.zeros, (self.features,))
        init = starts.scaled(self.scale)
        shape = (up + 1, 2 * side + 1, x.shape[-1], self.features)
        kernel = self.param("kernel", init, shape)
        if isinstance(view, AllSteps):
            edges = ((up, 0), (side, side))
        else:  # a picture of one row, whose channels are those of all rows that are seen
            x = jnp.concatenate(view.past(x, range(up, -1, -1)), -1)[:, None]
            kernel = jnp.moveaxis(kernel, 0, 1).reshape(1, 2 * side + 1, -1, self.features)
            edges = ((0, 0), (side, side))
        y = down_conv(x, kernel, stride=1, padding=edges)
        y, bias = same_rank(y if isinstance(view, AllSteps) else y[:, 0], bias)
        return y + bias


def odd(size: int, name: str) -> int:
    """A kernel size: odd, and at least 3."""
    size = checks.positive_int(size, name, least=3)
    if size % 2 == 0:
        raise checks.InputError(f"{name} must be odd, to have a middle; got {size}.")
    return size
