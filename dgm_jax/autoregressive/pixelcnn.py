"""PixelCNN: masked convolutions, with a blind spot."""

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


@checks.spelled
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
    `nets.pixelcnn`: one masked convolution, then num_layers residual blocks of them. At any depth
    it has a blind spot above and to the right of a pixel; `gated_pixelcnn` has none.

    shape: (H, W, C) of an image x [..., H, W, C]; the channels of a pixel are generated in turn.
        The lower part of an image can be completed by exact samples (`complete`)
    conditional: any likelihood of one entry, such as `bernoulli()` or `discretized_logistic(256)`
    hidden, num_layers: channels inside a residual block (there are twice as many between blocks),
        and the number of blocks
    kernel_size, first_kernel_size: sides of the kernels of the blocks and of the first
        convolution, odd
    cond_shape: of a condition c [..., *cond_shape], (n,) for one vector per image, such as a
        one-hot class, (H, W, n) for one vector per pixel; None for p(x)

    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Costs: `log_prob` one pass of the net; `sample` the arithmetic of one pass in H·W steps.
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
