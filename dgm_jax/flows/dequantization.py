"""Variational dequantisation: the noise that turns levels into real numbers is a learned flow."""

import math
from collections.abc import Callable
from typing import Any

import distrax
import jax.numpy as jnp

from .. import checks
from ..bijectors import Law, NormalLogitCDF, flatten
from ..combinators import compose, fixed, invert
from ..distributions import Pushforward, standard_normal
from ..nets import conv_resnet
from ..protocol import Density, Net
from .multiscale import ImageShape, alternating, channel_coupling, on_checkerboard


@checks.spelled
def variational_noise(
    shape: ImageShape,
    num_levels: int,
    *,
    num_couplings: int = 4,
    law: Law | None = None,
    net: Callable[..., Net] = conv_resnet,
    hidden: int = 64,
    num_blocks: int = 2,
    dropout: float = 0.0,
    unroll: bool = False,
) -> Density:
    """q(u | x) on [0, 1)^{H×W×C}: u = Φ(T(v; x)), v ~ N(0, I), Φ the CDF of N(0, 1) on each entry.

    The noise u that is added to levels x, so that x + u is real; `objectives.dequantized_nll` takes
    it as its q. T is a flow conditioned on x, which starts as the identity: u is uniform then, and
    the bound that of uniform dequantisation. dist(params, x) takes integers x [..., H, W, C] in
    0..num_levels-1 as its condition; its log_prob is in nats.

    shape: (H, W, C), with even W
    num_levels: the number of levels, at least 2
    num_couplings: coupling layers of T, each of which moves one half of a checkerboard
    law: of the couplings, by default `bijectors.affine()`
    net: makes the net of each coupling, net(shape of its input, channels of its output,
        hidden=hidden, num_blocks=num_blocks, cond_shape=..., dropout=dropout), where the condition
        is x as a map; by default `nets.conv_resnet`
    hidden, num_blocks: the channels and the number of residual blocks of these nets
    dropout: the fraction of their activations set to 0 if `dist` gets a key
    unroll: whether the layers are written out instead of run in one scan (`combinators.repeat`)

    Cost: a sample with its log-density is one pass of every net. Ho et al. (2019), "Flow++",
    section 3.1.
    """
    shape = checks.image_shape(shape)
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    num_couplings = checks.positive_int(num_couplings, "num_couplings")
    options: dict[str, Any] = {"hidden": hidden, "num_blocks": num_blocks, "dropout": dropout}

    def couplings(shape, cond_shape):
        coupling = channel_coupling(shape, law=law, net=net, cond_shape=cond_shape, **options)
        return alternating(coupling, shape[-1], num_couplings, unroll=unroll)

    to_unit = distrax.Block(distrax.Chain([distrax.Sigmoid(), NormalLogitCDF()]), 3)
    flow = compose(
        fixed(to_unit), on_checkerboard(couplings, shape, shape), invert(fixed(flatten(shape)))
    )
    base = standard_normal(math.prod(shape))

    def dist(params, cond=None, *, key=None):
        batch_shape = checks.condition(cond, shape)
        checks.within(cond, 0, num_levels - 1, "x")
        levels = jnp.asarray(cond, jnp.float32) * (2 / (num_levels - 1)) - 1  # to [-1, 1]
        bijector = flow.bijector(params, levels, key=key)
        return Pushforward(base.dist({}), bijector, batch_shape=batch_shape)

    return Density(flow.init, dist, cond_shape=tuple(shape))
