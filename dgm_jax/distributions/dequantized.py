"""Noise that turns levels into numbers."""

import distrax
import jax.numpy as jnp

from .. import checks
from ..protocol import Density, Shape


def uniform_noise(shape: Shape) -> Density:
    """q(u | x) = 1 on [0, 1)^D for levels x [..., *shape], of D entries. No parameters.

    `dist(params, x)` has the levels as its condition. `data.preprocessing.dequantize` draws x + u
    at once; as a density it is the case that a learned q (`flows.variational_noise`) must beat.
    """
    checks.cond_shape(shape, "shape")

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, shape)
        zeros = jnp.zeros(jnp.shape(cond))
        return distrax.Independent(distrax.Uniform(zeros, zeros + 1), len(shape))

    return Density(lambda key: {}, dist, cond_shape=tuple(shape))
