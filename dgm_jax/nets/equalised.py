"""Equalised learning rate: layers whose weights are scaled in use instead of at initialisation.

The size of an Adam step does not depend on the size of the gradient or the weight, so a layer that
starts with small weights changes relatively faster than one with large ones. Here every weight
starts as N(0, 1) and is multiplied by √(2 / fan_in) in use, so that all change at the same pace.
Karras et al. (2018), "Progressive growing of GANs", section 4.1.
"""

import math

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import in_a_row, same_rank
from ..protocol import Array, Key, Net, Params
from .upsampling import down_conv, up_conv

GAIN = math.sqrt(2.0)  # of a layer that a leaky ReLU follows
RESIZING = ("same", "up", "down")


@checks.spelled
def equalised_dense(
    in_dim: int,
    out_dim: int,
    *,
    gain: float = GAIN,
    lr_multiplier: float = 1.0,
    use_bias: bool = True,
    start_bias: float = 0.0,
) -> Net:
    """y = c W x + m b with c = m gain / √in and W_ij ~ N(0, 1 / m²): x [..., in] -> y [..., out].

    The scale of He's initialisation is multiplied in use instead of being drawn ("equalised
    learning rate"): an Adam step, whose size does not depend on that of a weight, then changes all
    layers at the same pace.

    in_dim, out_dim: in, out
    gain: √2 before a ReLU or leaky ReLU, 1 at the end of a net
    lr_multiplier: m. The initial function does not depend on it, and a step of Adam changes the
        function m times as much; StyleGAN's mapping net has m = 0.01
    use_bias: whether there is a b
    start_bias: the initial m b, one number for all outputs
    Karras et al. (2018), "Progressive growing of GANs for improved quality, stability, and
    variation", section 4.1.
    """
    in_dim, out_dim = checks.positive_int(in_dim, "in_dim"), checks.positive_int(out_dim, "out_dim")
    init, factor, multiplier = _weights(
        (in_dim, out_dim), in_dim, gain, lr_multiplier, use_bias, start_bias
    )

    def apply(params: Params, x: Array, *, key: Key | None = None) -> Array:
        checks.events(x, in_dim)
        y = jnp.matmul(x, params["kernel"] * factor)
        return _shifted(y, params, multiplier)

    return Net(init, apply)


