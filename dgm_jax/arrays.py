"""Small things done with arrays in many places."""

import jax.numpy as jnp
import numpy as np
from jax import Array


def wide(*arrays_or_dtypes):
    """The dtype of all of them together, float32 at least: what 16 bits are too coarse for."""
    return jnp.promote_types(jnp.result_type(*arrays_or_dtypes), jnp.float32)


def soft_bound(x: Array, bound: float) -> Array:
    """b tanh(x / b), in (-b, b) and near x for small x: the way log-scales are limited."""
    return bound * jnp.tanh(x / bound)


def mid_quantiles(num: int) -> np.ndarray:
    """(j + ½) / K for j = 0..K-1: the middles of K equal shares of probability."""
    return (np.arange(num) + 0.5) / num


def parted(shifts: Array, scales: Array, points: Array, bound: float) -> tuple[Array, Array]:
    """Means μ_j = m_j + z_j (1 - s_j) and log-scales log s_j of K components, each [..., K].

    Equal components would get equal gradients and stay equal for ever. So component j shrinks onto
    a point z_j of its own, one of the `mid_quantiles` of the standard component. Every (μ, s) can
    be reached; at zero all are the standard component, and their gradients by s_j differ.
    log s_j = soft_bound(scales_j, bound).
    """
    log_scales = soft_bound(scales, bound)
    return shifts - points * jnp.expm1(log_scales), log_scales


def within_cell(corner: Array, u: Array) -> Array:
    """corner + u for u in [0, 1), rounded down where it would reach corner + 1.

    In float32, 255 + 0.999999 is 256; what is dequantised must stay in its own cell.
    """
    return jnp.minimum(corner + u, jnp.nextafter(corner + 1, corner))
