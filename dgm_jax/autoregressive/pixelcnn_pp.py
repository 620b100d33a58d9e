"""PixelCNN++: gated residual blocks with short cuts, and channels that share a mixture."""

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density, outputs_of


@checks.spelled
def pixelcnn_pp(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    hidden: int = 64,
    num_layers: int = 2,
    kernel_size: int = 3,
    dropout: float = 0.0,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_<i, c) over pixels in raster order, by two streams with short cuts.

    Salimans et al. (2017), "PixelCNN++", whose model has the conditional
    `discretized_logistic(256, num_components=10)` and 3 channels. The net is `nets.pixelcnn_pp`:
    one stream of residual blocks reads the rows above, the other one also the pixels to the left.
    The blocks of each stream come in two halves, as in a U-Net: a block of the second half also
    reads the output of its mirror image in the first. All blocks have full resolution.

    shape: (H, W, C) of an image x [..., H, W, C]; the channels of a pixel are generated in turn.
        The lower part of an image can be completed by exact samples (`complete`)
    conditional: any likelihood of one entry
    hidden, kernel_size: channels of a block, and the side of its kernels, odd
    num_layers: residual blocks in each half of a stream
    dropout: the fraction of units set to 0 in training, when `dist` gets a key
    cond_shape: of a condition c [..., *cond_shape], (n,) for one vector per image, such as a
        one-hot class, (H, W, n) for one vector per pixel; None for p(x)

    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Costs: `log_prob` one pass of the net; `sample` the arithmetic of one pass in H·W steps.
    """
    shape = checks.image_shape(shape)
    net = nets.pixelcnn_pp(
        shape,
        hidden=hidden,
        num_layers=num_layers,
        kernel_size=kernel_size,
        dropout=dropout,
        cond_shape=cond_shape,
        **outputs_of(conditional, channels=shape[2]),
    )
    return density(net, conditional, tuple(shape))
