"""Image GPT: a picture read as a text, pixel by pixel."""

import math
from collections.abc import Sequence

import numpy as np

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


def image_gpt(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    hidden: int,
    num_layers: int,
    num_heads: int,
    window: int | None = None,
    positions: str = "learned",
    order: Sequence[int] | None = None,
    dropout: float = 0.0,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_<i, c) of images [..., H, W, C]: a `transformer` of x.ravel().

    Chen et al. (2020), "Generative pretraining from pixels". There one step is a pixel, one of 512
    colours found by k-means. Here one step is one channel of a pixel, red first, as in Child et
    al. (2019), "Sparse transformers": a text three times as long, of the picture as it is.

    conditional: any likelihood of one value, such as `bernoulli()` or `categorical(256)`
    hidden, num_layers, num_heads: width, depth, and heads of an attention, which divide `hidden`
    window: how many of the last steps a layer sees, a row being W·C of them; None sees all
    positions: "learned", a vector for each step, or "rotary", where the rows, columns and channels
        between two steps count
    order: order[t] is the pixel made at step t, of 0..H·W-1; None is the raster, row by row
    dropout: the share of units left out in training, where `dist` gets a key
    cond_shape: of a condition c [..., *cond_shape], (n,) for the whole image, such as a one-hot
        class; (H, W, n) or (H·W·C, n) with a vector for each pixel or step; None for p(x)
    Starts as the conditional of f = 0. Costs: as `transformer`, of H·W·C steps.
    """
    checks.image_shape(shape)
    height, width, channels = shape
    if order is not None:
        checks.permutation(order, height * width)
        order = (np.asarray(order)[:, None] * channels + np.arange(channels)).ravel()
    net = nets.transformer(
        math.prod(shape),
        hidden=hidden,
        num_layers=num_layers,
        num_heads=num_heads,
        window=window,
        positions=positions,
        grid=shape,
        order=order,
        dropout=dropout,
        cond_shape=cond_shape,
        **outputs_of(conditional),
    )
    return density(net, conditional, tuple(shape))
