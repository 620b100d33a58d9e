"""Shared parts of growing GANs: sizes and channels, the fade-in, and the critic."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .. import checks
from ..nets import (
    doubled,
    equalised_conv,
    equalised_dense,
    halved,
    minibatch_deviation,
    smoothed,
)
from ..protocol import Array, Key, Net, Params

FIRST = 4  # pixels a side of the smallest image


def growing_critic(
    shape: tuple[int, int, int],
    *,
    channel_base: int = 16384,
    channel_max: int = 512,
    smooth: bool = False,
    group_size: int | None = 4,
    axis_name: str | None = None,
) -> Callable[..., Net]:
    """The critic of `progressive` and `stylegan`: a function (size=None, alpha=1.0) -> Net.

    The net maps x [..., size, size, C] to values [...]. Blocks of two convolutions halve the image
    down to 4×4; then come the standard deviation within groups of images as one more channel, a
    convolution and two dense layers. With alpha < 1 the first block is faded in over a path that
    reads the halved image.

    shape: (n, n, C) of the largest images, n a power of two
    channel_base, channel_max: images of side s have channel_base / s channels, at most channel_max
    smooth: a low-pass filter before each halving, as in StyleGAN
    group_size: how many images a group has; None for the whole batch
    axis_name: of `jax.pmap`, over which groups are formed

    Karras et al. (2018), "Progressive growing of GANs".
    """
    sizes, width = grown_sizes(shape, channel_base, channel_max)
    smooth = checks.flag(smooth, "smooth")
    if group_size is not None:
        group_size = checks.positive_int(group_size, "group_size", least=2)
    if axis_name is not None:
        checks.text(axis_name, "axis_name")
    last, top = width[FIRST], sizes[-1]
    parts: dict[str, Any] = {
        "from_image": {
            name_of(s): equalised_conv(shape[2], width[s], kernel_size=1) for s in sizes
        },
        "blocks": {
            name_of(s): [
                equalised_conv(width[s], width[s]),
                equalised_conv(width[s], width[s // 2], resizing="down"),
            ]
            for s in sizes[1:]
        },
        "last": [
            equalised_conv(last + 1, last),
            equalised_dense(FIRST**2 * last, last),
            equalised_dense(last, 1, gain=1.0),
        ],
    }

    def read(params, x, size):
        name = name_of(size)
        return leaky(parts["from_image"][name].apply(params["from_image"][name], x))

    def block(params, h, size):
        layers, own = parts["blocks"][name_of(size)], params["blocks"][name_of(size)]
        h = leaky(layers[0].apply(own[0], h))
        return leaky(layers[1].apply(own[1], smoothed(h) if smooth else h))

    def judged(params, h):
        conv, dense, final = parts["last"]
        h = minibatch_deviation(h, group_size=group_size, axis_name=axis_name)
        h = leaky(conv.apply(params["last"][0], h))
        h = h.reshape(*h.shape[:-3], math.prod(h.shape[-3:]))
        h = leaky(dense.apply(params["last"][1], h))
        return final.apply(params["last"][2], h)[..., 0]

    def at(size=None, alpha=1.0):
        size, alpha = stage(size, alpha, top)

        def apply(params: Params, x: Array, *, key: Key | None = None) -> Array:
            checks.event_of(x, (size, size, shape[2]))
            h = read(params, x, size)
            for s in reversed(sizes[1 : sizes.index(size) + 1]):
                h = block(params, h, s)
                if s == size:
                    h = faded(lambda: read(params, halved(x), s // 2), h, alpha)
            return judged(params, h)

        return Net(joint_init(parts), apply)

    return at


def grown_sizes(
    shape: tuple[int, int, int], channel_base: int, channel_max: int
) -> tuple[list[int], dict[int, int]]:
    """([4, 8, ..., n], {size: channels}) for images of shape (n, n, C), n a power of two.

    shape: of the largest images, else `InputError`
    channel_base, channel_max: size s has channel_base / s channels, at most channel_max and at
        least 1
    """
    shape = checks.image_shape(shape)
    channel_base = checks.positive_int(channel_base, "channel_base")
    channel_max = checks.positive_int(channel_max, "channel_max")
    if shape[0] != shape[1]:
        raise checks.InputError(
            f"shape must be square, (n, n, channels), for growing; got {shape}. Pad the images."
        )
    size = power_of_two(shape[0], "height and width of shape")
    sizes = [2**i for i in range(FIRST.bit_length() - 1, size.bit_length())]
    return sizes, {s: max(min(channel_base // s, channel_max), 1) for s in sizes}


def stage(size: int | None, alpha: float | Array, largest: int) -> tuple[int, float | Array]:
    """(size, alpha), checked: the size of the images of a growing GAN, and how far it is faded in.

    size: a power of two from 4 to `largest`; None for the largest
    alpha: in [0, 1]; a traced value is not checked
    largest: the full size

    Others raise `InputError`.
    """
    size = largest if size is None else power_of_two(size, "size")
    if size > largest:
        raise checks.InputError(f"size must be at most {largest}, that of shape; got {size}.")
    share(alpha, "alpha")
    return size, alpha


def share(value: float | Array, name: str) -> None:
    """Checks for one number in [0, 1], which may be traced; returns nothing.

    value: the argument; name: its name in the `InputError` for others
    """
    checks.numbers(value, name)
    if jnp.ndim(value):
        raise checks.InputError(f"{name} must be one number; got shape {jnp.shape(value)}.")
    checks.within(value, 0, 1, name)


def faded(small: Array | Callable[[], Array], large: Array, alpha: float | Array) -> Array:
    """(1 - α) small + α large, exactly one of the two at α = 0 and 1.

    small: an array like `large`, or a function that computes it, which is not called if α is the
        Python number 1
    large: an array; alpha: α, a number in [0, 1], or traced
    """
    if isinstance(alpha, (int, float)) and alpha == 1:
        return large
    given: Any = small() if callable(small) else small
    return (1 - alpha) * given + alpha * large


def to_images(sizes: list[int], width: dict[int, int], colours: int) -> dict[str, Net]:
    """{name: net}: for each size of a growing generator a 1×1 convolution to an image.

    sizes, width: the sizes, and the channels of the features at each (`grown_sizes`)
    colours: the channels of an image
    """
    return {name_of(s): equalised_conv(width[s], colours, kernel_size=1, gain=1.0) for s in sizes}


def drawn(
    nets: dict[str, Net],
    params: Params,
    features: dict[int, Array],
    size: int,
    alpha: float | Array,
) -> Array:
    """(1 - α) up(image of half the size) + α (image of the size): a growing generator's output.

    up repeats each pixel 2×2 times; at the smallest size there is one image only.

    nets, params: those of `to_images`, by name
    features: {size: [..., size, size, channels]}, the output of each block
    size: that of the image; alpha: α, a number in [0, 1], or traced
    """

    def image(s):
        return nets[name_of(s)].apply(params[name_of(s)], features[s])

    if size == FIRST:
        return image(size)
    return faded(lambda: doubled(image(size // 2)), image(size), alpha)


def joint_init(parts: Any) -> Callable[[Key], Params]:
    """init(key) -> the tree of the parameters of a tree of nets, each with a key of its own.

    parts: dicts and lists of `Net`
    """

    def init(key: Key) -> Params:
        checks.key(key)
        nets, tree = jax.tree.flatten(parts, is_leaf=lambda part: isinstance(part, Net))
        keys = jax.random.split(key, len(nets))
        return tree.unflatten([net.init(k) for net, k in zip(nets, keys)])

    return init


def leaky(x: Array) -> Array:
    """max(x, x / 5), the leaky ReLU with slope 0.2, for x of any shape."""
    return jax.nn.leaky_relu(x, 0.2)


def name_of(size: int) -> str:
    """The name of a size among the parameters of a growing GAN, such as "8x8"."""
    return f"{size}x{size}"


def power_of_two(size: int, name: str) -> int:
    """The size as a Python integer, if it is a power of two of at least 4, else `InputError`.

    size: the side of a square image; name: that of the argument, for the error
    """
    size = checks.positive_int(size, name, least=FIRST)
    if size & (size - 1):
        raise checks.InputError(
            f"{name} must be a power of two, {FIRST} or more, such as "
            f"{2 ** size.bit_length()}; got {size}."
        )
    return size
