"""Gated PixelCNN: two stacks of gated convolutions, without a blind spot."""

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


@checks.spelled
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
    left. In each layer a and b are the two halves of the channels that a convolution computes, and
    σ is the logistic function. If it is deep enough, each output depends on all preceding pixels.

    shape: (H, W, C) of an image x [..., H, W, C]; the channels of a pixel are generated in turn.
        The lower part of an image can be completed by exact samples (`complete`)
    conditional: any likelihood of one entry, such as `bernoulli()` or `discretized_logistic(256)`
    hidden, num_layers: channels and layers of both stacks
    kernel_size, first_kernel_size: sides of the kernels of the layers and of the first
        convolution, odd
    cond_shape: of a condition c [..., *cond_shape], (n,) for one vector per image, such as a
        one-hot class, (H, W, n) for one vector per pixel; None for p(x)

    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Costs: `log_prob` one pass of the net; `sample` the arithmetic of one pass in H·W steps.
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
