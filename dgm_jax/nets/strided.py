"""The two nets of a DCGAN: strided convolutions that double an image, or halve it."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import in_a_row
from ..protocol import Shape, StatefulNet
from . import starts
from .adapter import linen, stateful
from .batch_norm import BatchNorm, VirtualBatchNorm
from .images import UpConv
from .norm import GroupNorm
from .players import on_images, on_latents
from .weights import Convolution, Linear

GENERATOR_NORMS, CRITIC_NORMS = ("batch", "virtual", "none"), ("batch", "layer", "spectral", "none")
SMALLEST = 4  # of the sides of the first image, as long as there are
FEWEST = 2  # doublings


class StridedGenerator(linen.Module):
    """The linen module of `strided_generator`."""

    sizes: tuple[tuple[int, int], ...]  # of the first image, ..., of the result
    widths: tuple[int, ...]  # channels of each image but the last
    out_channels: int
    norm: str
    num_reference: int
    axis_name: str | None
    kernel_init: Callable

    @linen.compact
    def __call__(self, z, train):
        batch = z.shape[:-1]
        if self.norm == "virtual":
            z = jnp.concatenate([self.reference(z), z.reshape(math.prod(batch), z.shape[-1])])
        plain = self.norm == "none"  # a norm has a bias of its own
        size, width = self.sizes[0], self.widths[0]
        h = Linear(math.prod(size) * width, use_bias=plain, kernel_init=self.kernel_init)(z, train)
        h = self.between(h.reshape(*z.shape[:-1], *size, width), train)
        for size, width in zip(self.sizes[1:-1], self.widths[1:]):
            h = self.between(UpConv(width, size, 4, _halved(self.kernel_init), plain)(h), train)
        x = UpConv(self.out_channels, self.sizes[-1], 4, _halved(self.kernel_init))(h)
        if self.norm == "virtual":
            x = x[self.num_reference :].reshape(*batch, *x.shape[1:])
        return jnp.tanh(x)

    def between(self, h, train):
        if self.norm == "batch":
            h = BatchNorm(axis_name=self.axis_name)(h, train)
        elif self.norm == "virtual":
            h = VirtualBatchNorm(self.num_reference)(h)
        return jax.nn.relu(h)

    def reference(self, z):
        shape = (self.num_reference, z.shape[-1])
        draw = lambda: in_a_row(jax.random.normal, self.make_rng("params"), shape, z.dtype)
        return self.variable("reference", "z", draw).value


class StridedCritic(linen.Module):
    """The linen module of `strided_critic`."""

    widths: tuple[int, ...]
    num_features: int | None  # None for one value of each image
    norm: str
    axis_name: str | None
    kernel_init: Callable

    @linen.compact
    def __call__(self, x, train):
        options: dict[str, Any] = {
            "spectral": self.norm == "spectral",
            "kernel_init": self.kernel_init,
        }
        for i, width in enumerate(self.widths):
            plain = i == 0 or self.norm in ("spectral", "none")
            x = Convolution(width, taps=4, stride=2, use_bias=plain, **options)(x, train)
            x = jax.nn.leaky_relu(x if plain else self.normalised(x, train), 0.2)
        flat = x.reshape(*x.shape[:-3], math.prod(x.shape[-3:]))
        if self.num_features is None:
            return Linear(1, **options)(flat, train)[..., 0]
        plain = self.norm in ("spectral", "none")
        h = Linear(self.num_features, use_bias=plain, **options)(flat, train)
        return jax.nn.leaky_relu(h if plain else self.normalised(h, train), 0.2)

    def normalised(self, x, train):
        if self.norm == "batch":
            return BatchNorm(axis_name=self.axis_name)(x, train)
        return GroupNorm(1)(x) if x.ndim > 3 else GroupNorm(1)(x[..., None, None, :])[..., 0, 0, :]


@checks.spelled
def strided_generator(
    num_latents: int,
    shape: Shape,
    *,
    hidden: int = 64,
    norm: str = "batch",
    num_reference: int = 64,
    axis_name: str | None = None,
) -> StatefulNet:
    """G(z) = tanh(...): z [batch, n] -> x [batch, H, W, C] in (-1, 1), the generator of DCGAN.

    A linear map to the first image, then transposed 4×4 convolutions of stride 2 (`up_conv`), with
    ReLU between. Sides are halved from x on, rounding up, until the smaller one is below 8, and at
    least twice: 28, 14, 7 or 30, 15, 8, 4 or 8, 4, 2. Returns a `StatefulNet`: init(key) ->
    (params, state), and apply(params, state, z, train=..., key=None) -> (x, state). With
    norm="batch" and train=True the norms use the moments of the batch and update the running ones,
    which are the state; with train=False they use the running ones, and the state stays. With the
    other norms `train` has no effect. Nothing is random, so key has none.

    num_latents, shape: n and (H, W, C)
    hidden: channels of the last image before x; the smaller ones have 2, 4, then 8 times as many
    norm: the normalisation of all images but x: "batch"; "virtual", by the statistics of
        num_reference fixed z, drawn by `init` and kept in the state (`virtual_batch_norm`), whose
        images are computed together with those of z; "none"
    num_reference: at least 2; for "virtual" only
    axis_name: of `jax.pmap`, for the batch norm
    Weights start as N(0, 0.02²). A side of x below 8 raises InputError. Cost: about 4 H W hidden²
    multiplications per stage. Radford, Metz and Chintala (2016), "Unsupervised representation
    learning with DCGANs", figure 1.
    """
    num_latents = checks.positive_int(num_latents, "num_latents")
    sizes, widths = stages(shape, hidden)
    checks.choice(norm, GENERATOR_NORMS, "norm")
    num_reference = checks.positive_int(num_reference, "num_reference", least=2)
    module = StridedGenerator(
        sizes[::-1], widths[::-1], shape[-1], norm, num_reference, _axis(axis_name), _normal()
    )
    return on_latents(stateful(module, (num_latents,)), num_latents)


@checks.spelled
def strided_critic(
    shape: Shape, *, hidden: int = 64, norm: str = "batch", axis_name: str | None = None
) -> StatefulNet:
    """D(x): x [batch, H, W, C] -> [batch], by 4×4 convolutions of stride 2, then a dense layer.

    The values are logits or the values of a Wasserstein critic, as the loss has it. Returns a
    `StatefulNet`: init(key) -> (params, state), and apply(params, state, x, train=..., key=None) ->
    (values, state). With norm="batch" and train=True the norms use the moments of the batch and
    update the running ones, which are the state; with train=False they use the running ones. With
    norm="spectral" the state are singular vectors, which train=True moves by one power iteration.
    Otherwise it is empty. Nothing is random, so key has no effect.

    shape: (H, W, C)
    hidden: channels after the first convolution, then 2 hidden, 4 hidden, at most 8 hidden. Each
        convolution halves the sides, rounded up, until the smaller one is below 8, and at least
        twice: 28, 14, 7; sides below 8 raise InputError
    norm: the normalisation after all but the first convolution: "batch"; "layer", over all entries
        of an image; "none"; or "spectral", which divides each weight by its largest singular value
        instead. With a gradient penalty do not use "batch", because a critic must then not mix
        examples
    axis_name: of `jax.pmap`, for the batch norm
    Leaky ReLU with slope 0.2. Weights start as N(0, 0.02²). Radford, Metz and Chintala (2016),
    "Unsupervised representation learning with DCGANs".
    """
    widths = stages(shape, hidden)[1]
    checks.choice(norm, CRITIC_NORMS, "norm")
    module = StridedCritic(widths, None, norm, _axis(axis_name), _normal())
    return on_images(stateful(module, tuple(shape)), shape)


@checks.spelled
def strided_features(
    shape: Shape,
    num_features: int,
    *,
    hidden: int = 64,
    norm: str = "batch",
    axis_name: str | None = None,
) -> StatefulNet:
    """f(x): x [batch, H, W, C] -> [batch, num_features], a `strided_critic` of another last layer.

    The last layer is dense, with the same norm and leaky ReLU: a trunk shared by several heads,
    such as critic and recognition net of an InfoGAN. Returns a `StatefulNet`: init(key) -> (params,
    state), and apply(params, state, x, train=..., key=None) -> (features, state). With norm="batch"
    and train=True the norms use the moments of the batch and update the running ones, which are the
    state; with train=False they use the running ones. With norm="spectral" the state are singular
    vectors, which train=True moves by one power iteration. Otherwise it is empty. Nothing is
    random, so key has no effect.

    shape: (H, W, C)
    num_features: the size of the result
    hidden: channels after the first convolution, then 2 hidden, 4 hidden, at most 8 hidden
    norm: the normalisation after all but the first convolution: "batch"; "layer", over all entries
        of an image; "none"; or "spectral", which divides each weight by its largest singular value
        instead
    axis_name: of `jax.pmap`, for the batch norm
    Chen et al. (2016), "InfoGAN", appendix C.1, with 1024 features for MNIST.
    """
    widths = stages(shape, hidden)[1]
    num_features = checks.positive_int(num_features, "num_features")
    checks.choice(norm, CRITIC_NORMS, "norm")
    module = StridedCritic(widths, num_features, norm, _axis(axis_name), _normal())
    return on_images(stateful(module, tuple(shape)), shape)


def stages(shape: Shape, hidden: int) -> tuple[tuple, tuple[int, ...]]:
    """Sizes ((H, W), (H/2, W/2), ..., the smallest), and the channels (h, 2 h, 4 h, 8 h, 8 h, ...).

    A size is halved, rounding up, as long as its smaller side is at least 8; the second time also
    from 4 on. For example, (28, 28) gives (28, 28), (14, 14), (7, 7).

    shape: (H, W, C) of the images; a side below 8 raises InputError
    hidden: h. There are channels for each size but the first, whose images are the data
    """
    shape, hidden = checks.image_shape(shape), checks.positive_int(hidden, "hidden")
    sizes = [shape[:2]]
    while min(sizes[-1]) >= 2 * SMALLEST or (len(sizes) == FEWEST and min(sizes[-1]) >= SMALLEST):
        sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
    if len(sizes) == 1:
        raise checks.InputError(
            f"shape must have a height and a width of at least {2 * SMALLEST}; got {shape}."
        )
    return tuple(sizes), tuple(hidden * 2 ** min(i, 3) for i in range(len(sizes) - 1))


def _normal():
    return starts.normal(0.02)


def _halved(init):
    """`UpConv` doubles what it draws."""
    return lambda key, shape, dtype=float: init(key, shape, dtype) / 2


def _axis(name):
    return None if name is None else checks.text(name, "axis_name")
