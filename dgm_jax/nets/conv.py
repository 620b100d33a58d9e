"""Convolutional nets from images to images of the same size, such as conditioners of couplings."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import same_rank
from ..protocol import Net, Shape
from . import starts
from .adapter import Attention, Conv, Dense, LayerNorm, from_linen, linen


class ConvResNet(linen.Module):
    """The linen module of `conv_resnet`."""

    hidden: int
    num_blocks: int
    out_channels: int
    activation: Callable
    zero_last: bool
    dropout: float

    @linen.compact
    def __call__(self, x, *cond, deterministic=True):
        h = _first(self.hidden, x, cond)
        for _ in range(self.num_blocks):
            inner = self.activation(Conv(self.hidden, (3, 3))(self.activation(h)))
            inner = linen.Dropout(self.dropout, deterministic=deterministic)(inner)
            h = h + Conv(self.hidden, (3, 3))(inner)
        return _last(self.out_channels, self.activation(h), self.zero_last)


class GatedAttention(linen.Module):
    """The linen module of `gated_attention`."""

    hidden: int
    num_blocks: int
    out_channels: int
    num_heads: int
    activation: Callable
    zero_last: bool
    dropout: float

    @linen.compact
    def __call__(self, x, *cond, deterministic=True):
        h = _first(self.hidden, x, cond)
        position = self.param("position", starts.normal(0.01), (*h.shape[-3:-1], self.hidden))
        for _ in range(self.num_blocks):
            inner = self.activation(Conv(self.hidden, (3, 3))(self.activation(h)))
            inner = linen.Dropout(self.dropout, deterministic=deterministic)(inner)
            h = LayerNorm()(h + _gate(Conv(2 * self.hidden, (1, 1))(inner)))
            steps = h.shape[-3] * h.shape[-2]  # no -1: the batch may be empty
            content, place = same_rank(h, position)
            pixels = (content + place).reshape(*h.shape[:-3], steps, self.hidden)
            seen = Attention(self.num_heads)(pixels)
            seen = Dense(2 * self.hidden)(seen).reshape(*h.shape[:-1], 2 * self.hidden)
            h = LayerNorm()(h + _gate(seen))
        return _last(self.out_channels, self.activation(h), self.zero_last)


@checks.spelled
def conv_resnet(
    shape: tuple[int, int, int],
    out_channels: int,
    *,
    hidden: int = 64,
    num_blocks: int = 2,
    cond_shape: Shape | None = None,
    activation: Callable = jax.nn.silu,
    zero_last: bool = True,
    dropout: float = 0.0,
) -> Net:
    """f(x, c): x [..., H, W, C] -> [..., H, W, out] by residual blocks h + conv(s(conv(s(h)))).

    All convolutions are 3×3 with zero padding; one more makes h from x, and one the output from
    s(h).

    shape: (H, W, C)
    out_channels: out
    hidden, num_blocks: the channels of h, and the number of blocks
    cond_shape: (n,) for a condition c that is the same at every pixel, such as a one-hot class, or
        (H, W, n) for one vector per pixel; (1, 1, n) is (n,) with pixel axes. A linear map of it is
        added to the first h
    activation: s, by default SiLU
    zero_last: start as f = 0
    dropout: the fraction of the inner activations of a block set to 0 if `apply` gets a key

    The receptive field of a pixel has the radius 2 + 2 num_blocks.
    Cost: about 18 hidden² H W multiplications per block. He et al. (2016), "Identity mappings in
    deep residual networks".
    """
    shape, cond_shape, *sizes = _checked(shape, cond_shape, hidden, num_blocks, out_channels)
    module = ConvResNet(*sizes, *_switches(activation, zero_last, dropout))
    return _on_images(module, shape, cond_shape)


@checks.spelled
def gated_attention(
    shape: tuple[int, int, int],
    out_channels: int,
    *,
    hidden: int = 64,
    num_blocks: int = 2,
    num_heads: int = 4,
    cond_shape: Shape | None = None,
    activation: Callable = jax.nn.silu,
    zero_last: bool = True,
    dropout: float = 0.0,
) -> Net:
    """f(x, c): x [..., H, W, C] -> [..., H, W, out] by gated convolutions and gated self-attention.

    A block is h ← norm(h + a ⊙ σ(b)) twice: with (a, b) made by two convolutions of h (3×3, 1×1),
    then by attention over all pixels of h plus a learned vector for each position. So each pixel
    sees the whole image.

    shape: (H, W, C)
    out_channels: out
    hidden, num_blocks: the channels of h, and the number of blocks
    num_heads: attention heads, a divisor of `hidden`
    cond_shape: (n,) for a condition c that is the same at every pixel, (H, W, n) for one vector per
        pixel. A linear map of it is added to the first h
    activation: the non-linearity before each convolution, by default SiLU
    zero_last: start as f = 0
    dropout: the fraction of the inner activations of a block set to 0 if `apply` gets a key
    Cost: about 17 hidden² H W + 2 (H W)² hidden multiplications per block. Ho et al. (2019),
    "Flow++", section 3.3.
    """
    shape, cond_shape, *sizes = _checked(shape, cond_shape, hidden, num_blocks, out_channels)
    num_heads = checks.positive_int(num_heads, "num_heads")
    if hidden % num_heads:
        raise checks.InputError(f"num_heads must divide hidden={hidden}; got {num_heads}.")
    module = GatedAttention(*sizes, num_heads, *_switches(activation, zero_last, dropout))
    return _on_images(module, shape, cond_shape)


def _first(hidden, x, cond):
    h = Conv(hidden, (3, 3))(x)
    for c in cond:
        h, of_c = same_rank(h, Dense(hidden, use_bias=False)(c))
        h = h + of_c
    return h


def _last(out_channels, h, zero):
    init = linen.initializers.zeros if zero else starts.scaled()
    return Conv(out_channels, (3, 3), kernel_init=init)(h)


def _gate(h):
    a, b = jnp.split(h, 2, -1)
    return a * jax.nn.sigmoid(b)


def _checked(shape, cond_shape, hidden, num_blocks, out_channels):
    shape = checks.image_shape(shape)
    return (
        shape,
        checks.image_cond_shape(cond_shape, shape),
        checks.positive_int(hidden, "hidden"),
        checks.positive_int(num_blocks, "num_blocks", least=0),
        checks.positive_int(out_channels, "out_channels"),
    )


def _switches(activation, zero_last, dropout):
    checks.function(activation, "activation")
    return activation, checks.flag(zero_last, "zero_last"), checks.rate(dropout, "dropout")


def _on_images(module, shape, cond_shape):
    """Of inputs [..., *shape] and, where there are any, conditions [..., *cond_shape]."""
    net = from_linen(module, shape, *([(1, 1, cond_shape[-1])] if cond_shape else []))

    def apply(params, x, cond=None, *, key=None):
        checks.event_of(x, shape)
        checks.condition(cond, cond_shape)
        if cond is None:
            return net.apply(params, x, key=key)
        maps = cond if len(cond_shape) == 3 else cond[..., None, None, :]
        return net.apply(params, x, maps, key=key)

    return Net(net.init, apply)
