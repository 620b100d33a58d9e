"""PixelCNN: masked convolutions, with a blind spot."""

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


def pixelcnn(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    hidden: int = 64,
    num_layers: int = 6,
    kernel_size: int = 3,
    first_kernel_size: int = 7,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_<i, c) over the pixels of an image in raster order.

    van den Oord et al. (2016), "Pixel recurrent neural networks", section 3.4. The net is
    `nets.pixelcnn`: one masked convolution, then num_layers residual blocks of them. It has a blind
    spot to the right above a pixel, whatever its depth; `gated_pixelcnn` has none.

    shape: (H, W, C) of an image x [..., H, W, C]; the channels of one pixel are made one after the
        other, so that the upper part of an image is completed by exact draws (`complete`)
    conditional: any likelihood of one value, such as `bernoulli()` or `discretized_logistic(256)`
    hidden: channels of a residual block inside, twice as many between blocks
    kernel_size, first_kernel_size: of the blocks and of the first convolution, odd
    cond_shape: of a condition c [..., *cond_shape], (n,) for the whole image, such as a one-hot
        class, (H, W, n) for a map with a vector for each pixel; None for p(x)
    Starts as the conditional of f = 0. Costs: `log_prob` one pass of the net; `sample` the
    arithmetic of one pass in H·W steps.
    """
    shape = checks.image_shape(shape)
    net = nets.pixelcnn(
        shape,
        hidden=hidden,
        num_layers=num_layers,
        kernel_size=kernel_size,
        first_kernel_size=first_kernel_size,
        cond_shape=cond_shape,
        **outputs_of(conditional, channels=shape[2]),
    )
    return density(net, conditional, tuple(shape))
