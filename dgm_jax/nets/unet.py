"""Nets with a noise level as input: the U-Net for images, and an MLP for vectors."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Net, Shape
from .adapter import Attention, Dense, from_linen, linen
from .mlp import MLP
from .norm import GroupNorm
from .waves import waves
from .weights import Convolution


class Block(linen.Module):
    """h + conv(drop(s(norm(conv(s(norm(h))) · (1 + a) + b)))), a, b linear in the embedding."""

    features: int
    dropout: float
    num_groups: int

    @linen.compact
    def __call__(self, h, told, deterministic):
        inner = Convolution(self.features)(jax.nn.silu(self.norm(h)), False)
        zeros = linen.initializers.zeros
        film = Dense(2 * self.features, kernel_init=zeros)(told)[..., None, None, :]
        scale, shift = jnp.split(film, 2, -1)
        inner = jax.nn.silu(self.norm(inner) * (1 + scale) + shift)
        inner = linen.Dropout(self.dropout, deterministic=deterministic)(inner)
        inner = Convolution(self.features, kernel_init=zeros)(inner, False)
        if h.shape[-1] != self.features:
            h = Convolution(self.features, taps=1)(h, False)
        return h + inner

    def norm(self, h):
        return GroupNorm(math.gcd(self.num_groups, h.shape[-1]))(h)


class UNet(linen.Module):
    """The linen module of `unet`."""

    out_channels: int
    hidden: int
    multipliers: tuple[int, ...]
    num_blocks: int
    attention: tuple[int, ...]
    middle: bool
    num_heads: int
    num_groups: int
    fourier: tuple[int, ...]
    dropout: float

    @linen.compact
    def __call__(self, x, level, *cond, deterministic=True):
        told = self.told(level, cond)
        h = Convolution(self.hidden)(self.seen(x), False)
        kept = [h]
        for i, multiplier in enumerate(self.multipliers):
            if i:
                h = Convolution(h.shape[-1], resample="down")(h, False)
                kept.append(h)
            for _ in range(self.num_blocks):
                h = self.block(h, multiplier, told, deterministic)
                kept.append(h)
        h = Block(h.shape[-1], self.dropout, self.num_groups)(h, told, deterministic)
        if self.middle:
            h = self.attended(h)
        h = Block(h.shape[-1], self.dropout, self.num_groups)(h, told, deterministic)
        for i, multiplier in reversed(list(enumerate(self.multipliers))):
            for _ in range(self.num_blocks + 1):
                h = jnp.concatenate([h, kept.pop()], -1)
                h = self.block(h, multiplier, told, deterministic)
            if i:
                h = Convolution(h.shape[-1], resample="up")(h, False)
        h = jax.nn.silu(GroupNorm(math.gcd(self.num_groups, h.shape[-1]))(h))
        return Convolution(self.out_channels, kernel_init=linen.initializers.zeros)(h, False)

    def seen(self, x):
        """x, with sines and cosines of it, by which a net can tell neighbouring levels apart."""
        angles = [2.0**n * math.pi * x for n in self.fourier]
        return jnp.concatenate([x, *map(jnp.sin, angles), *map(jnp.cos, angles)], -1)

    def told(self, level, cond):
        told = Dense(4 * self.hidden)(waves(level, self.hidden))
        for c in cond:
            told = told + Dense(4 * self.hidden, use_bias=False)(c)
        return jax.nn.silu(Dense(4 * self.hidden)(jax.nn.silu(told)))

    def block(self, h, multiplier, told, deterministic):
        h = Block(multiplier * self.hidden, self.dropout, self.num_groups)(h, told, deterministic)
        return self.attended(h) if h.shape[-3] in self.attention else h

    def attended(self, h):
        """h plus self-attention over all pixels."""
        pixels = GroupNorm(math.gcd(self.num_groups, h.shape[-1]))(h)
        *batch, height, width, channels = h.shape
        pixels = pixels.reshape(*batch, height * width, channels)
        seen = Attention(self.num_heads, out_kernel_init=linen.initializers.zeros)(pixels)
        return h + seen.reshape(h.shape)


@checks.spelled
def unet(
    shape: tuple[int, int, int],
    *,
    out_channels: int | None = None,
    hidden: int = 64,
    multipliers: Sequence[int] = (1, 2, 2),
    num_blocks: int = 2,
    attention: Sequence[int] = (),
    middle: bool = True,
    num_heads: int = 1,
    num_groups: int = 8,
    fourier: Sequence[int] = (),
    cond_shape: Shape | None = None,
    dropout: float = 0.0,
) -> Net:
    """f(x, λ, c): images x [batch, H, W, C] at noise levels λ [batch] -> [batch, H, W, out].

    It starts as f = 0. λ is a number per example, such as a log-SNR. Residual blocks down to
    smaller images and up again; each block on the way up also gets the output of its counterpart on
    the way down. Each block scales and shifts its features by linear maps of an embedding of λ
    (sines and cosines, then an MLP) and c. apply(params, x, λ, c, key=None).

    shape, out_channels: (H, W, C), and out, by default C. H and W must be divisible by two once for
        each multiplier but the first, else InputError
    hidden, multipliers: the channels at each size are hidden · multiplier; the size is halved from
        one to the next. (1,) is a residual net at one size
    num_blocks: blocks at each size on the way down; there is one more on the way up
    attention: the heights of the images whose blocks end with self-attention over all pixels, from
        H, H / 2 and so on; others raise InputError
    middle: whether the smallest image has self-attention, between two more blocks
    num_heads: attention heads; hidden must be a multiple of 2 num_heads
    num_groups: of the group norms, reduced until it divides the channels
    fourier: exponents n; the net also sees sin and cos of 2ⁿ π x, which improves bits per dimension
        (Kingma et al., 2021, appendix C)
    cond_shape: (n,), a vector such as a one-hot class, whose linear map is added to the embedding
        of λ; zeros are no condition
    dropout: the fraction of inner activations of a block set to 0 if `apply` gets a key
    Cost: about 18 H W channels² multiplications per block. Ho et al. (2020), "Denoising diffusion
    probabilistic models", appendix B; scale and shift: Nichol and Dhariwal (2021).
    """
    shape = checks.image_shape(shape)
    multipliers = checks.widths(multipliers, "multipliers", fewest=1)
    attention = checks.widths(attention, "attention")
    parts = 2 ** (len(multipliers) - 1)
    if shape[0] % parts or shape[1] % parts:
        raise checks.InputError(
            f"shape must have sides that {len(multipliers)} multipliers can halve, multiples of "
            f"{parts}; got {shape}."
        )
    heights = tuple(shape[0] // 2**i for i in range(len(multipliers)))
    if not set(attention) <= set(heights):
        raise checks.InputError(f"attention must be heights out of {heights}; got {attention}.")
    hidden = checks.positive_int(hidden, "hidden")
    num_heads = checks.positive_int(num_heads, "num_heads")
    if hidden % (2 * num_heads):
        raise checks.InputError(f"hidden must be a multiple of 2 num_heads; got {hidden}.")
    cond_shape = checks.cond_shape(cond_shape)
    if not isinstance(fourier, (list, tuple)):
        told = checks.shown(fourier)
        raise checks.InputError(f"fourier must be a list such as (1, 2); got {told}.")
    module = UNet(
        shape[2] if out_channels is None else checks.positive_int(out_channels, "out_channels"),
        hidden,
        multipliers,
        checks.positive_int(num_blocks, "num_blocks"),
        attention,
        checks.flag(middle, "middle"),
        num_heads,
        checks.positive_int(num_groups, "num_groups"),
        tuple(checks.integer(n, "each of fourier") for n in fourier),
        checks.rate(dropout, "dropout"),
    )
    return _told(module, shape, cond_shape)


@checks.spelled
def time_mlp(
    dim: int,
    *,
    hidden: Sequence[int] = (128, 128),
    num_waves: int = 32,
    activation: Callable = jax.nn.silu,
    cond_shape: Shape | None = None,
    out_dim: int | None = None,
) -> Net:
    """f(x, λ, c) = mlp([x, waves(λ), c]): vectors x [batch, d] -> [batch, out_dim]; starts as 0.

    waves(λ) are num_waves / 2 sines and as many cosines of λ, of frequencies 0.1 to 5 radians per
    unit of λ, spaced geometrically. apply(params, x, λ, c, key=None), with a noise level λ, such as
    a log-SNR, as one number or one per example, [batch]. There is no dropout.

    dim: d
    hidden: the widths of the hidden layers
    num_waves: how many sines and cosines of λ the net gets, an even number
    activation: the non-linearity, by default SiLU
    cond_shape: (n,) for a condition c [batch, n], which is concatenated to the input; None for none
    out_dim: by default d
    Vaswani et al. (2017), "Attention is all you need", section 3.5, for the embedding.
    """
    dim = checks.positive_int(dim, "dim")
    hidden = checks.widths(hidden)
    num_waves = checks.positive_int(num_waves, "num_waves", least=2)
    if num_waves % 2:
        raise checks.InputError(f"num_waves must be even; got {num_waves}.")
    checks.function(activation, "activation")
    cond_shape = checks.cond_shape(cond_shape)
    out_dim = dim if out_dim is None else checks.positive_int(out_dim, "out_dim")
    module = _TimeMLP((*hidden, out_dim), num_waves, activation)
    return _told(module, (dim,), cond_shape)


class _TimeMLP(linen.Module):
    features: tuple[int, ...]
    num_waves: int
    activation: Callable

    @linen.compact
    def __call__(self, x, level, *cond):
        return MLP(self.features, self.activation, True, 0.0)(
            x, waves(level, self.num_waves), *cond
        )


def _told(module, shape, cond_shape) -> Net:
    """Of x [batch, *shape], levels [batch] and, where there are any, conditions."""
    shapes = [(1, *shape), (1,)] + ([(1, *cond_shape)] if cond_shape else [])
    net = from_linen(module, *shapes)

    def apply(params, x, level, cond=None, *, key=None):
        checks.event_of(x, shape)
        checks.condition(cond, cond_shape)
        level = jnp.broadcast_to(jnp.asarray(level, x.dtype), x.shape[: x.ndim - len(shape)])
        return net.apply(params, x, level, *([] if cond is None else [cond]), key=key)

    return Net(net.init, apply)
