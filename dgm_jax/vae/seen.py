"""What the nets of a latent variable model see of x, and the Gaussian that they name."""

import math
from collections.abc import Callable

import distrax
import jax.numpy as jnp

from .. import nets
from ..arrays import soft_bound
from ..likelihoods import Conditional
from ..protocol import Array, Shape

LARGEST = 6.0  # log-scales stay within ±LARGEST, softly: near 0 they are what the net says


def normal_of(f: Array, event_ndims: int = 1) -> distrax.Distribution:
    """N(μ, e^{2s}) with independent entries, f = [μ, s] on the last axis; f = 0 is N(0, 1)."""
    mean, log_scale = jnp.split(f, 2, -1)
    scale = jnp.exp(soft_bound(log_scale, LARGEST))
    return distrax.Independent(distrax.Normal(mean, scale), event_ndims)


def numbers(likelihood: Conditional, shape: Shape, *, flat: bool) -> Callable[[Array], Array]:
    """x [..., *shape] -> bits as 0 and 1, levels over [-1, 1], numbers as they are; flat: [..., d].

    Levels take the dtype of parameters, float32 by default.
    """

    def see(x):
        y = jnp.asarray(x)
        if likelihood.encoding is not None:
            y = y.astype(float)
            levels = likelihood.encoding.num_levels
            y = y if levels == 2 else nets.scaled(levels).encode(y)[..., 0]
        return y.reshape(*y.shape[: y.ndim - len(shape)], math.prod(shape)) if flat else y

    return see
