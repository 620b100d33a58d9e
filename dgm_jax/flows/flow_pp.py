"""Flow++: couplings by the CDF of a mixture of logistics, with self-attention."""

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import checks
from ..bijectors import flatten, mixture_logistic_cdf, squeeze
from ..combinators import compose, fixed, invert
from ..nets import gated_attention
from ..protocol import Flow, Net, Shape
from .actnorm import actnorm
from .conv1x1 import conv1x1
from .multiscale import (
    ImageShape,
    alternating,
    channel_coupling,
    checked_sides,
    on_checkerboard,
    seeing,
    seen_shape,
)


@checks.spelled
def flow_pp(
    shape: ImageShape,
    *,
    num_components: int = 8,
    num_couplings: tuple[int, int, int] = (4, 2, 3),
    net: Callable[..., Net] = gated_attention,
    hidden: int = 64,
    num_blocks: int = 2,
    cond_shape: Shape | None = None,
    dropout: float = 0.0,
    unroll: bool = False,
) -> Flow:
    """z [H·W·C] -> x [H, W, C], of couplings z_a = x_a, z_b = τ(x_b; f(x_a, c)), τ a mixture's CDF.

    From the data on: couplings in which a and b are the colours of a checkerboard, a squeeze of 2×2
    pixels into channels, couplings in which they are halves of the channels, and again couplings on
    a checkerboard; the halves swap roles from layer to layer. A layer is actnorm, a 1×1 convolution
    and a coupling with τ(u) = e^s logit(F(u)) + t, where F is the CDF of a mixture of logistics; f
    computes s, t and the mixture for each entry of x_b (`bijectors.mixture_logistic_cdf`). With
    `pushforward(flow, standard_normal(H * W * C))` it is a density. Call `combinators.adapt` on a
    batch before training.

    shape: (H, W, C), H a multiple of 2 and W of 4
    num_components: logistics in a mixture
    num_couplings: the layers of the three groups, from the data on
    net: makes each f = net((h, w, k), channels of its output, hidden=..., num_blocks=...,
        cond_shape=..., dropout=...), a `Net`, for x_a of shape (h, w, k); by default
        `nets.gated_attention`
    hidden, num_blocks: the channels and the number of blocks of each f
    cond_shape: (n,) for a vector c, the same at every pixel, or (H, W, n); None for p(x)
    dropout: the fraction of activations of f set to 0 if the bijector gets a key
    unroll: False: the layers of a group are one scan, of which one layer is compiled, and whose
        gradient keeps only the inputs of the layers and computes each layer once more. True: they
        are written out; results are the same
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Other sides raise
    `InputError`. Cost: density is one pass of every net and τ; sampling also inverts τ by
    bisection. For variational dequantisation see `flows.variational_noise`. Ho et al. (2019),
    "Flow++", with (4, 2, 3), 96 channels, 10 blocks and 32 components there.
    """
    counts = checks.widths(num_couplings, "num_couplings")
    if len(counts) != 3:
        raise checks.InputError(f"num_couplings must be three numbers (4, 2, 3); got {counts}.")
    shape, cond_shape = checked_sides(shape, cond_shape, 2, 4, "flow_pp")
    law = mixture_logistic_cdf(num_components=num_components)
    options: dict[str, Any] = {"hidden": hidden, "num_blocks": num_blocks, "dropout": dropout}

    def couplings(num, shape, cond_shape):
        c = shape[-1]
        coupling = invert(
            channel_coupling(shape, law=law, net=net, cond_shape=cond_shape, **options)
        )  # x_b ↦ z_b is the CDF, in closed form, and z_b ↦ x_b its root
        before = actnorm(c, event_ndims=3), invert(conv1x1(c))
        return alternating(coupling, c, num, *before, unroll=unroll, recompute=True)

    first, middle, last = counts
    h, w, c = shape
    inner = (h // 2, w // 2, 4 * c), seen_shape(squeeze, cond_shape)
    return compose(
        on_checkerboard(partial(couplings, first), shape, cond_shape),
        invert(fixed(squeeze(shape))),
        seeing(squeeze, couplings(middle, *inner), cond_shape),
        seeing(squeeze, on_checkerboard(partial(couplings, last), *inner), cond_shape),
        invert(fixed(flatten(inner[0]))),
    )
