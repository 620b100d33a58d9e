"""Very deep hierarchies for images: the z_l are maps, from 1×1 up to the resolution of x."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from .. import checks, nets
from ..likelihoods import Conditional, factorised
from ..protocol import LatentVariable, Net, Shape
from .ladder import of_each
from .seen import numbers
from .topdown import Layer, Stage
from .views import of_stages


@checks.spelled
def image_ladder(
    shape: tuple[int, int, int],
    likelihood: Conditional,
    *,
    resolutions: Sequence[int] = (32, 16, 8, 4, 1),
    num_layers: Sequence[int] = (22, 11, 6, 3, 1),
    num_blocks: Sequence[int] | None = None,
    width: int = 384,
    hidden: int | None = None,
    num_latents: int = 16,
    activation: Callable = jax.nn.gelu,
    dropout: float = 0.0,
    unroll: bool = False,
    cond_shape: Shape | None = None,
) -> LatentVariable:
    """p(x, z) = ∏_l p(z_l | z_>l) p(x | z), q(z | x) = ∏_l q(z_l | z_>l, x): a very deep VAE.

    A `ladder` on images, with z_>l = (z_{l+1}, ..., z_L): each group z_l is a map [r, r,
    num_latents], and prior and posterior share a top-down path from the lowest resolution to the
    highest.

    shape: (H, H, C). likelihood: of its entries, or as in the paper of its pixels,
        `likelihoods.discretized_logistic(256, num_components=10, channels=3)`
    resolutions: r of the maps, the highest first, H or a divisor of it; each divides the one before
    num_layers: the number of groups z_l at each resolution; z_1 is at resolutions[0], z_L is
        sampled first
    num_blocks: residual blocks at each resolution bottom-up; by default half as many as layers,
        rounded up
    width: channels of both paths; hidden: channels within a block, by default a quarter of them
    num_latents: channels of each z_l. activation, dropout: of the blocks
    unroll: True writes equal layers out one by one; False, the default, scans over them, so that
        they compile once. The parameters are the same
    cond_shape: (n,) of a condition, which enters at the start of the top-down path; None for none

    A block is convolutions 1×1, 3×3, 3×3, 1×1, up to 2×2 pixels all 1×1. Bottom-up average-pools to
    the next resolution; top-down repeats pixels and adds a trained bias. The last convolutions of n
    blocks and the projections of z start scaled by √(1/n), and those of the prior as 0, so that
    every p(z_l | z_>l) starts as the standard normal. z is a tuple, and `infer` one pass of each
    path. The defaults are the 43 groups of the paper for CIFAR-10; with num_blocks=(12, 7, 7, 4, 3)
    and 10 logistics it has the paper's 39 million parameters. Rare gradients have an enormous norm:
    clip the norm in training. Child (2021), "Very deep VAEs generalize autoregressive models",
    section 4.
    """
    shape = checks.image_shape(shape)
    checks.noun(likelihood, Conditional, "likelihood")
    resolutions = _resolutions(resolutions, shape)
    num_layers = of_each(num_layers, len(resolutions), "num_layers", "resolutions")
    if num_blocks is None:
        num_blocks = tuple((n + 1) // 2 for n in num_layers)
    num_blocks = of_each(num_blocks, len(resolutions), "num_blocks", "resolutions")
    width = checks.positive_int(width, "width")
    hidden = max(width // 4, 1) if hidden is None else checks.positive_int(hidden, "hidden")
    num_latents = checks.positive_int(num_latents, "num_latents")
    unroll = checks.flag(unroll, "unroll")
    options = {"activation": activation, "dropout": dropout}
    factors = [a // b for a, b in zip((shape[0], *resolutions), resolutions)]
    first = nets.bottleneck(shape[2], width, kernels=(3,), first_activated=False)
    stages = [
        Stage(
            shape=(r, r, width),
            shrink=_then(_averaged(factor), first) if i == 0 else _then(_averaged(factor)),
            up=_block(width, width, r, hidden, sum(num_blocks) ** -0.5, options),
            num_up=num_blocks[i],
            grow=None if i + 1 == len(resolutions) else _then(_repeated(factors[i + 1])),
            layer=_layer(width, r, hidden, num_latents, sum(num_layers), options),
            num_layers=num_layers[i],
            unroll=unroll,
        )
        for i, (r, factor) in enumerate(zip(resolutions, factors))
    ]
    read = nets.bottleneck(width, likelihood.outputs(shape[2]), first_activated=False)
    to_image = _repeated(factors[0])
    decoder = factorised(
        Net(read.init, lambda params, h, *, key=None: to_image(read.apply(params, h))),
        likelihood,
        shape,
        cond_shape=stages[0].shape,
    )
    return of_stages(
        stages, decoder, numbers(likelihood, shape, flat=False), shape, cond_shape=cond_shape
    )


def _block(inputs, outputs, resolution, hidden, last_scale, options):
    kernel = 3 if resolution > 2 else 1
    return nets.bottleneck(
        inputs,
        outputs,
        hidden=(hidden,) * 3,
        kernels=(1, kernel, kernel, 1),
        last_scale=last_scale,
        **options,
    )


def _layer(width, resolution, hidden, num_latents, num_layers, options):
    w, n, scale = width, num_latents, num_layers**-0.5
    return Layer(
        prior=_block(w, 2 * n + w, resolution, hidden, 0.0, options),
        posterior=_block((w, w), 2 * n, resolution, hidden, 1.0, options),
        project=nets.bottleneck(n, w, first_activated=False, last_scale=scale),
        block=_block(w, w, resolution, hidden, scale, options),
        num_latents=n,
        event_ndims=3,
        weighs=False,
    )


def _then(function, net=None):
    """net(function(x)); without a net a function without parameters."""
    if net is None:
        return Net(lambda key: {}, lambda params, x, *, key=None: function(x))
    return Net(net.init, lambda params, x, *, key=None: net.apply(params, function(x), key=key))


def _averaged(factor):
    """[..., f·h, f·w, c] -> [..., h, w, c], means of squares."""

    def average(x):
        *batch, h, w, c = x.shape
        squares = x.reshape(*batch, h // factor, factor, w // factor, factor, c)
        return x if factor == 1 else squares.mean((-4, -2))

    return average


def _repeated(factor):
    """[..., h, w, c] -> [..., f·h, f·w, c], each pixel a square."""

    def repeat(x):
        *batch, h, w, c = x.shape
        wide = jnp.broadcast_to(x[..., :, None, :, None, :], (*batch, h, factor, w, factor, c))
        return wide.reshape(*batch, h * factor, w * factor, c)

    return repeat


def _resolutions(resolutions, shape):
    resolutions = checks.widths(resolutions, "resolutions", fewest=1)
    if shape[0] != shape[1]:
        raise checks.InputError(f"shape must be that of square images; got {shape}.")
    for above, below in zip(resolutions, (shape[0], *resolutions)):
        if below % above or (above == below and below != shape[0]):
            raise checks.InputError(
                f"resolutions must each divide the one before, the first the height {shape[0]} of "
                f"x; got {resolutions}."
            )
    return resolutions
