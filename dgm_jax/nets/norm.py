"""Normalisation by the statistics of one example."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import wide
from ..protocol import Array
from .adapter import linen


def group_norm(
    x: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = 1e-6
) -> Array:
    """y_c = scale_c (x_c - m_g) / √(v_g + ε) + bias_c, for channel c in group g.

    A group is C / num_groups consecutive channels. m_g and v_g are mean and variance over its
    channels and all pixels of one image: no example depends on another, and there is no state.

    x: [..., H, W, C], floating; y has the same shape and dtype
    scale, bias: [C]
    num_groups: a divisor of C, else InputError; 1 is layer normalisation over an image, C instance
        normalisation
    epsilon: ε
    float16 and bfloat16 are summed in float32, and the variance is computed from x - m_g, so that a
    large mean does not reduce its precision. Cost: three passes over x and C² multiplications per
    image. Wu and He (2018), "Group normalization".
    """
    num_groups = checks.positive_int(num_groups, "num_groups")
    epsilon = checks.positive(epsilon, "epsilon")
    checks.floating(x, "x")
    channels = x.shape[-1] if jnp.ndim(x) >= 3 else None
    if channels is None or channels % num_groups:
        raise checks.InputError(
            f"x must be images [..., height, width, channels] with channels in num_groups="
            f"{num_groups} equal groups; got {jnp.shape(x)}."
        )
    for value, name in ((scale, "scale"), (bias, "bias")):
        checks.floating(value, name, (channels,))
    numbers = x.astype(wide(x))
    mean, variance = _moments(numbers, num_groups)
    factor = scale * jax.lax.rsqrt(variance + epsilon)
    shift = bias - mean * factor
    return (numbers * _at_pixels(factor) + _at_pixels(shift)).astype(x.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _moments(x, num_groups):
    """Mean and variance of the group of each channel, [..., C], without cancellation."""
    mean = _mean(x, num_groups)
    return mean, _mean(jnp.square(x - _at_pixels(mean)), num_groups)


@_moments.defjvp
def _of_moments(num_groups, primals, tangents):
    """dv = 2 E[(x - m) dx]: autodiff would carry E[(x - m) dm] along, which is 0."""
    (x,), (dx,) = primals, tangents
    mean, variance = _moments(x, num_groups)
    by_variance = 2 * _mean((x - _at_pixels(mean)) * dx, num_groups)
    return (mean, variance), (_mean(dx, num_groups), by_variance)


def _mean(x, num_groups):
    channels = x.shape[-1]
    group = np.arange(channels) * num_groups // channels
    size = x.shape[-3] * x.shape[-2] * channels // num_groups
    blocks = jnp.asarray(group[:, None] == group, x.dtype) / size
    return jnp.matmul(x.sum((-3, -2)), blocks, precision="highest")


def _at_pixels(a):
    return a[..., None, None, :]


class GroupNorm(linen.Module):
    """`group_norm` with trained scale and bias, which start as 1 and 0."""

    num_groups: int

    @linen.compact
    def __call__(self, x):
        scale = self.param("scale", linen.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", linen.initializers.zeros, (x.shape[-1],))
        return group_norm(x, scale, bias, num_groups=self.num_groups)
