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
    """z [H·W·C] -> x [H, W, C] by checkerboard, channel and again checkerboard couplings.

    From the data on: couplings on a checkerboard, a squeeze of 2×2 pixels into channels, couplings
    on channels, couplings on a checkerboard. Each layer is actnorm, a 1×1 convolution and a
    coupling z_b = τ(x_b; f(x_a, c)) with τ the CDF of a mixture of logistics
    (`bijectors.mixture_logistic_cdf`). Call `combinators.adapt` on a batch before training.

    shape: (H, W, C), H a multiple of 2 and W of 4
    num_components: logistics in a mixture
    num_couplings: the layers of the three groups, from the data on
    net: makes each f, by default `nets.gated_attention` (see `flows.channel_coupling`)
    hidden, num_blocks: the channels and the number of blocks of each f
    cond_shape: (n,) for a vector c, the same at every pixel, or (H, W, n); None for p(x)
    dropout: the fraction of activations of f set to 0 if the bijector gets a key
    unroll: whether the layers of a group are written out instead of run in one scan, in which they
        compile once, and a gradient computes each once more from its input
    Cost: density is one pass of every net and τ; sampling also inverts τ by bisection. For
    variational dequantisation see `flows.variational_noise`. Ho et al. (2019), "Flow++", with (4,
    2, 3), 96 channels, 10 blocks and 32 components there.
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
