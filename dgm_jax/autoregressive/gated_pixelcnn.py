"""Gated PixelCNN: two stacks of gated convolutions, without a blind spot."""

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


def gated_pixelcnn(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    hidden: int = 64,
    num_layers: int = 6,
    kernel_size: int = 3,
    first_kernel_size: int = 7,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_<i, c) over pixels in raster order, with gates tanh(a) σ(b).

    van den Oord et al. (2016), "Conditional image generation with PixelCNN decoders". The net is
    `nets.gated_pixelcnn`: a vertical stack reads the rows above, a horizontal one the row to the
    left; together they see all earlier pixels, given depth enough.

    shape: (H, W, C) of an image x [..., H, W, C]; the channels of one pixel are made one after the
        other, so that the upper part of an image is completed by exact draws (`complete`)
    conditional: any likelihood of one value, such as `bernoulli()` or `discretized_logistic(256)`
    hidden: channels of both stacks
    kernel_size, first_kernel_size: of the layers and of the first convolution, odd
    cond_shape: of a condition c [..., *cond_shape], (n,) for the whole image, such as a one-hot
        class, (H, W, n) for a map with a vector for each pixel; None for p(x)
    Starts as the conditional of f = 0. Costs: `log_prob` one pass of the net; `sample` the
    arithmetic of one pass in H·W steps.
    """
    shape = checks.image_shape(shape)
    net = nets.gated_pixelcnn(
        shape,
        hidden=hidden,
        num_layers=num_layers,
        kernel_size=kernel_size,
        first_kernel_size=first_kernel_size,
        cond_shape=cond_shape,
        **outputs_of(conditional, channels=shape[2]),
    )
    return density(net, conditional, tuple(shape))
