"""Flows of images: RealNVP, Glow and Flow++, from vectors of noise [H·W·C] to images [H, W, C].

All are channel couplings seen through rearrangements (`bijectors.squeeze`), with `actnorm`, also in
RealNVP, whose paper has batch normalisation: call `combinators.adapt` on a batch before training.
`options` go to the nets: those of `nets.conv_resnet` (hidden, num_blocks, ...), or of `net`. With
cond_shape a condition [..., *cond_shape], such as a one-hot class, enters every net. Both directions
cost one pass of every net.

Layers of one form are one scan, so they compile once. unroll=True writes them out: on CPUs XLA
makes the gradient of a convolution some 40 times slower inside a scan than outside (2.3 s against
0.06 s for six of 32 channels on [128, 8, 8]), so train with unroll=True there.
"""

from collections.abc import Callable

import numpy as np

from .. import checks
from ..bijectors import (
    Coupling,
    Law,
    Permutation,
    affine,
    checkerboard,
    flatten,
    mixture_logistic_cdf,
    squeeze,
)
from ..combinators import compose, factor_out, fixed, invert, repeat
from ..nets import conv_resnet, gated_attention
from ..protocol import Flow, Net
from .linear import actnorm, conv1x1

Shape = tuple[int, int, int]


def channel_coupling(
    shape: Shape,
    *,
    law: Law | None = None,
    net: Callable[..., Net] = conv_resnet,
    cond_shape: Shape | None = None,
    **options,
) -> Flow:
    """x_a = z_a, x_b = τ(z_b; f(z_a, c)) with a the first half of the channels, b the others.

    net(shape of a, channels of its output, cond_shape=..., **options) makes f. Conditions are images
    [..., H or 1, W or 1, cond_shape]. Starts as the identity. Dinh et al. (2017), section 3.4.
    """
    checks.image_shape(shape)
    h, w, c = shape
    if c < 2:
        raise ValueError(f"channel_coupling needs two channels or more; got shape {shape}.")
    checks.cond_shape(cond_shape)
    checks.function(net, "net")
    law = affine() if law is None else law
    checks.noun(law, Law, "law")
    mask = np.arange(c) < (c + 1) // 2
    f = net((h, w, int(mask.sum())), (c // 2) * law.num_params, cond_shape=cond_shape, **options)

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        context = () if cond is None else (cond,)
        return Coupling(mask, lambda kept: f.apply(params, kept, *context), law, event_ndims=3)

    return Flow(f.init, bijector)


def alternating(
    shape: Shape, num_layers: int, *layers: Flow, unroll: bool = False, **options
) -> Flow:
    """num_layers channel couplings that move the two halves of the channels in turn, as one scan.

    Each layer is compose(*layers, coupling): what is given comes after the coupling.
    """
    channels = np.arange(shape[-1])

    def rolled(by):
        return fixed(Permutation(np.roll(channels, by), event_ndims=3))

    half = len(channels) // 2
    layer = compose(*layers, channel_coupling(shape, **options), rolled(half))
    # The last one brings each channel to its place.
    return compose(repeat(layer, num_layers, unroll=unroll), rolled(-half * num_layers))


def through(rearrangement, flow: Flow) -> Flow:
    """R⁻¹ ∘ T ∘ R: the flow of images that is T where they are seen through R."""
    return compose(invert(fixed(rearrangement)), flow, fixed(rearrangement))


def multiscale(
    shape: Shape, level: Callable[[Shape], Flow], final: Callable[[Shape], Flow], num_levels: int
) -> Flow:
    """Levels from the data inwards; half of the channels leaves as noise after each but the last.

    level(shape): a flow from images [H/2, W/2, 4C] to shape = [H, W, C]; final(shape): one from
    vectors to images of the last shape, [H/2ᵏ, W/2ᵏ, 2ᵏC] after k levels.
    Dinh et al. (2017), section 3.6.
    """
    if num_levels == 1:
        return final(shape)
    h, w, c = shape
    rest = multiscale((h // 2, w // 2, 2 * c), level, final, num_levels - 1)
    return compose(level(shape), factor_out(rest, (h // 2, w // 2, 4 * c)))


def realnvp_image(
    shape: Shape,
    *,
    num_levels: int = 2,
    num_couplings: int = 3,
    unroll: bool = False,
    cond_shape: Shape | None = None,
    **options,
) -> Flow:
    """RealNVP on images: at each level num_couplings with checkerboards, a squeeze, as many of
    channels; half of the channels leaves as noise; num_couplings + 1 checkerboards at the end.

    An end of odd width, as 28 -> 14 -> 7 with three levels, has channel couplings there instead.
    The noise that leaves has a standard normal prior. options: those of `channel_coupling`.
    Dinh et al. (2017), "Density estimation using Real NVP", section 3.6.
    """
    checks.positive_int(num_levels, "num_levels")
    checks.positive_int(num_couplings, "num_couplings")
    multiple = 2 ** (num_levels - 1)
    _check(shape, cond_shape, multiple, multiple, f"realnvp_image with num_levels={num_levels}")
    options |= {"unroll": unroll, "cond_shape": cond_shape}

    def couplings(shape, num):
        return alternating(shape, num, actnorm(shape[-1], event_ndims=3), **options)

    def on_checkerboard(shape, num):
        h, w, c = shape
        return through(checkerboard(shape), couplings((h, w // 2, 2 * c), num))

    def level(shape):
        h, w, c = shape
        return compose(
            on_checkerboard(shape, num_couplings),
            invert(fixed(squeeze(shape))),
            couplings((h // 2, w // 2, 4 * c), num_couplings),
        )

    def final(shape):
        last = couplings if shape[1] % 2 else on_checkerboard
        return compose(last(shape, num_couplings + 1), invert(fixed(flatten(shape))))

    return _of_vectors(multiscale(shape, level, final, num_levels), cond_shape)


def glow(
    shape: Shape,
    *,
    num_levels: int = 2,
    num_steps: int = 8,
    form: str = "plu",
    unroll: bool = False,
    cond_shape: Shape | None = None,
    **options,
) -> Flow:
    """Glow: at each level a squeeze and num_steps of actnorm, 1×1 convolution, channel coupling.

    Half of the channels then leaves as noise, N(m(h), s(h)²) given the other half h: a further
    coupling. The steps of a level are one scan: 32 compile in the time of one. The 1×1 convolutions
    are inverted, so that density is their product and sampling their substitution.
    form: that of `conv1x1`; options: those of `channel_coupling`. law=bijectors.contraction(),
    that of the code of Glow, bounds what many steps can do: at the size of the paper, with weights
    moved at random by 0.03 from where they start, T(T⁻¹(x)) is 5 grey levels off in float32, and
    NaN with `affine`. Trained flows of 12 steps invert to 1e-2 with either; `affine` learns faster.
    The paper has num_levels=3, num_steps=32, 512 hidden channels.
    Kingma and Dhariwal (2018), "Glow", figure 2.
    """
    checks.positive_int(num_levels, "num_levels")
    checks.positive_int(num_steps, "num_steps")
    _check(shape, cond_shape, 2**num_levels, 2**num_levels, f"glow with num_levels={num_levels}")
    options |= {"cond_shape": cond_shape}

    def of_steps(shape, end):
        """end(inner): the flow on the noise side of the steps, given their shape."""
        h, w, c = shape
        inner = (h // 2, w // 2, 4 * c)
        step = compose(
            actnorm(4 * c, event_ndims=3),
            invert(conv1x1(4 * c, form=form)),
            channel_coupling(inner, **options),
        )
        steps = repeat(step, num_steps, unroll=unroll)
        return compose(invert(fixed(squeeze(shape))), steps, end(inner))

    def level(shape):
        return of_steps(shape, lambda inner: channel_coupling(inner, **options))

    def final(shape):
        return of_steps(shape, lambda inner: invert(fixed(flatten(inner))))

    return _of_vectors(multiscale(shape, level, final, num_levels), cond_shape)


def flow_pp(
    shape: Shape,
    *,
    num_components: int = 8,
    num_couplings: tuple[int, int, int] = (4, 2, 3),
    net: Callable[..., Net] = gated_attention,
    unroll: bool = False,
    cond_shape: Shape | None = None,
    **options,
) -> Flow:
    """Flow++: checkerboard couplings, a squeeze, channel couplings, checkerboard couplings again.

    Each is actnorm, 1×1 convolution and a coupling by the distribution function of num_components
    logistics with a gated self-attention net; num_couplings has their numbers. options: those of
    the net. Sampling inverts the law by bisection (its cost: `mixture_logistic_cdf`).
    Variational dequantization: `flows.variational_noise`.
    Ho et al. (2019), "Flow++", with (4, 2, 3), 96 channels, 10 blocks and 32 components there.
    """
    checks.widths(num_couplings, "num_couplings")
    if len(num_couplings) != 3:
        raise ValueError(f"num_couplings must be three numbers (4, 2, 3); got {num_couplings}.")
    _check(shape, cond_shape, 2, 4, "flow_pp")
    law = mixture_logistic_cdf(num_components=num_components)
    options |= {"law": law, "net": net, "unroll": unroll, "cond_shape": cond_shape}

    def couplings(shape, num):
        c = shape[-1]
        before = actnorm(c, event_ndims=3), invert(conv1x1(c))
        return alternating(shape, num, *before, **options)

    def on_checkerboard(shape, num):
        h, w, c = shape
        return through(checkerboard(shape), couplings((h, w // 2, 2 * c), num))

    first, middle, last = num_couplings
    h, w, c = shape
    inner = (h // 2, w // 2, 4 * c)
    flow = compose(
        on_checkerboard(shape, first),
        invert(fixed(squeeze(shape))),
        couplings(inner, middle),
        on_checkerboard(inner, last),
        invert(fixed(flatten(inner))),
    )
    return _of_vectors(flow, cond_shape)


def _check(shape, cond_shape, height, width, what):
    """The sides of images must be multiples of what the squeezes and checkerboards halve."""
    checks.image_shape(shape)
    checks.cond_shape(cond_shape)
    if shape[0] % height or shape[1] % width:
        raise ValueError(
            f"{what} needs a height that is a multiple of {height} and a width of {width}; "
            f"got shape {shape}."
        )


def _of_vectors(flow, cond_shape):
    """The flow whose condition is a vector [..., *cond_shape], the same at every pixel."""

    def pixel(cond):
        checks.condition(cond, cond_shape)
        return None if cond is None else cond[..., None, None, :]

    def adapt(params, x, cond=None):
        return flow.adapt(params, x, pixel(cond))

    return Flow(
        flow.init,
        lambda params, cond=None, *, key=None: flow.bijector(params, pixel(cond), key=key),
        adapt,
    )
