"""Rearrangements of the entries of images, all with log-determinant 0.

The checkerboard and the channel mask of image couplings are one coupling of channels, after one of
these rearrangements: after `checkerboard` the first half of the channels holds the black pixels and
the second half the white ones; after `squeeze` the channels are pixels of a coarser image. So a
conditioner sees the kept pixels without zeros in between and outputs only what moves, which is half
the work of a masked image.
"""

import math
from collections.abc import Callable

import distrax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import as_vectors, no_log_det, squeezed, unsqueezed
from ..protocol import Array, Shape


class Rearrangement(distrax.Bijector):
    """y holds the entries of x in other positions, in events of another shape; log-determinant 0.

    Made by `flatten`, `squeeze` and `checkerboard`.

    shape_in, shape_out: the shapes of one x and of one y, with as many entries
    to, back: the functions x [..., *shape_in] -> y [..., *shape_out] and y -> x
    """

    same_as = checks.same_bijector

    def __init__(
        self,
        shape_in: tuple[int, ...],
        shape_out: tuple[int, ...],
        to: Callable[[Array], Array],
        back: Callable[[Array], Array],
    ):
        shape_in = checks.shape(shape_in, "shape_in")
        shape_out = checks.shape(shape_out, "shape_out")
        if math.prod(shape_in) != math.prod(shape_out):
            raise checks.InputError(
                f"shape_out must have as many entries as shape_in={shape_in}; got {shape_out}."
            )
        checks.function(to, "to")
        checks.function(back, "back")
        super().__init__(
            event_ndims_in=len(shape_in), event_ndims_out=len(shape_out), is_constant_jacobian=True
        )
        self._shape_in, self._shape_out = shape_in, shape_out
        self._to, self._back = to, back

    @property
    def shape_out(self) -> Shape:
        """The shape of one y."""
        return self._shape_out

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        checks.event_of(x, self._shape_in)
        return self._to(x), no_log_det(x, len(self._shape_in))

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        checks.event_of(y, self._shape_out)
        return self._back(y), no_log_det(y, len(self._shape_out))


def flatten(shape: tuple[int, int, int]) -> Rearrangement:
    """x [..., H, W, C] -> y [..., H·W·C]: an image as a vector, row by row, channels last.

    shape: (H, W, C). Returns a `Rearrangement`, a distrax bijector with `forward` x -> y, `inverse`
        y -> x and the log-determinant 0
    """
    shape = checks.image_shape(shape)
    size = math.prod(shape)
    return Rearrangement(
        shape, (size,), lambda x: as_vectors(x, 3), lambda y: y.reshape(*y.shape[:-1], *shape)
    )


def squeeze(shape: tuple[int, int, int]) -> Rearrangement:
    """x [..., H, W, C] -> y [..., H/2, W/2, 4C]: 2×2 pixels become one pixel of 4C channels.

    The channels are ordered: the C channels of the top left pixel, then of the top right, bottom
    left and bottom right one. Returns a `Rearrangement`, a distrax bijector with `forward` x -> y,
    `inverse` y -> x and the log-determinant 0.

    shape: (H, W, C); odd H or W raise InputError
    Dinh et al. (2017), "Density estimation using Real NVP", section 3.6.
    """
    shape = checks.image_shape(shape)
    h, w, c = shape
    if h % 2 or w % 2:
        raise checks.InputError(f"squeeze needs even height and width; got shape {shape}.")
    return Rearrangement(shape, (h // 2, w // 2, 4 * c), squeezed, unsqueezed)


def checkerboard(shape: tuple[int, int, int]) -> Rearrangement:
    """x [..., H, W, C] -> y [..., H, W/2, 2C]: the black pixels as C channels, then the white ones.

    Pixel (i, j) is black if i + j is even. Pixel (i, k) of y holds the black and the white pixel of
    columns 2k and 2k + 1. So a coupling of channels after it is one on a checkerboard. Returns a
    `Rearrangement`, a distrax bijector with `forward` x -> y, `inverse` y -> x and the
    log-determinant 0.

    shape: (H, W, C); an odd W raises InputError
    Dinh et al. (2017), "Density estimation using Real NVP", section 3.4; as a split into two
    images, Ho et al. (2019), "Flow++".
    """
    shape = checks.image_shape(shape)
    h, w, c = shape
    if w % 2:
        raise checks.InputError(f"checkerboard needs an even width; got shape {shape}.")
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
