"""Image GPT: a transformer on the sequence of the pixels of an image."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from .. import checks, nets
from ..likelihoods import Conditional
from ..protocol import CausalNet, Density, Shape
from .density import density, outputs_of


@checks.spelled
def image_gpt(
    shape: tuple[int, int, int],
    conditional: Conditional,
    *,
    hidden: int,
    num_layers: int,
    num_heads: int,
    window: int | None = None,
    positions: str = "learned",
    order: Sequence[int] | np.ndarray | None = None,
    dropout: float = 0.0,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_<i, c) for images [..., H, W, C]: a `transformer` of x.ravel().

    Chen et al. (2020), "Generative pretraining from pixels". There one step is a pixel, one of 512
    colours found by k-means. Here one step is one channel of a pixel, red first, as in Child et
    al. (2019), "Sparse transformers": a sequence three times as long, without loss of colours.

    shape: (H, W, C)
    conditional: any likelihood of one entry, such as `bernoulli()` or `categorical(256)`
    hidden, num_layers, num_heads: the size of the vector that represents a step, the layers (each
        of causal attention and an MLP), and the attention heads, whose number divides `hidden`
    window: how many of the last steps a layer sees, of which a row has W·C; None sees all
    positions: "learned", a vector for each step, or "rotary", which depends on the distances
        between two steps in rows, columns and channels
    order: order[t] is the pixel generated t-th, in 0..H·W-1; None is the raster order
    dropout: the fraction of units set to 0 in training, when `dist` gets a key
    cond_shape: of a condition c [..., *cond_shape], (n,) for one vector per image, such as a
        one-hot class, (H, W, n) for one vector per pixel; None for p(x)

    The net starts with the output f = 0, so that every x_i has the same distribution p(x_i; 0).
    Costs: `log_prob` one pass of the net; `sample` one unroll, which caches keys and values, the
    arithmetic of one pass in H·W·C steps.
    """
    shape = checks.image_shape(shape)
    cond_shape = checks.cond_shape(cond_shape)
    height, width, channels = shape
    if order is not None:
        order = checks.permutation(order, height * width)
        order = (np.asarray(order)[:, None] * channels + np.arange(channels)).ravel()
    net = nets.transformer(
        math.prod(shape),
        hidden=hidden,
        num_layers=num_layers,
        num_heads=num_heads,
        window=window,
        positions=positions,
        grid=shape,
        order=order,
        dropout=dropout,
        cond_shape=_of_steps(cond_shape, shape),
        **outputs_of(conditional),
    )
    if _is_map(cond_shape):
        net = _given_a_map(net, shape, cond_shape)
    return density(net, conditional, tuple(shape))


def _is_map(cond_shape):
    return cond_shape is not None and len(cond_shape) == 3


def _of_steps(cond_shape, shape):
    """The condition that the transformer gets: of a map (H, W, n), its vector for each channel."""
    if not _is_map(cond_shape) or tuple(cond_shape[:2]) != tuple(shape[:2]):
        return cond_shape  # the net refuses a map of another size
    return (math.prod(shape), cond_shape[2])


def _given_a_map(net: CausalNet, shape, cond_shape) -> CausalNet:
    """The net of one condition for each step, given one for each pixel."""

    def by_step(cond):
        batch_shape = checks.condition(cond, cond_shape)
        assert net.cond_shape is not None
        return jnp.repeat(cond, shape[2], -2).reshape(*batch_shape, *net.cond_shape)

    def apply(params, x, cond=None, *, key=None):
        return net.apply(params, x, by_step(cond), key=key)

    def unroll(params, emit, batch_shape, cond=None, *, key=None):
        return net.unroll(params, emit, batch_shape, by_step(cond), key=key)

    return net._replace(apply=apply, unroll=unroll, linearize=None, cond_shape=tuple(cond_shape))
