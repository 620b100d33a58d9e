"""How the nets of a latent variable model see x, and the Gaussian with parameters from a net."""

import math
from collections.abc import Callable

import distrax
import jax.numpy as jnp

from .. import checks
from ..arrays import soft_bound
from ..likelihoods import Conditional, as_numbers
from ..protocol import Array, Shape

LARGEST = 6.0  # log-scales stay within ±LARGEST, softly: near 0 they are what the net says


def normal_of(f: Array, event_ndims: int = 1) -> distrax.Independent:
    """N(μ, e^{2s}) with independent entries, f = [μ, s] on the last axis; f = 0 is N(0, 1)."""
    mean, log_scale = jnp.split(f, 2, -1)
    scale = jnp.exp(soft_bound(log_scale, LARGEST))
    return distrax.Independent(distrax.Normal(mean, scale), event_ndims)


def numbers(likelihood: Conditional, shape: Shape, *, flat: bool) -> Callable[[Array], Array]:
    """x ↦ `as_numbers` for this likelihood and shape, as float32 by default; flat: [..., d]."""

    def see(x):
        y = as_numbers(x, shape, likelihood, jnp.result_type(float))
        return y.reshape(*y.shape[: y.ndim - len(shape)], math.prod(shape)) if flat else y

    return see


def vector_cond(cond_shape: Shape | None) -> Shape | None:
    """The shape (n,) of a condition, or None; others are refused."""
    cond_shape = checks.cond_shape(cond_shape)
    if cond_shape is not None and len(cond_shape) != 1:
        raise checks.InputError(f"cond_shape must be that of a vector, (n,); got {cond_shape}.")
    return cond_shape
