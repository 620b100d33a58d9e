"""Operations on features in the generators and critics of growing GANs.

All act on features [..., H, W, C] of images and have no parameters of their own.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import in_a_row, wide
from ..protocol import Array, Key


def pixel_norm(x: Array, *, epsilon: float = 1e-8) -> Array:
    """y = x / √(mean_c x_c² + ε), for the channels c of each pixel or vector: [..., C] -> [..., C].

    Each pixel gets a mean square of 1 (slightly less, by ε), with no trained parameters. It
    prevents the magnitudes of generator and critic from growing in competition.

    x: floating, of any number of axes but none; epsilon: ε
    Karras et al. (2018), "Progressive growing of GANs", section 4.2.
    """
    checks.floating(x, "x")
    epsilon = checks.positive(epsilon, "epsilon")
    if not jnp.ndim(x):
        raise checks.InputError("x must have an axis of channels, [..., C]; got a single number.")
    numbers = x.astype(wide(x))
    mean_square = jnp.square(numbers).mean(-1, keepdims=True)
    return (numbers * jax.lax.rsqrt(mean_square + epsilon)).astype(x.dtype)


def adain(x: Array, scale: Array, shift: Array, *, epsilon: float = 1e-8) -> Array:
    """AdaIN(x, s)_c = s_c (x_c - μ_c) / √(σ_c² + ε) + b_c: adaptive instance normalisation.

    μ_c and σ_c² are mean and variance of channel c over the pixels of one image. The result has
    mean b_c and standard deviation |s_c| in channel c, up to ε; a constant channel becomes b_c.

    x: images [..., H, W, C]; the result has the same shape and dtype
    scale, shift: s and b, [..., C], one style per image, in StyleGAN linear maps of w
    epsilon: ε
    Raises InputError if scale or shift have another number of channels. Huang and Belongie (2017),
    "Arbitrary style transfer in real-time with AdaIN", equation 8; Karras et al. (2019), "A
    style-based generator architecture", equation 1.
    """
    checks.images(x)
    epsilon = checks.positive(epsilon, "epsilon")
    for value, name in ((scale, "scale"), (shift, "shift")):
        checks.floating(value, name)
        if jnp.shape(value)[-1:] != x.shape[-1:]:
            raise checks.InputError(
                f"{name} must be [..., {x.shape[-1]}], one number for each channel of x; got "
                f"{jnp.shape(value)}."
            )
    numbers = x.astype(wide(x))
    centred = numbers - numbers.mean((-3, -2), keepdims=True)
    factor = jax.lax.rsqrt(jnp.square(centred).mean((-3, -2)) + epsilon) * scale
    return (centred * factor[..., None, None, :] + shift[..., None, None, :]).astype(x.dtype)


def add_noise(x: Array, strength: Array, key: Key | None) -> Array:
    """y_hwc = x_hwc + strength_c n_hw, with n_hw ~ N(0, 1), a number for each pixel of each image.

    The noise of each layer is the source of stochastic detail, such as the place of single hairs.

    x: images [..., H, W, C]; the result has the same shape
    strength: [C], trained in StyleGAN
    key: of the noise; None for no noise, y = x
    Karras et al. (2019), "A style-based generator architecture", section 2.
    """
    checks.images(x)
    checks.floating(strength, "strength", (x.shape[-1],))
    if key is None:
        return x
    checks.key(key)
    noise = in_a_row(jax.random.normal, key, (*x.shape[:-1], 1), x.dtype)
    return x + noise * strength.reshape((1,) * (x.ndim - 1) + (-1,))


@checks.spelled
def minibatch_deviation(
    x: Array,
    *,
    group_size: int | None = 4,
    epsilon: float = 1e-8,
    axis_name: str | None = None,
) -> Array:
    """x [..., H, W, C] with one more channel, which measures how much the images of a group differ.

        d = mean over pixels and channels of √(v + ε) - √ε,   v the variance over the group

    is one number per group, repeated at all pixels of its images: [..., H, W, C + 1]. With it a
    critic can detect a generator that has collapsed to one image. It is 0 for equal images, with
    derivatives of all orders.

    x: images; all axes before the last three are one batch of n images
    group_size: image i belongs to group i mod g with g = ⌊n / group_size⌋, at least 1: groups have
        group_size images, or more if it does not divide n. None is the whole batch. A batch of one
        has d = 0
    epsilon: ε
    axis_name: of `jax.pmap`. Groups are formed over the whole batch: under `jit` with any sharding;
        under `jax.pmap` with axis_name, in the order of the devices
    Karras et al. (2018), "Progressive growing of GANs", section 3.
    """
    checks.images(x)
    epsilon = checks.positive(epsilon, "epsilon")
    if group_size is not None:
        group_size = checks.positive_int(group_size, "group_size", least=2)
    if axis_name is not None:
        checks.text(axis_name, "axis_name")
    images = x.astype(wide(x)).reshape(math.prod(x.shape[:-3]), *x.shape[-3:])
    own = len(images)
    if axis_name is not None:
        images = jax.lax.all_gather(images, axis_name, tiled=True)
    each = _deviations(images, group_size, epsilon)
    if axis_name is not None:
        each = jax.lax.dynamic_slice_in_dim(each, jax.lax.axis_index(axis_name) * own, own)
    channel = jnp.broadcast_to(each.reshape(*x.shape[:-3], 1, 1, 1), (*x.shape[:-1], 1))
    return jnp.concatenate([x, channel.astype(x.dtype)], -1)


def _deviations(images, group_size, epsilon):
    """d of the group of each image: [n, H, W, C] -> [n]."""
    n = len(images)
    if n == 0:
        return jnp.zeros(0, images.dtype)
    groups = 1 if group_size is None else max(n // group_size, 1)
    rows = -(-n // groups)  # image i lies in row i // groups, column i mod groups
    held = (np.arange(rows * groups) < n).reshape(rows, groups, 1, 1, 1)  # by an image, no filling
    filling = [(0, rows * groups - n)] + [(0, 0)] * 3
    table = jnp.pad(images, filling).reshape(rows, groups, *images.shape[1:])
    table = table - jax.lax.stop_gradient(table[:1])  # no variance of it, and no rounding of 0

    def mean(values):
        return jnp.where(held, values, 0).sum(0, keepdims=True) / held.sum(0, keepdims=True)

    variance = mean(jnp.square(table - mean(table)))
    root = jnp.sqrt(variance + epsilon)
    deviation = variance / (root + epsilon**0.5)  # √(v + ε) - √ε, and 0 where v is
    each = jnp.broadcast_to(deviation.mean((-3, -2, -1)), (rows, groups))
    return each.reshape(-1)[:n]
