"""Residual generators and critics of images: the family of SNGAN, SAGAN and BigGAN."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Shape, StatefulNet
from .adapter import linen, stateful
from .attention import SelfAttention
from .batch_norm import BatchNorm, ConditionalBatchNorm
from .players import on_images, on_latents
from .resampling import nearest, pooled
from .spectral import SpectralNorm
from .weights import Convolution, Linear

SMALLEST, WIDEST = 4, 16  # sides of the first image; channels of it by those of the last


class UpBlock(linen.Module):
    """h ↦ conv(r(conv(up(r(h))))) + up(conv1(h)), with r(h) = relu(norm(h))."""

    features: int
    spectral: bool
    axis_name: str | None
    kernel_init: Callable

    @linen.compact
    def __call__(self, h, c, train):
        options: dict[str, Any] = {"spectral": self.spectral, "kernel_init": self.kernel_init}
        inner = jax.nn.relu(self.norm(h, c, train))
        inner = Convolution(self.features, resample="up", **options)(inner, train)
        inner = jax.nn.relu(self.norm(inner, c, train))
        inner = Convolution(self.features, **options)(inner, train)
        return inner + nearest(Convolution(self.features, taps=1, **options)(h, train))

    def norm(self, h, c, train):
        if c is None:
            return BatchNorm(axis_name=self.axis_name)(h, train)
        return ConditionalBatchNorm(axis_name=self.axis_name)(h, c, train)


class DownBlock(linen.Module):
    """h ↦ pool(conv(relu(conv(relu(h))))) + pool(conv1(h)); the first block has no first relu.

    If nothing is pooled and the channels stay, the second term is h itself.
    """

    features: int
    is_first: bool
    halves: bool
    spectral: bool
    kernel_init: Callable

    @linen.compact
    def __call__(self, h, train):
        options: dict[str, Any] = {"spectral": self.spectral, "kernel_init": self.kernel_init}
        inner = h if self.is_first else jax.nn.relu(h)
        inner = jax.nn.relu(Convolution(self.features, **options)(inner, train))
        last = "down" if self.halves else None
        inner = Convolution(self.features, resample=last, **options)(inner, train)
        if self.halves or h.shape[-1] != self.features:
            h = pooled(h) if self.halves else h  # of few channels, and 1×1 taps commute with means
            h = Convolution(self.features, taps=1, **options)(h, train)
        return inner + h


class ResidualGenerator(linen.Module):
    """The linen module of `residual_generator`."""

    size: tuple[int, int]  # of the first image
    widths: tuple[int, ...]  # of the first image, ..., of the last
    out_channels: int
    attention: int | None
    spectral: bool
    num_classes: int | None
    embedding: int | None
    hierarchical: bool
    axis_name: str | None
    kernel_init: Callable

    @linen.compact
    def __call__(self, z, *labels, train):
        options: dict[str, Any] = {"spectral": self.spectral, "kernel_init": self.kernel_init}
        num = len(self.widths) - 1
        first, *rest = jnp.split(z, num + 1, -1) if self.hierarchical else [z] + [None] * num
        shared = self.shared(labels, train)
        h = Linear(math.prod(self.size) * self.widths[0], **options)(first, train)
        h = h.reshape(*z.shape[:-1], *self.size, self.widths[0])
        h = self.attended(h, train)
        for width, part in zip(self.widths[1:], rest):
            parts = [c for c in (shared, part) if c is not None]
            c = jnp.concatenate(parts, -1) if parts else None
            h = self.attended(
                UpBlock(width, axis_name=self.axis_name, **options)(h, c, train), train
            )
        h = jax.nn.relu(BatchNorm(axis_name=self.axis_name)(h, train))
        return jnp.tanh(Convolution(self.out_channels, **options)(h, train))

    def attended(self, h, train):
        return SelfAttention(self.spectral)(h, train) if h.shape[-3] == self.attention else h

    def shared(self, labels, train):
        """The class as all blocks see it: a one-hot vector or a trained embedding."""
        if not labels or self.num_classes is None:
            return None
        one_hot = jax.nn.one_hot(labels[0].astype(int), self.num_classes)
        if self.embedding is None:
            return one_hot
        options: dict[str, Any] = {"use_bias": False, "kernel_init": self.kernel_init}
        return Linear(self.embedding, name="embedding", **options)(one_hot, train)


class ResidualCritic(linen.Module):
    """The linen module of `residual_critic`."""

    widths: tuple[int, ...]  # of each block
    num_halvings: int  # blocks that halve the image, the first ones
    attention: int | None
    spectral: bool
    num_classes: int | None
    kernel_init: Callable

    @linen.compact
    def __call__(self, x, *labels, train):
        return _value(self, _features(self, x, train), labels, train)


class ResidualFeatures(linen.Module):
    """The linen module of `residual_features`."""

    widths: tuple[int, ...]
    num_halvings: int
    attention: int | None
    spectral: bool
    kernel_init: Callable

    @linen.compact
    def __call__(self, x, train):
        return _features(self, x, train)


class ResidualHead(linen.Module):
    """The linen module of `residual_head`."""

    spectral: bool
    num_classes: int | None
    kernel_init: Callable

    @linen.compact
    def __call__(self, h, *labels, train):
        return _value(self, h, labels, train)


def _features(net, x, train):
    """The blocks of a critic, whose layers are those of the net that calls."""
    options, h = {"spectral": net.spectral, "kernel_init": net.kernel_init}, x
    for i, width in enumerate(net.widths):
        h = DownBlock(width, i == 0, i < net.num_halvings, **options)(h, train)
        if h.shape[-3] == net.attention:
            h = SelfAttention(net.spectral)(h, train)
    return h


def _value(net, h, labels, train):
    """w · φ + b + ⟨v_y, φ⟩, φ the sum of relu(h) over pixels."""
    h = jax.nn.relu(h).sum((-3, -2))
    value = Linear(1, spectral=net.spectral, kernel_init=net.kernel_init)(h, train)[..., 0]
    if not labels:
        return value
    table = net.param("classes", net.kernel_init, (net.num_classes, h.shape[-1]))
    if net.spectral:
        table = SpectralNorm()(table, train)
    return value + (table[labels[0].astype(int)] * h).sum(-1)


@checks.spelled
def residual_generator(
    num_latents: int,
    shape: Shape,
    *,
    widths: Sequence[int] | None = None,
    hidden: int = 64,
    attention: int | None = None,
    spectral: bool = False,
    num_classes: int | None = None,
    embedding: int | None = None,
    hierarchical: bool = False,
    orthogonal: bool = False,
    axis_name: str | None = None,
) -> StatefulNet:
    """G(z[, y]) = tanh(...): z [batch, n], classes y [batch] -> x [batch, H, W, C] in (-1, 1).

    A linear map to the first image, then blocks that double height and width: two 3×3 convolutions
    with batch norms, and a 1×1 convolution as a short cut. Returns a `StatefulNet`: init(key) ->
    (params, state), and apply(params, state, z[, y], train=..., key=None) -> (x, state), with
    integers y. The state are running means and variances of the batch norms. With train=True the
    norms use the moments of the batch and the running ones are updated; with train=False they use
    the running ones, and the state stays. Nothing is random, so key has no effect.

    num_latents, shape: n and (H, W, C)
    widths: channels of the first image and of the output of each block. There is one block for each
        of the k doublings from (H, W) / 2^k, with the largest k that leaves integers of at least 4.
        By default `hidden` for the last block, twice as many for each one before, at most 16
        hidden; the first image has as many as the first block
    hidden: the width from which `widths` are computed if they are None
    attention: the height of the images with self-attention after their block; None: no attention
    spectral: whether each weight, except tables of classes, is divided by its largest singular
        value (spectral normalisation), whose singular vectors are then in the state and move by one
        power iteration with train=True
    num_classes: the number of classes y, on which scale and shift of the batch norms then depend;
        None for no y
    embedding: the size of a trained class embedding, shared by all norms, of which scale and shift
        are linear maps; None for a table of them for each norm, with a row for each class
    hierarchical: z is split into k + 1 equal parts; the first makes the first image, and scale and
        shift of the norms of each block depend on one of the others, as well as on the class
    orthogonal: orthogonal initial weights, else Glorot's uniform ones
    axis_name: of `jax.pmap`, for the statistics of batch norms, which are those of the whole batch
    Miyato et al. (2018), "Spectral normalization for GANs", tables 3 and 4; Brock et al. (2019),
    "Large scale GAN training" (BigGAN), appendix B.
    """
    num_latents = checks.positive_int(num_latents, "num_latents")
    shape, num_doublings, hidden = _stages(shape, hidden)
    if widths is None:
        blocks = default_widths(hidden, num_doublings)
        widths = (blocks[0], *blocks)
    widths = checks.widths(widths, "widths")
    if len(widths) != num_doublings + 1:
        raise checks.InputError(
            f"widths must be {num_doublings + 1} for images {shape[:2]}: of the first image and of "
            f"{num_doublings} that are each twice as large; got {widths}."
        )
    parts = num_doublings + 1
    if checks.flag(hierarchical, "hierarchical") and num_latents % parts:
        raise checks.InputError(
            f"num_latents must divide into {parts} parts, one for the first image and one for each "
            f"block; got {num_latents}. Try {-(-num_latents // parts) * parts}."
        )
    num_classes = num_of_classes(num_classes)
    size = tuple(n // 2**num_doublings for n in shape[:2])
    module = ResidualGenerator(
        size=size,
        widths=widths,
        out_channels=shape[2],
        attention=_attention(attention, [size[0] * 2**i for i in range(parts)]),
        spectral=checks.flag(spectral, "spectral"),
        num_classes=num_classes,
        embedding=None if embedding is None else checks.positive_int(embedding, "embedding"),
        hierarchical=bool(hierarchical),
        axis_name=None if axis_name is None else checks.text(axis_name, "axis_name"),
        kernel_init=_init(orthogonal),
    )
    net = stateful(module, (num_latents,), *([()] if num_classes else []))
    return on_latents(net, num_latents, num_classes)


@checks.spelled
def residual_critic(
    shape: Shape,
    *,
    widths: Sequence[int] | None = None,
    hidden: int = 64,
    attention: int | None = None,
    spectral: bool = True,
    num_classes: int | None = None,
    orthogonal: bool = False,
) -> StatefulNet:
    """D(x[, y]) = w · φ(x) + b + ⟨v_y, φ(x)⟩: x [batch, H, W, C], classes y [batch] -> [batch].

    φ(x) is the sum over the pixels of relu(h), with h the output of residual blocks of two 3×3
    convolutions. w, b and a vector v_y for each class are trained. The values are any real numbers:
    logits, or those of a Wasserstein critic, as the loss has it.

    Returns a `StatefulNet`: init(key) = (params, state), and apply(params, state, x[, y],
    train=..., key=None) -> (values, state), y integers. With train=True it moves the singular
    vectors in the state by one step of power iteration, before it divides by the singular values,
    and returns the new state; with train=False it leaves the state as it is. Nothing is random, so
    key has no effect, and a value depends on its own x and y only.

    shape: (H, W, C)
    widths: channels of each block. The first blocks, one for each halving down to sides of at least
        4, end with a mean over 2×2 pixels; later ones keep the size. By default hidden, 2 hidden,
        ..., at most 16 hidden, and one more block that does not halve
    hidden: the width from which `widths` are computed if they are None
    attention: the height, after a halving, of the images with self-attention after their block;
        None: no attention
    spectral: whether each weight is divided by its largest singular value (spectral normalisation),
        whose singular vectors are the state; without it the state is empty
    num_classes: the number of classes y of a conditional critic; None for no y, and no term
        ⟨v_y, φ⟩
    orthogonal: orthogonal initial weights, else Glorot's uniform ones
    InputError for an odd height or width or one below 8, fewer widths than halvings, another height
    than those after a halving as `attention`, or, in `apply`, classes out of range.
    Miyato and Koyama (2018), "cGANs with projection discriminator", for the last term; Miyato et
    al. (2018), "Spectral normalization for GANs", for the blocks.
    """
    shape, num_halvings, hidden = _stages(shape, hidden)
    if widths is None:
        blocks = default_widths(hidden, num_halvings)[::-1]
        widths = (*blocks, blocks[-1])
    widths = checks.widths(widths, "widths")
    if len(widths) < num_halvings:
        raise checks.InputError(
            f"widths must be at least {num_halvings} for images {shape[:2]}, one for each block "
            f"that halves them; got {widths}."
        )
    num_classes = num_of_classes(num_classes)
    heights = [shape[0] // 2**i for i in range(1, num_halvings + 1)]
    module = ResidualCritic(
        widths=widths,
        num_halvings=num_halvings,
        attention=_attention(attention, heights),
        spectral=checks.flag(spectral, "spectral"),
        num_classes=num_classes,
        kernel_init=_init(orthogonal),
    )
    net = stateful(module, shape, *([()] if num_classes else []))
    return on_images(net, shape, num_classes)


@checks.spelled
def residual_features(
    shape: Shape,
    *,
    widths: Sequence[int] | None = None,
    hidden: int = 64,
    spectral: bool = True,
    orthogonal: bool = False,
) -> StatefulNet:
    """φ(x): x [batch, H, W, C] -> [batch, h, w, widths[-1]], the blocks of a `residual_critic`.

    For a critic with another head, such as `residual_head`, or with something between blocks and
    head. Returns a `StatefulNet`: init(key) -> (params, state), and apply(params, state, x,
    train=..., key=None) -> (features, state). With train=True the singular vectors in the state
    move by one step of power iteration; with train=False the state stays. Nothing is random, so key
    has no effect.

    shape: (H, W, C)
    widths: channels of each block. The first ones, one for each halving of (H, W) down to sides of
        at least 4, halve the image; fewer widths halve it less often. By default hidden, 2 hidden,
        ..., at most 16 hidden, and one more block that does not halve
    hidden: the width from which `widths` are computed if they are None
    spectral: whether each weight is divided by its largest singular value (spectral normalisation),
        whose singular vectors are the state; without it the state is empty
    orthogonal: orthogonal initial weights, else Glorot's uniform ones
    """
    shape, num_halvings, hidden = _stages(shape, hidden)
    if widths is None:
        blocks = default_widths(hidden, num_halvings)[::-1]
        widths = (*blocks, blocks[-1])
    widths = checks.widths(widths, "widths", fewest=1)
    spectral = checks.flag(spectral, "spectral")
    module = ResidualFeatures(widths, num_halvings, None, spectral, _init(orthogonal))
    return on_images(stateful(module, shape), shape)


@checks.spelled
def residual_head(
    shape: Shape,
    *,
    spectral: bool = True,
    num_classes: int | None = None,
    orthogonal: bool = False,
) -> StatefulNet:
    """g(h[, y]) = w · φ + b + ⟨v_y, φ⟩, with φ = Σ relu(h) over the pixels, [batch, C].

    The head of a `residual_critic`, on top of `residual_features`: h [batch, *shape], and classes y
    [batch] as integers -> [batch]. w [C], the number b and one vector v_y [C] per class are
    trained.

    shape: (H, W, C) of h
    spectral: whether w and the table of all v_y are divided by their largest singular values
        (spectral normalisation), whose singular vectors are the state; without it the state is
        empty
    num_classes: the number of classes y; None for no y, and no term ⟨v_y, φ⟩
    orthogonal: orthogonal initial weights w and v, else Glorot's uniform ones
    Returns a `StatefulNet`: init(key) -> (params, state), and apply(params, state, h[, y],
    train=..., key=None) -> (values, state). With train=True the singular vectors in the state move
    by one step of power iteration; with train=False the state stays. Nothing is random, so key has
    no effect. Another shape of h, or classes out of range, raise InputError. Miyato and Koyama
    (2018), "cGANs with projection discriminator".
    """
    shape, num_classes = checks.image_shape(shape), num_of_classes(num_classes)
    module = ResidualHead(checks.flag(spectral, "spectral"), num_classes, _init(orthogonal))
    net = stateful(module, shape, *([()] if num_classes else []))
    return on_images(net, shape, num_classes)


def default_widths(hidden: int, num: int) -> tuple[int, ...]:
    """(m_{n-1} h, ..., m_1 h, m_0 h) with m_i = min(2^i, 16): the channels of n = num images.

    They begin with the smallest image, which has the most channels, at most 16 h, and end with the
    largest, which has h = hidden. For example (16, 8) for hidden = 8 and num = 2.
    """
    return tuple(hidden * min(2**i, WIDEST) for i in reversed(range(num)))


def halvings(shape: Shape) -> int:
    """k, the largest integer such that H / 2^k and W / 2^k are integers of at least 4."""
    height, width, _ = checks.image_shape(shape)
    num = 0
    while not (height % 2 or width % 2) and min(height, width) >= 2 * SMALLEST:
        height, width, num = height // 2, width // 2, num + 1
    if not num:
        raise checks.InputError(
            f"shape must have an even height and width of at least {2 * SMALLEST}, which blocks "
            f"halve; got {tuple(shape)}. Pad or resize the images."
        )
    return num


def num_of_classes(value: int | None) -> int | None:
    """A positive number of classes, or None for none."""
    return None if value is None else checks.positive_int(value, "num_classes")


def _stages(shape, hidden):
    return checks.image_shape(shape), halvings(shape), checks.positive_int(hidden, "hidden")


def _attention(height, heights):
    if height is None:
        return None
    if checks.positive_int(height, "attention") not in heights:
        known = ", ".join(map(str, heights))
        raise checks.InputError(
            f"attention must be the height of an image between blocks, one of {known}; got "
            f"{height}."
        )
    return height


def _init(orthogonal):
    if checks.flag(orthogonal, "orthogonal"):
        return linen.initializers.orthogonal()
    return linen.initializers.glorot_uniform()