@checks.spelled
def equalised_conv(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int = 3,
    resizing: str = "same",
    gain: float = GAIN,
    use_bias: bool = True,
) -> Net:
    """y = c w * x + b with c = gain / √(in k²): x [..., H, W, in] -> [..., H, W, out], w ~ N(0, 1).

    A convolution with zero padding whose initial scale c is multiplied in use, so that a step of
    Adam changes all layers at the same pace ("equalised learning rate", see `equalised_dense`).

    in_channels, out_channels: in, out
    kernel_size: k, odd
    resizing: "same"; "up" convolves x with each pixel repeated 2×2 times, [..., 2H, 2W, out];
        "down" averages the convolution over 2×2 pixels, [..., H/2, W/2, out]. Both are computed as
        one convolution of stride 2 whose kernel, of side k + 1, is the sum of four shifted copies
        of w
    gain: √2 before a ReLU or leaky ReLU, 1 at the end of a net
    use_bias: whether there is a b, which starts at 0
    Cost: in · out · k² multiplications per pixel; with "up" or "down", in · out · (k + 1)² per
    pixel of the small image instead of 4 in · out · k². Karras et al. (2018), "Progressive growing
    of GANs", section 4.1.
    """
    in_channels = checks.positive_int(in_channels, "in_channels")
    out_channels = checks.positive_int(out_channels, "out_channels")
    checks.choice(resizing, RESIZING, "resizing")
    k = checks.positive_int(kernel_size, "kernel_size")
    if k % 2 == 0:
        raise checks.InputError(f"kernel_size must be odd, such as 1 or 3; got {kernel_size}.")
    shape = (k, k, in_channels, out_channels)
    init, factor, _ = _weights(shape, in_channels * k * k, gain, 1.0, use_bias, 0.0)

    def apply(params: Params, x: Array, *, key: Key | None = None) -> Array:
        checks.event_shape(x, (*jnp.shape(x)[-3:-1], in_channels))
        kernel = params["kernel"] * factor
        pad = ((k // 2, k // 2),) * 2
        if resizing == "same":
            y = down_conv(x, kernel, stride=1, padding=pad)
        elif resizing == "down":
            y = down_conv(x, _spread(kernel) / 4, stride=2, padding=pad)
        else:
            turned = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)  # as `up_conv` wants it
            size = tuple(2 * n for n in x.shape[-3:-1])
            y = up_conv(x, _spread(turned), stride=2, padding=pad, size=size)
        return _shifted(y, params, 1.0)

    return Net(init, apply)


def doubled(x: Array) -> Array:
    """y[2i + a, 2j + b] = x[i, j] for a, b in {0, 1}: [..., H, W, C] -> [..., 2H, 2W, C].

    Nearest-neighbour upsampling: each pixel is repeated 2×2 times. x: images; anything of fewer
    than three axes raises InputError.
    """
    checks.images(x)
    *batch, h, w, c = x.shape
    wide = jnp.broadcast_to(x[..., :, None, :, None, :], (*batch, h, 2, w, 2, c))
    return wide.reshape(*batch, 2 * h, 2 * w, c)


def halved(x: Array) -> Array:
    """y[i, j] = mean of x[2i + a, 2j + b], a, b in {0, 1}: [..., H, W, C] -> [..., H/2, W/2, C].

    Downsampling by the mean over 2×2 pixels. x: images; an odd height or width raises InputError.
    """
    checks.images(x)
    *batch, h, w, c = x.shape
    if h % 2 or w % 2:
        raise checks.InputError(f"x must have even height and width; got {x.shape}.")
    return jnp.reshape(x, (*batch, h // 2, 2, w // 2, 2, c)).mean((-4, -2))


def smoothed(x: Array) -> Array:
    """y = x * [1, 2, 1] / 4 along height, then along width: [..., H, W, C] -> [..., H, W, C].

    * is the convolution, with zero padding: y_i = (x_{i-1} + 2 x_i + x_{i+1}) / 4 on each axis,
    which darkens the edge of the image. x: images. This is StyleGAN's low-pass filter after each
    upsampling and before each downsampling; it turns repeated pixels into their linear
    interpolation. Zhang (2019), "Making convolutional networks shift-invariant again".
    """
    checks.images(x)
    for axis in (x.ndim - 3, x.ndim - 2):
        around = [(0, 0)] * x.ndim
        around[axis] = (1, 1)
        padded, n = jnp.pad(x, around), x.shape[axis]
        before, after = (
            jax.lax.slice_in_dim(padded, start, start + n, axis=axis) for start in (0, 2)
        )
        x = (before + after) / 4 + x / 2
    return x


# ------------------------------------------------------------------------------------ the parts
def _weights(shape, fan_in, gain, lr_multiplier, use_bias, start_bias):
    """init, what the kernel is multiplied by in use, and what the bias is."""
    gain = checks.positive(gain, "gain")
    multiplier = checks.positive(lr_multiplier, "lr_multiplier")
    use_bias = checks.flag(use_bias, "use_bias")
    start_bias = checks.number(start_bias, "start_bias")

    def init(key: Key) -> Params:
        checks.key(key)
        params = {"kernel": in_a_row(jax.random.normal, key, shape) / multiplier}
        if use_bias:
            params["bias"] = jnp.full(shape[-1:], start_bias / multiplier)
        return params

    return init, multiplier * gain / math.sqrt(fan_in), multiplier


def _shifted(y, params, multiplier):
    return sum(same_rank(y, params["bias"] * multiplier)) if "bias" in params else y


def _spread(kernel):
    """The sum of a kernel [k, k, ...] shifted by 0 and 1 down and right, [k + 1, k + 1, ...]."""
    ends = ((0, 1), (1, 0))
    return sum(jnp.pad(kernel, (down, right, (0, 0), (0, 0))) for down in ends for right in ends)
