"""p(x) = ∏_i p(x_i | x_<i) of images: PixelCNN, Gated PixelCNN, PixelCNN++ and PixelSNAIL.

All four take images x [..., H, W, C] (integers, for conditionals of levels), any `Conditional`, and
`cond_shape` for p(x | c), with classes as one-hot c [..., *cond_shape]. Pixels are made in raster
order, the channels of one last: the upper part of an image is completed by exact draws (`.complete`).
All start as the conditional of f = 0.
Costs: density one pass of the net; a sample the arithmetic of one pass, in H·W small steps.
"""

from functools import partial

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import Density, Shape
from .density import density_of


def pixelcnn(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    cond_shape: Shape | None = None,
    **options,
) -> Density:
    """Masked convolutions, with a blind spot: `nets.pixelcnn`, which has the options.

    van den Oord et al. (2016), "Pixel recurrent neural networks", section 3.4.
    """
    return _images(nets.pixelcnn, shape, conditional, cond_shape, options)


def gated_pixelcnn(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    cond_shape: Shape | None = None,
    **options,
) -> Density:
    """Two stacks of gated convolutions, without a blind spot: `nets.gated_pixelcnn`.

    van den Oord et al. (2016), "Conditional image generation with PixelCNN decoders".
    """
    return _images(nets.gated_pixelcnn, shape, conditional, cond_shape, options)


def pixelcnn_pp(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    cond_shape: Shape | None = None,
    **options,
) -> Density:
    """Gated residual blocks with short cuts, at full resolution: `nets.pixelcnn_pp`.

    The paper's is that of `discretized_logistic(256, num_components=10)`, with 3 channels.
    Salimans et al. (2017), "PixelCNN++".
    """
    return _images(nets.pixelcnn_pp, shape, conditional, cond_shape, options)


def pixelsnail(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    cond_shape: Shape | None = None,
    **options,
) -> Density:
    """Causal convolutions, and attention to all earlier pixels: `nets.pixelsnail`.

    Chen et al. (2018), "PixelSNAIL".
    """
    return _images(nets.pixelsnail, shape, conditional, cond_shape, options)


def _images(make, shape, conditional, cond_shape, options):
    checks.image_shape(shape)
    checks.noun(conditional, Conditional, "conditional")
    if conditional.head is not None and shape[2] > 1:
        make = partial(make, head=conditional.head(shape[2]))
    return density_of(make, tuple(shape), conditional, cond_shape=cond_shape, **options)
