"""Convolutional encoders and decoders of images, which halve or double the image stage by stage.

For variational autoencoders and for the players of a GAN.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Net
from . import starts
from .adapter import Conv, Dense, from_linen, linen
from .norm import GroupNorm
from .upsampling import up_conv
from .weights import Convolution


class UpConv(linen.Module):
    """`up_conv` by two with trained kernel and bias: [..., h, w, in] -> [..., *size, out]."""

    features: int
    size: tuple[int, int]
    kernel_size: int
    kernel_init: Callable = starts.scaled()
    use_bias: bool = True

    @linen.compact
    def __call__(self, y):
        taps, channels = (self.kernel_size,) * 2, y.shape[-1]

        def init(key, shape):
            """Inputs are the last axis, and a pixel of x meets a quarter of the taps: 2 = √4."""
            drawn = self.kernel_init(key, (*taps, channels, self.features))
            return 2 * jnp.swapaxes(drawn, -1, -2)

        kernel = self.param("kernel", init, (*taps, self.features, channels))
        x = up_conv(y, kernel, size=self.size)
        if not self.use_bias:
            return x
        bias = self.param("bias", linen.initializers.zeros, (self.features,))
        return x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


class Stage(linen.Module):
    """What follows a convolution: normalisation, activation, dropout, then residual blocks."""

    hidden: int
    num_blocks: int
    num_groups: int | None
    activation: Callable
    dropout: float

    @linen.compact
    def __call__(self, h, deterministic):
        h = self.between(h, deterministic)
        for _ in range(self.num_blocks):
            inner = self.between(Conv(self.hidden, (3, 3))(h), deterministic)
            h = h + Conv(self.hidden, (3, 3))(inner)
        return h

    def between(self, h, deterministic):
        h = h if self.num_groups is None else GroupNorm(self.num_groups)(h)
        return linen.Dropout(self.dropout, deterministic=deterministic)(self.activation(h))


class Encoder(linen.Module):
    """The linen module of `conv_encoder`."""

    out_dim: int
    hidden: Sequence[int]
    kernel_size: int
    stage: Callable
    zero_last: bool

    @linen.compact
    def __call__(self, x, deterministic=True):
        x = _halved(x, self, deterministic)
        flat = x.reshape(*x.shape[:-3], math.prod(x.shape[-3:]))
        return Dense(self.out_dim, kernel_init=_last(self.zero_last))(flat)


class MapEncoder(linen.Module):
    """The linen module of `map_encoder`."""

    out_channels: int
    hidden: Sequence[int]
    kernel_size: int
    stage: Callable
    zero_last: bool

    @linen.compact
    def __call__(self, x, deterministic=True):
        x = _halved(x, self, deterministic)
        last = _last(self.zero_last)
        return Conv(self.out_channels, (1, 1), kernel_init=last, name="last")(x)


class Decoder(linen.Module):
    """The linen module of `conv_decoder`."""

    sizes: Sequence[tuple[int, int]]  # of the image before each stage, and of the result
    out_channels: int
    hidden: Sequence[int]
    kernel_size: int
    stage: Callable
    zero_last: bool

    @linen.compact
    def __call__(self, z, deterministic=True):
        first = (*self.sizes[0], self.hidden[0])
        h = Dense(math.prod(first))(z).reshape(*z.shape[:-1], *first)
        return _doubled(h, self, deterministic)


class MapDecoder(linen.Module):
    """The linen module of `map_decoder`."""

    sizes: Sequence[tuple[int, int]]
    out_channels: int
    hidden: Sequence[int]
    kernel_size: int
    stage: Callable
    zero_last: bool

    @linen.compact
    def __call__(self, z, deterministic=True):
        return _doubled(Conv(self.hidden[0], (3, 3))(z), self, deterministic)


def _halved(x, net, deterministic):
    """The stages of an encoder, whose layers are those of the net that calls."""
    for i, width in enumerate(net.hidden):
        # the pair with `up_conv`, so that penalties on gradients are as fast as gradients
        conv = Convolution(width, taps=net.kernel_size, stride=2, name=f"Conv_{i}")
        x = net.stage(width)(conv(x, train=False), deterministic)
    return x


def _doubled(h, net, deterministic):
    """The stages of a decoder, from the smallest image on."""
    h = net.stage(net.hidden[0])(h, deterministic)
    for width, size in zip(net.hidden[1:], net.sizes[1:-1]):
        h = UpConv(width, size, net.kernel_size)(h)
        h = net.stage(width)(h, deterministic)
    last = _last(net.zero_last)
    return UpConv(net.out_channels, net.sizes[-1], net.kernel_size, last)(h)


@checks.spelled
def conv_encoder(
    shape: tuple[int, int, int],
    out_dim: int,
    *,
    hidden: Sequence[int] = (32, 64),
    kernel_size: int = 4,
    num_blocks: int = 0,
    num_groups: int | None = None,
    activation: Callable = jax.nn.silu,
    zero_last: bool = False,
    dropout: float = 0.0,
) -> Net:
    """f(x): x [..., H, W, C] -> [..., out]: strided convolutions, then a linear map of all pixels.

    shape: (H, W, C) of the images
    out_dim: out
    hidden: channels of each stage, a convolution of stride 2, which halves height and width,
        rounded up: 28 -> 14 -> 7 -> 4 with three. It is followed by norm, activation, dropout and
        residual blocks
    kernel_size: k, the side of the kernels of stride 2, at least 2
    num_blocks: residual blocks of two 3×3 convolutions in each stage
    num_groups: of a `group_norm` before each activation, a divisor of each of `hidden`; None for
        none
    activation: the non-linearity, by default SiLU
    zero_last: start as f = 0
    dropout: the fraction of the activations set to 0 if `apply` gets a key
    Cost: about H W C k² hidden_0 / 4 multiplications in the first stage. Later stages cost the same
    as each other if their channels double.
    """
    shape = checks.image_shape(shape)
    out_dim = checks.positive_int(out_dim, "out_dim")
    hidden, kernel_size, stage, zero_last = _checked(
        hidden, kernel_size, num_blocks, num_groups, activation, zero_last, dropout
    )
    net = from_linen(Encoder(out_dim, hidden, kernel_size, stage, zero_last), shape)

    def apply(params, x, *, key=None):
        checks.event_of(x, shape)
        return net.apply(params, x, key=key)

    return Net(net.init, apply)


@checks.spelled
def conv_decoder(
    in_dim: int,
    shape: tuple[int, int, int],
    out_channels: int,
    *,
    hidden: Sequence[int] = (64, 32),
    kernel_size: int = 4,
    num_blocks: int = 0,
    num_groups: int | None = None,
    activation: Callable = jax.nn.silu,
    zero_last: bool = False,
    dropout: float = 0.0,
) -> Net:
    """f(z): z [..., in] -> [..., H, W, out]: a linear map to a small image, then `up_conv` by two.

        decoder = factorised(conv_decoder(8, (28, 28, 1), 1), bernoulli(), (28, 28, 1))

    in_dim: in, the size of z
    shape: (H, W, C) of the images x; f has their height and width, and C is not used
    out_channels: out, such as C · num_params of a likelihood
    hidden: channels of the image before each doubling; the sizes are those of `conv_encoder` in
        reverse, such as 7 -> 14 -> 28 for two. Each image is followed by norm, activation, dropout
        and residual blocks
    kernel_size: the side of the kernels of the doublings, at least 2
    num_blocks: residual blocks of two 3×3 convolutions at each size but the last
    num_groups: of a `group_norm` before each activation, a divisor of each of `hidden`; None for
        none
    activation: the non-linearity, by default SiLU
    zero_last: start as f = 0
    dropout: the fraction of the activations set to 0 if `apply` gets a key
    """
    in_dim = checks.positive_int(in_dim, "in_dim")
    shape = checks.image_shape(shape)
    out_channels = checks.positive_int(out_channels, "out_channels")
    hidden, kernel_size, stage, zero_last = _checked(
        hidden, kernel_size, num_blocks, num_groups, activation, zero_last, dropout
    )
    sizes = _sizes(shape, hidden)
    module = Decoder(sizes, out_channels, hidden, kernel_size, stage, zero_last)
    net = from_linen(module, (in_dim,))

    def apply(params, z, *, key=None):
        checks.events(z, in_dim, "z")
        return net.apply(params, z, key=key)

    return Net(net.init, apply)


@checks.spelled
def map_encoder(
    shape: tuple[int, int, int],
    out_channels: int,
    *,
    hidden: Sequence[int] = (32, 64),
    kernel_size: int = 4,
    num_blocks: int = 0,
    num_groups: int | None = None,
    activation: Callable = jax.nn.silu,
    zero_last: bool = False,
    dropout: float = 0.0,
) -> Net:
    """f(x): x [..., H, W, C] -> a feature map [..., h, w, out] by strided convolutions.

    A `conv_encoder` that ends with a 1×1 convolution in place of the dense layer, for models that
    encode each position of the map separately, such as a VQ-VAE.

    shape: (H, W, C) of the images
    out_channels: out
    hidden: channels of each stage, a convolution of stride 2, which halves height and width,
        rounded up: 32 -> 16 -> 8 with two stages
    kernel_size, num_blocks, num_groups: the side of its kernels, its number of residual blocks, and
        the groups of its normalisation (None for none)
    activation, zero_last, dropout: the non-linearity, whether f starts as 0, and the fraction of
        activations set to 0 if `apply` gets a key
    """
    shape = checks.image_shape(shape)
    out_channels = checks.positive_int(out_channels, "out_channels")
    hidden, *options = _checked(
        hidden, kernel_size, num_blocks, num_groups, activation, zero_last, dropout
    )
    return _on(from_linen(MapEncoder(out_channels, hidden, *options), shape), shape, "x")


@checks.spelled
def map_decoder(
    in_channels: int,
    shape: tuple[int, int, int],
    out_channels: int,
    *,
    hidden: Sequence[int] = (64, 32),
    kernel_size: int = 4,
    num_blocks: int = 0,
    num_groups: int | None = None,
    activation: Callable = jax.nn.silu,
    zero_last: bool = False,
    dropout: float = 0.0,
) -> Net:
    """f(z): a feature map z [..., h, w, in] -> [..., H, W, out], by `up_conv` by two.

    The reverse of `map_encoder`: a `conv_decoder` with a 3×3 convolution in place of its first
    linear map.

    in_channels: in
    shape: (H, W, C) of the images x; f has their height and width. h and w are H and W halved once
        for each of `hidden`, rounded up, as by the `map_encoder` with as many stages; z of another
        size raises InputError
    out_channels: out, such as C · num_params of a likelihood
    hidden: channels of the image before each doubling
    kernel_size, num_blocks, num_groups: the side of the kernels of a doubling, the residual blocks
        at each size, and the groups of the normalisation (None for none)
    activation, zero_last, dropout: the non-linearity, whether f starts as 0, and the fraction of
        activations set to 0 if `apply` gets a key
    """
    in_channels = checks.positive_int(in_channels, "in_channels")
    shape = checks.image_shape(shape)
    out_channels = checks.positive_int(out_channels, "out_channels")
    hidden, *options = _checked(
        hidden, kernel_size, num_blocks, num_groups, activation, zero_last, dropout
    )
    sizes = _sizes(shape, hidden)
    seen = (*sizes[0], in_channels)
    module = MapDecoder(sizes, out_channels, hidden, *options)
    return _on(from_linen(module, seen), seen, "z")


def _sizes(shape, hidden):
    """(height, width) before each stage of a decoder, and of its result."""
    sizes = [shape[:2]]
    for _ in hidden:
        sizes.insert(0, tuple(-(-n // 2) for n in sizes[0]))
    return tuple(sizes)


def _on(net, shape, name):
    def apply(params, x, *, key=None):
        checks.event_of(x, shape, name)
        return net.apply(params, x, key=key)

    return Net(net.init, apply)


def _last(zero):
    return linen.initializers.zeros if zero else starts.scaled()


def _checked(hidden, kernel_size, num_blocks, num_groups, activation, zero_last, dropout):
    hidden = checks.widths(hidden, fewest=1)
    kernel_size = checks.positive_int(kernel_size, "kernel_size", least=2)
    num_blocks = checks.positive_int(num_blocks, "num_blocks", least=0)
    if num_groups is not None:
        num_groups = checks.positive_int(num_groups, "num_groups")
        if any(width % num_groups for width in hidden):
            raise checks.InputError(
                f"num_groups must divide each width of hidden={hidden}; got {num_groups}."
            )
    checks.function(activation, "activation")
    dropout, zero_last = checks.rate(dropout, "dropout"), checks.flag(zero_last, "zero_last")
    stage = lambda width: Stage(width, num_blocks, num_groups, activation, dropout)
    return hidden, kernel_size, stage, zero_last
