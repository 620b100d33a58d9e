"""Variational dequantization: the noise that turns levels into numbers is a flow, and learns."""

import distrax
import jax.numpy as jnp

from .. import checks
from ..bijectors import NormalLogitCDF, checkerboard, flatten
from ..combinators import compose, fixed, invert
from ..distributions import Pushforward, standard_normal
from ..protocol import Density
from .images import Shape, alternating, through


def variational_noise(
    shape: Shape, num_levels: int, *, num_couplings: int = 4, **options
) -> Density:
    """q(u | x) on [0, 1)^{H×W×C}: u = Φ(T(z; x)) for normal z, T checkerboard couplings that see x.

    Φ is a sigmoid after the logit of the normal's distribution function. Where T is the identity,
    as at the start, u is uniform: the bound begins at that of uniform dequantization.
    dist(params, x) takes integers x [..., H, W, C] in 0..num_levels-1, as those that
    `objectives.dequantized_nll` gives it; sampling with its log-density is one pass.
    options: those of `channel_coupling`, and unroll.
    Ho et al. (2019), "Flow++", section 3.1.
    """
    checks.image_shape(shape)
    checks.positive_int(num_levels, "num_levels", least=2)
    checks.positive_int(num_couplings, "num_couplings")
    board = checkerboard(shape)
    h, w, c = shape
    couplings = alternating((h, w // 2, 2 * c), num_couplings, cond_shape=(2,) * c, **options)
    to_unit = distrax.Block(distrax.Chain([distrax.Sigmoid(), NormalLogitCDF()]), 3)
    flow = compose(fixed(to_unit), through(board, couplings), invert(fixed(flatten(shape))))
    base = standard_normal(h * w * c)

    def dist(params, cond=None, *, key=None):
        if cond is None:
            raise ValueError("cond is missing: q(u | x) needs dist(params, x), x the levels.")
        checks.within(cond, 0, num_levels - 1, "x")
        levels = jnp.asarray(cond, jnp.float32) * (2 / (num_levels - 1)) - 1  # to [-1, 1]
        seen = board.forward(levels)
        vectors = flatten(shape).forward(levels)
        return Pushforward(base.dist({}, vectors), flow.bijector(params, seen))

    return Density(flow.init, dist)
