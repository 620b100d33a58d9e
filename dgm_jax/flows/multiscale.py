"""The parts of flows of images: channel couplings after rearrangements, at several scales.

All map vectors of noise [H·W·C] or images to images [H, W, C]. With cond_shape they take a
condition: a vector (n,), such as a one-hot class, is the same at every pixel; a map (H, W, n) is
rearranged together with the image, so that a net sees the condition of its own pixels.
"""

from collections.abc import Callable
from typing import TypeGuard

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from .. import checks
from ..bijectors import Coupling, Law, Permutation, Rearrangement, affine, checkerboard, squeeze
from ..combinators import compose, factor_out, fixed, invert, repeat
from ..nets import conv_resnet
from ..protocol import Flow, Net, Shape, again

ImageShape = tuple[int, int, int]
Rearrange = Callable[[ImageShape], Rearrangement]
OfShape = Callable[[ImageShape, Shape | None], Flow]  # of the shapes of an image and a condition


@checks.spelled
def channel_coupling(
    shape: ImageShape,
    *,
    law: Law | None = None,
    net: Callable[..., Net] = conv_resnet,
    hidden: int = 64,
    num_blocks: int = 2,
    cond_shape: Shape | None = None,
    dropout: float = 0.0,
) -> Flow:
    """x_a = z_a, x_b = τ(z_b; f(z_a, c)) with a the first half of the channels, b the others.

    A coupling of images [..., H, W, C], with log|det ∂x/∂z| = Σ log τ' over the entries of x_b, and
    one pass of f in each direction. It starts as the identity.

    shape: (H, W, C), with C at least 2; of an odd C, a has one channel more
    law: τ, an increasing function of each entry of z_b, by default `bijectors.affine()`, z_b e^s +
        t
    net: makes f = net(shape of a, channels of its output, hidden=hidden, num_blocks=num_blocks,
        cond_shape=cond_shape, dropout=dropout), such as `nets.conv_resnet` (the default) or
        `nets.gated_attention`; set further options of it by `functools.partial`
    hidden, num_blocks: the channels and the number of residual blocks of f
    cond_shape: of c: (n,) for a vector, the same at every pixel, or (H, W, n); None for none
    dropout: the fraction of activations of f set to 0 if the bijector gets a key, the same ones in
        both directions
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Dinh et al. (2017),
    "Density estimation using Real NVP", section 3.4.
    """
    shape = checks.image_shape(shape)
    h, w, c = shape
    if c < 2:
        raise checks.InputError(f"channel_coupling needs two channels or more; got shape {shape}.")
    cond_shape = checks.cond_shape(cond_shape)
    checks.function(net, "net")
    law = affine() if law is None else law
    checks.noun(law, Law, "law")
    mask = np.arange(c) < (c + 1) // 2
    f = net(
        (h, w, int(mask.sum())),
        (c // 2) * law.num_params,
        hidden=hidden,
        num_blocks=num_blocks,
        cond_shape=cond_shape,
        dropout=dropout,
    )

    def conditioner(params, context, key, kept):
        return f.apply(params, kept, *context, key=again(key))

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        context = () if cond is None else (cond,)
        return Coupling(mask, Partial(conditioner, params, context, key), law, event_ndims=3)

    return Flow(f.init, bijector, cond_shape=cond_shape)


def alternating(
    coupling: Flow,
    num_channels: int,
    num_layers: int,
    *before: Flow,
    unroll: bool = False,
    recompute: bool = False,
) -> Flow:
    """num_layers channel couplings that move the two halves of num_channels channels in turn.

    Each layer is compose(*before, coupling), so the flows in `before` act after the coupling. The
    layers are one scan; unroll and recompute are those of `combinators.repeat`. Dinh et al. (2017),
    section 3.5.
    """
    channels = np.arange(num_channels)

    def rolled(by):
        return fixed(Permutation(np.roll(channels, by), event_ndims=3))

    half = num_channels // 2
    layer = compose(*before, coupling, rolled(half))
    layers = repeat(layer, num_layers, unroll=unroll, recompute=recompute)
    return compose(layers, rolled(-half * num_layers))  # brings each channel to its place


def through(
    rearrange: Rearrange, make: OfShape, shape: ImageShape, cond_shape: Shape | None
) -> Flow:
    """R⁻¹ ∘ T ∘ R: the flow T on images after a rearrangement R, `rearrange`.

    T = make(shape of an image after R, shape of a condition after R); shape, cond_shape: before R.
    """
    r = rearrange(shape)
    flow = make(checks.image_shape(r.shape_out), seen_shape(rearrange, cond_shape))
    return compose(invert(fixed(r)), seeing(rearrange, flow, cond_shape), fixed(r))


def seen_shape(rearrange: Rearrange, cond_shape: Shape | None) -> Shape | None:
    """The shape of a condition after a rearrangement, which leaves a vector unchanged."""
    return rearrange(cond_shape).shape_out if _is_map(cond_shape) else cond_shape


def seeing(rearrange: Rearrange, flow: Flow, cond_shape: Shape | None) -> Flow:
    """T(·; R(c)): the flow on a condition [..., *cond_shape] rearranged by R, `rearrange`."""
    if not _is_map(cond_shape) or flow.cond_shape is None:
        return flow
    r = rearrange(cond_shape)

    def seen(cond):
        checks.condition(cond, cond_shape)
        integers = jnp.issubdtype(cond.dtype, jnp.integer)
        return r.forward(cond.astype(float) if integers else cond)

    def bijector(params, cond=None, *, key=None):
        return flow.bijector(params, seen(cond), key=key)

    def adapt(params, x, cond=None):
        assert flow.adapt is not None
        return flow.adapt(params, x, seen(cond))

    return Flow(flow.init, bijector, adapt if flow.adapt else None, tuple(cond_shape))


def multiscale(
    shape: ImageShape,
    scale: OfShape,
    final: OfShape,
    num_scales: int,
    *,
    cond_shape: Shape | None = None,
) -> Flow:
    """x = T_1([h_1, z_1]), h_1 = T_2([h_2, z_2]), ..., h_{S-1} = T_S(z_S), with S = num_scales.

    At each scale but the last, half of the channels is noise z_k, and the other half, h_k, is made
    by the smaller scales below. Maps vectors of noise [H·W·C] to images [H, W, C]; in the inverse
    direction half of the channels leaves as noise after each scale, so that later scales are
    cheaper. log|det ∂x/∂z| is the sum of those of all T_k.

    shape: (H, W, C) of x. Raises InputError if a side is odd and there are more scales to come
    scale: scale(shape, cond_shape) is the flow T_k for k < S, from images [H/2, W/2, 4C] to images
        of this shape [H, W, C]
    final: final(shape, cond_shape) is T_S, from vectors to images of the last shape, [H/2ᵏ, W/2ᵏ,
        2ᵏC] with k = S - 1
    num_scales: S
    cond_shape: of a condition, (n,) or (H, W, n); `scale` and `final` are given its shape at their
        scale, to which a map is squeezed as the image is

    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Dinh et al. (2017),
    "Density estimation using Real NVP", section 3.6.
    """
    shape, cond_shape = checks.image_shape(shape), checks.cond_shape(cond_shape)
    checks.function(scale, "scale")
    checks.function(final, "final")
    if checks.positive_int(num_scales, "num_scales") == 1:
        return final(shape, cond_shape)
    h, w, c = shape
    if h % 2 or w % 2:
        raise checks.InputError(
            f"shape must have an even height and width to have num_scales={num_scales} scales; got "
            f"{shape}."
        )
    inner_cond = seen_shape(squeeze, cond_shape)
    rest = multiscale((h // 2, w // 2, 2 * c), scale, final, num_scales - 1, cond_shape=inner_cond)
    leave = seeing(squeeze, factor_out(rest, (h // 2, w // 2, 4 * c)), cond_shape)
    return compose(scale(shape, cond_shape), leave)


def on_checkerboard(make: OfShape, shape: ImageShape, cond_shape: Shape | None) -> Flow:
    """`through` a checkerboard: channel couplings of `make` move every other pixel of the image."""
    return through(checkerboard, make, shape, cond_shape)


def checked_sides(
    shape: ImageShape, cond_shape: Shape | None, height: int, width: int, what: str
) -> tuple[ImageShape, Shape | None]:
    """Checks both shapes: the sides must be multiples of height and width, because of `what`."""
    shape = checks.image_shape(shape)
    cond_shape = checks.image_cond_shape(cond_shape, shape)
    if shape[0] % height or shape[1] % width:
        raise checks.InputError(
            f"{what} needs multiples of {height} for the height and of {width} for the width; "
            f"got shape {shape}."
        )
    return shape, cond_shape


def _is_map(cond_shape: Shape | None) -> TypeGuard[ImageShape]:
    return cond_shape is not None and len(cond_shape) == 3
