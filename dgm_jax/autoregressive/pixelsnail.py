"""PixelSNAIL: causal convolutions, and attention to all preceding pixels."""

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


@checks.spelled
def pixelsnail(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    hidden: int = 64,
    num_layers: int = 2,
    num_convs: int = 2,
    num_heads: int = 1,
    kernel_size: int = 3,
    dropout: float = 0.0,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_<i, c) over pixels in raster order, with causal attention.

    Chen et al. (2018), "PixelSNAIL: an improved autoregressive generative model". The net is
    `nets.pixelsnail`: a block consists of causal convolutions in gated residual layers, and of
    attention to all preceding pixels, so that one block already sees all of them.

    shape: (H, W, C) of an image x [..., H, W, C]; the channels of a pixel are generated in turn.
        The lower part of an image can be completed by exact samples (`complete`)
    conditional: any likelihood of one entry, such as `bernoulli()` or `discretized_logistic(256)`
    hidden, kernel_size: channels, and the side of the kernels, odd
    num_layers, num_convs: blocks, and gated residual convolutions in each before its attention
    num_heads: attention heads; their number divides `hidden`
    dropout: the fraction of units set to 0 in training, when `dist` gets a key
    cond_shape: of a condition c [..., *cond_shape], (n,) for one vector per image, such as a
        one-hot class, (H, W, n) for one vector per pixel; None for p(x)

    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Costs: `log_prob` one pass of the net, whose attention computes (H·W)² products; `sample` the
    arithmetic of one pass in H·W steps.
    """
    shape = checks.image_shape(shape)
    net = nets.pixelsnail(
        shape,
        hidden=hidden,
        num_layers=num_layers,
        num_convs=num_convs,
        num_heads=num_heads,
        kernel_size=kernel_size,
        dropout=dropout,
        cond_shape=cond_shape,
        **outputs_of(conditional, channels=shape[2]),
    )
    return density(net, conditional, tuple(shape))
