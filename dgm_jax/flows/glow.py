"""Glow: actnorm, an invertible 1×1 convolution and a channel coupling, many times at each scale."""

from collections.abc import Callable
from typing import Any

from .. import checks
from ..bijectors import Law, flatten, squeeze
from ..combinators import compose, fixed, invert, repeat
from ..nets import conv_resnet
from ..protocol import Flow, Net, Shape
from .actnorm import actnorm
from .conv1x1 import conv1x1
from .multiscale import (
    ImageShape,
    channel_coupling,
    checked_sides,
    multiscale,
    seeing,
    seen_shape,
)


@checks.spelled
def glow(
    shape: ImageShape,
    *,
    num_scales: int = 2,
    num_steps: int = 8,
    form: str = "plu",
    law: Law | None = None,
    net: Callable[..., Net] = conv_resnet,
    hidden: int = 64,
    num_blocks: int = 2,
    cond_shape: Shape | None = None,
    dropout: float = 0.0,
    unroll: bool = False,
) -> Flow:
    """z [H·W·C] -> x [H, W, C]: num_scales times a squeeze and num_steps steps of Glow.

    A step is actnorm, an invertible 1×1 convolution and a channel coupling x_b = τ(z_b; f(z_a, c))
    of two halves a, b of the channels, in which x_a = z_a. At each scale but the last, half of the
    channels leaves as noise with prior N(m(h), s(h)²) given the other half h, by one more coupling
    whose net computes m and s. log|det ∂x/∂z| is the sum over all layers. Call `combinators.adapt`
    on a batch before training.

    shape: (H, W, C), H and W multiples of 2^num_scales, else `InputError`
    num_scales, num_steps: the number of scales, and of steps at each of them; 3 and 32 in the paper
    form: "plu" or "qr", how the 1×1 convolutions are factorised (`flows.conv1x1`). Density is a
        product with their factors, and sampling a substitution
    law: τ, by default `bijectors.affine()`. `bijectors.contraction()`, as in the authors' program,
        keeps 32 steps invertible in float32, where `affine` may overflow; `affine` trains faster
    net: makes f = net(shape of z_a, channels of its output, hidden=hidden, num_blocks=num_blocks,
        cond_shape=cond_shape, dropout=dropout) of each coupling, by default `nets.conv_resnet`
    hidden, num_blocks: the channels and the number of residual blocks of each f; the paper has 512
        channels
    cond_shape: (n,) for a vector c, the same at every pixel, or (H, W, n); None for p(x)
    dropout: the fraction of activations of f set to 0 if the bijector gets a key
    unroll: whether the steps of a scale are written out instead of run in one scan, in which 32
        compile in the time of one
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: both directions are
    one pass of every net. Kingma and Dhariwal (2018), "Glow", figure 2.
    """
    num_scales = checks.positive_int(num_scales, "num_scales")
    num_steps = checks.positive_int(num_steps, "num_steps")
    multiple = 2**num_scales
    shape, cond_shape = checked_sides(
        shape, cond_shape, multiple, multiple, f"glow with num_scales={num_scales}"
    )
    options: dict[str, Any] = {"hidden": hidden, "num_blocks": num_blocks, "dropout": dropout}

    def coupling(shape, cond_shape):
        return channel_coupling(shape, law=law, net=net, cond_shape=cond_shape, **options)

    def of_steps(end, shape, cond_shape):
        """end(inner shapes): the flow on the noise side of the steps."""
        h, w, c = shape
        inner = (h // 2, w // 2, 4 * c), seen_shape(squeeze, cond_shape)
        convolution = invert(conv1x1(4 * c, form=form))
        step = compose(actnorm(4 * c, event_ndims=3), convolution, coupling(*inner))
        steps = repeat(step, num_steps, unroll=unroll)
        parts = (seeing(squeeze, part, cond_shape) for part in (steps, end(*inner)))
        return compose(invert(fixed(squeeze(shape))), *parts)

    def scale(shape, cond_shape):
        return of_steps(coupling, shape, cond_shape)

    def final(shape, cond_shape):
        return of_steps(lambda inner, _: invert(fixed(flatten(inner))), shape, cond_shape)

    return multiscale(shape, scale, final, num_scales, cond_shape=cond_shape)
