"""Noise that turns levels into numbers."""

import distrax
import jax.numpy as jnp

from .. import checks
from ..protocol import Density


def uniform_noise(event_ndims: int) -> Density:
    """q(u | x) = 1 on [0, 1)^D, D the entries of x, which has event_ndims axes. No parameters.

    `data.dequantize` draws x + u at once; as a density it is the case that a learned q must beat.
    """
    checks.positive_int(event_ndims, "event_ndims", least=0)

    def dist(params, cond=None, *, key=None):
        if cond is None:
            raise ValueError("cond is missing: q(u | x) needs dist(params, x), x the levels.")
        zeros = jnp.zeros(jnp.shape(cond))
        return distrax.Independent(distrax.Uniform(zeros, zeros + 1), event_ndims)

    return Density(lambda key: {}, dist)
