"""Images seen in other shapes: rearrangements of their entries, all of log-det exactly 0.

The two masks of image couplings are the same coupling of channels, seen through one of these: after
`checkerboard` the first half of the channels are the black pixels and the second half the white
ones; after `squeeze` they are pixels of a coarser image. So a conditioner gets the pixels that are
kept and no zeros between them, and moves the others only: half the work of a masked image.
"""

import math
from collections.abc import Callable

import distrax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..protocol import Array


class Rearrangement(distrax.Bijector):
    """y holds the entries of x in other places: events of one shape to events of another."""

    def __init__(
        self,
        shape_in: tuple[int, ...],
        shape_out: tuple[int, ...],
        to: Callable[[Array], Array],
        back: Callable[[Array], Array],
    ):
        super().__init__(
            event_ndims_in=len(shape_in), event_ndims_out=len(shape_out), is_constant_jacobian=True
        )
        self._shapes, self._to, self._back = (shape_in, shape_out), to, back

    def forward_and_log_det(self, x):
        return self._run(x, self._shapes[0], self._to)

    def inverse_and_log_det(self, y):
        return self._run(y, self._shapes[1], self._back)

    def _run(self, x, shape, move):
        checks.event_of(x, shape)
        return move(x), jnp.zeros(x.shape[: x.ndim - len(shape)], x.dtype)


def flatten(shape: tuple[int, int, int]) -> Rearrangement:
    """[H, W, C] -> [H·W·C]: an image as a vector."""
    checks.image_shape(shape)
    size = math.prod(shape)
    return Rearrangement(shape, (size,), _reshape(3, (size,)), _reshape(1, shape))


def squeeze(shape: tuple[int, int, int]) -> Rearrangement:
    """[H, W, C] -> [H/2, W/2, 4C]: each square of 2×2 pixels becomes one pixel of 4C channels.

    Its channels are those of the top left pixel, top right, bottom left, bottom right.
    Dinh et al. (2017), section 3.6.
    """
    checks.image_shape(shape)
    h, w, c = shape
    if h % 2 or w % 2:
        raise ValueError(f"squeeze needs even height and width; got shape {shape}.")

    def to(x):
        x = jnp.swapaxes(x.reshape(*x.shape[:-3], h // 2, 2, w // 2, 2, c), -4, -3)
        return x.reshape(*x.shape[:-5], h // 2, w // 2, 4 * c)

    def back(y):
        y = jnp.swapaxes(y.reshape(*y.shape[:-3], h // 2, w // 2, 2, 2, c), -4, -3)
        return y.reshape(*y.shape[:-5], h, w, c)

    return Rearrangement(shape, (h // 2, w // 2, 4 * c), to, back)


def checkerboard(shape: tuple[int, int, int]) -> Rearrangement:
    """[H, W, C] -> [H, W/2, 2C]: C channels of the black pixels (i + j even), then C of the white.

    Pixel (i, k) of the result holds the black and the white one of columns 2k and 2k + 1.
    Dinh et al. (2017), section 3.4; as a split into two images, Ho et al. (2019).
    """
    checks.image_shape(shape)
    h, w, c = shape
    if w % 2:
        raise ValueError(f"checkerboard needs an even width; got shape {shape}.")
    odd_row = np.arange(h)[:, None, None, None] % 2 == 1

    def black_first(x):  # [..., H, W/2, 2, C]: in odd rows the black pixel is the right one
        return jnp.where(odd_row, x[..., ::-1, :], x)

    def to(x):
        x = black_first(x.reshape(*x.shape[:-3], h, w // 2, 2, c))
        return x.reshape(*x.shape[:-4], h, w // 2, 2 * c)

    def back(y):
        y = black_first(y.reshape(*y.shape[:-3], h, w // 2, 2, c))
        return y.reshape(*y.shape[:-4], h, w, c)

    return Rearrangement(shape, (h, w // 2, 2 * c), to, back)


def _reshape(event_ndims, shape):
    return lambda x: x.reshape(*x.shape[: x.ndim - event_ndims], *shape)
