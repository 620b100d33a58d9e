"""Transformers: p(x) = ∏_i p(x_i | x_<i) of texts, and of pictures read as texts."""

import math
from collections.abc import Sequence

import numpy as np

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density_of


def transformer(
    dim: int, conditional: Conditional, *, cond_shape: Shape | None = None, **options
) -> Density:
    """log p(x | c) = Σ_i log p(x_i; f_i(x_<i, c)), in nats, with f a transformer of x [..., dim].

    conditional: `categorical(K)` for texts of K characters, or any other
    cond_shape: p(x | c) given conditions c [..., *cond_shape], which every step sees
    options: those of `nets.transformer`: `hidden`, `num_layers`, `num_heads`, and `window`,
        `positions`, `order`

    With positions="rotary" and a window the parameters do not know dim: learned on short texts,
    they score and write texts of any length, in a time linear in it:

        options = dict(hidden=128, num_layers=4, num_heads=4, positions="rotary", window=64)
        short = transformer(256, categorical(65), **options)
        long = transformer(10_000, categorical(65), **options)
        text = long.dist(params).sample(seed=key)  # params of `short`

    Starts as the conditional of f = 0. Costs: density one pass, sample one unroll, which keeps keys
    and values. Vaswani et al. (2017); Radford et al. (2019), "GPT-2".
    """
    return density_of(nets.transformer, dim, conditional, cond_shape=cond_shape, **options)


def image_gpt(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    order: Sequence[int] | None = None,
    cond_shape: Shape | None = None,
    **options,
) -> Density:
    """A picture x [..., H, W, C] read as a text, pixel by pixel: the `transformer` of x.ravel().

    A step is one number: the colours of a pixel are three steps, red first, which assumes nothing
    of how they hang together and makes texts three times as long. (Chen et al. made one level of
    the three by k-means: a shorter text, but of a palette.)
    order: order[t] is the pixel made at step t, of 0..H·W-1; None is the raster, row by row
    cond_shape: p(x | c) given conditions c [..., *cond_shape], such as classes, one-hot
    options: those of `transformer`; a row is a window of W·C. positions="rotary" know how many rows
        and columns (and colours) lie between two pixels

    Starts and costs as `transformer`. Chen et al. (2020), "Generative pretraining from pixels"; a
    step for each colour as Child et al. (2019), "Sparse transformers".
    """
    checks.image_shape(shape)
    height, width, channels = shape
    if order is not None:
        checks.permutation(order, height * width)
        order = (np.asarray(order)[:, None] * channels + np.arange(channels)).ravel()

    def reading(shape, **options):
        return nets.transformer(math.prod(shape), grid=shape, order=order, **options)

    return density_of(reading, tuple(shape), conditional, cond_shape=cond_shape, **options)
