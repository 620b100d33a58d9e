"""RealNVP on images."""

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import checks
from ..bijectors import Law, flatten, squeeze
from ..combinators import compose, fixed, invert
from ..nets import conv_resnet
from ..protocol import Flow, Net, Shape
from .actnorm import actnorm
from .multiscale import (
    ImageShape,
    alternating,
    channel_coupling,
    checked_sides,
    multiscale,
    on_checkerboard,
    seeing,
    seen_shape,
)


@checks.spelled
def realnvp_image(
    shape: ImageShape,
    *,
    num_scales: int = 2,
    num_couplings: int = 3,
    law: Law | None = None,
    net: Callable[..., Net] = conv_resnet,
    hidden: int = 64,
    num_blocks: int = 2,
    cond_shape: Shape | None = None,
    dropout: float = 0.0,
    unroll: bool = False,
) -> Flow:
    """z [H·W·C] -> x [H, W, C]: couplings on checkerboards and on channels, at num_scales scales.

    From the data on, each scale has num_couplings on checkerboards, a squeeze of 2×2 pixels into
    channels, and num_couplings on channels; then half of the channels leaves as noise. The last
    scale has num_couplings + 1 on checkerboards, or on channels if its width is odd, such as 28 ->
    14 -> 7. Before each coupling is an `actnorm`, where the paper has batch normalisation: call
    `combinators.adapt` on a batch before training.

    shape: (H, W, C), H and W multiples of 2^(num_scales - 1)
    num_scales: the number of scales; 1 is one group of num_couplings + 1 couplings
    num_couplings: the couplings of each group
    law: τ of the couplings x_b = τ(z_b; f(z_a, c)), by default `bijectors.affine()`
    net: makes f = net(shape of z_a, channels of its output, hidden=hidden, num_blocks=num_blocks,
        cond_shape=cond_shape, dropout=dropout) of each coupling, by default `nets.conv_resnet`
    hidden, num_blocks: the channels and the number of residual blocks of each f
    cond_shape: (n,) for a vector c, the same at every pixel, or (H, W, n); None for p(x)
    dropout: the fraction of activations of f set to 0 if the bijector gets a key
    unroll: whether layers of the same form are written out instead of run in one scan, which
        compiles once for all of them
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: both directions are
    one pass of every net. Dinh et al. (2017), "Density estimation using Real NVP", section 3.6.
    """
    num_scales = checks.positive_int(num_scales, "num_scales")
    num_couplings = checks.positive_int(num_couplings, "num_couplings")
    multiple = 2 ** (num_scales - 1)
    shape, cond_shape = checked_sides(
        shape, cond_shape, multiple, multiple, f"realnvp_image with num_scales={num_scales}"
    )
    options: dict[str, Any] = {"hidden": hidden, "num_blocks": num_blocks, "dropout": dropout}

    def couplings(num, shape, cond_shape):
        coupling = channel_coupling(shape, law=law, net=net, cond_shape=cond_shape, **options)
        before = actnorm(shape[-1], event_ndims=3)
        return alternating(coupling, shape[-1], num, before, unroll=unroll)

    def scale(shape, cond_shape):
        h, w, c = shape
        on_channels = couplings(
            num_couplings, (h // 2, w // 2, 4 * c), seen_shape(squeeze, cond_shape)
        )
        return compose(
            on_checkerboard(partial(couplings, num_couplings), shape, cond_shape),
            invert(fixed(squeeze(shape))),
            seeing(squeeze, on_channels, cond_shape),
        )

    def final(shape, cond_shape):
        last = partial(couplings, num_couplings + 1)
        odd = shape[1] % 2
        flow = last(shape, cond_shape) if odd else on_checkerboard(last, shape, cond_shape)
        return compose(flow, invert(fixed(flatten(shape))))

    return multiscale(shape, scale, final, num_scales, cond_shape=cond_shape)
