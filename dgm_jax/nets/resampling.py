"""Convolution after upsampling, or before downsampling, as a single strided convolution.

`nearest` repeats each pixel 2×2 times, and `pooled` averages over 2×2 pixels. Both are convolutions
with a constant 2×2 kernel and stride 2. Combined with a convolution by w [3, 3], they are one
convolution of stride 2 whose 4×4 kernel is w convolved with that constant kernel: the same function
of the same parameters, for 16 multiplications instead of 36.
"""

import jax.numpy as jnp

from .. import checks
from ..protocol import Array
from .upsampling import down_conv, up_conv


def nearest(y: Array) -> Array:
    """x[2i + a, 2j + b] = y[i, j] for a, b in {0, 1}: [..., h, w, C] -> [..., 2h, 2w, C]."""
    _check(y, "y")
    *batch, h, w, c = y.shape
    x = jnp.broadcast_to(y[..., :, None, :, None, :], (*batch, h, 2, w, 2, c))
    return x.reshape(*batch, 2 * h, 2 * w, c)


def pooled(x: Array) -> Array:
    """y[i, j] = mean of x[2i + a, 2j + b], a, b in {0, 1}: [..., H, W, C] -> [..., H/2, W/2, C]."""
    _check(x, "x", even=True)
    *batch, h, w, c = x.shape
    return x.reshape(*batch, h // 2, 2, w // 2, 2, c).mean((-4, -2))


def nearest_conv(y: Array, kernel: Array) -> Array:
    """conv(nearest(y), w), with zero padding: [..., h, w, in] -> [..., 2h, 2w, out].

    kernel: w [k, k, in, out] with odd k. Cost: h w (k + 1)² in out multiplications, where the
    convolution of the enlarged image takes 4 h w k² in out.
    """
    _check(y, "y", kernel)
    taps = kernel.shape[0]
    spread = _spread(jnp.flip(kernel, (0, 1)))
    size = (2 * y.shape[-3], 2 * y.shape[-2])
    padding = ((taps // 2,) * 2,) * 2
    return up_conv(y, jnp.swapaxes(spread, -1, -2), size=size, padding=padding)


def pooled_conv(x: Array, kernel: Array) -> Array:
    """pooled(conv(x, w)), with zero padding: [..., H, W, in] -> [..., H/2, W/2, out].

    kernel: w [k, k, in, out] with odd k. Cost: H W (k + 1)² in out / 4 multiplications, where the
    convolution takes H W k² in out.
    """
    _check(x, "x", kernel, even=True)
    taps = kernel.shape[0]
    return down_conv(x, _spread(kernel) / 4, padding=((taps // 2,) * 2,) * 2)


def _spread(kernel):
    """w ∗ the 2×2 ones: [k, k, in, out] -> [k + 1, k + 1, in, out]."""
    moved = [(a, 1 - a) for a in (0, 1)]
    return sum(
        jnp.pad(kernel, (rows, columns, (0, 0), (0, 0))) for rows in moved for columns in moved
    )


def _check(x, name, kernel=None, even=False):
    checks.floating(x, name)
    if jnp.ndim(x) < 3:
        raise checks.InputError(
            f"{name} must be images [..., height, width, channels]; got {jnp.shape(x)}."
        )
    if even and (x.shape[-3] % 2 or x.shape[-2] % 2):
        raise checks.InputError(
            f"{name} must be images of even height and width, which pairs of pixels fill; got "
            f"{jnp.shape(x)}."
        )
    if kernel is None:
        return
    checks.floating(kernel, "kernel", (None, None, x.shape[-1], None))
    if not (kernel.shape[0] % 2 and kernel.shape[0] == kernel.shape[1]):
        raise checks.InputError(
            f"kernel must have an odd number of taps, alike in both axes; got {kernel.shape}."
        )
