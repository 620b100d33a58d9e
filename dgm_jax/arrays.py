"""Small things done with arrays in many places."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike


def wide(*arrays_or_dtypes: ArrayLike | DTypeLike) -> jnp.dtype:
    """The dtype of all of them together, float32 at least: what 16 bits are too coarse for."""
    return jnp.promote_types(jnp.result_type(*arrays_or_dtypes), jnp.float32)


def same_rank(*arrays: Array) -> tuple[Array, ...]:
    """The arrays with axes of 1 in front, so that all have as many axes as the one with most.

    They broadcast as they did, also with `jax_numpy_rank_promotion="raise"`, under which an array
    does not silently take on axes of another.
    """
    ndim = max(map(jnp.ndim, arrays))
    return tuple(jnp.expand_dims(a, range(ndim - jnp.ndim(a))) for a in arrays)


def soft_bound(x: Array, bound: float) -> Array:
    """b tanh(x / b), in (-b, b) and near x for small x: the way log-scales are limited."""
    return bound * jnp.tanh(x / bound)


def straight_through(value: Array, soft: Array) -> Array:
    """`value`, to the last bit, whose gradient is taken to be that of `soft`.

    The usual soft + stop_gradient(value - soft) would round, as 100 + (0.1 - 100) does.
    Bengio et al. (2013), "Estimating or propagating gradients through stochastic neurons".
    """
    return jax.lax.stop_gradient(value) + (soft - jax.lax.stop_gradient(soft))


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
    log_scales, points = same_rank(soft_bound(scales, bound), points)
    return shifts - points * jnp.expm1(log_scales), log_scales


def places(order: np.ndarray) -> np.ndarray:
    """The inverse of a permutation, in its dtype: x[order][places(order)] is x."""
    return np.argsort(order).astype(order.dtype)


def within_cell(corner: Array, u: Array) -> Array:
    """corner + u for u in [0, 1), rounded down where it would reach corner + 1.

    In float32, 255 + 0.999999 is 256; what is dequantised must stay in its own cell.
    """
    return jnp.minimum(corner + u, jnp.nextafter(corner + 1, corner))


def total(log_det: Array, event_ndims: int = 1) -> Array:
    """Σ over the last event_ndims axes, as a product with ones: [..., *event] -> [...].

    XLA's reduction on a CPU would pull the whole of τ' into its loop and evaluate it one number at
    a time, which is far slower.
    """
    log_det = jax.lax.collapse(log_det, log_det.ndim - event_ndims)
    return jnp.dot(log_det, jnp.ones(log_det.shape[-1], log_det.dtype), precision="highest")


def no_log_det(x: Array, event_ndims: int = 1) -> Array:
    """The log-det of a map that only moves entries: zeros, one for each event of x."""
    return jnp.zeros(x.shape[: x.ndim - event_ndims], x.dtype)


def as_vectors(x: Array, event_ndims: int) -> Array:
    """[..., *event] -> [..., n]: each event of event_ndims axes as a vector."""
    batch_shape = x.shape[: x.ndim - event_ndims]
    return x.reshape(*batch_shape, math.prod(x.shape[len(batch_shape) :]))


def squeezed(x: Array) -> Array:
    """[..., H, W, C] -> [..., H/2, W/2, 4C]: each square of 2×2 pixels becomes one pixel.

    Its channels are those of the top left pixel, top right, bottom left, bottom right.
    """
    *batch, h, w, c = x.shape
    x = jnp.swapaxes(x.reshape(*batch, h // 2, 2, w // 2, 2, c), -4, -3)
    return x.reshape(*batch, h // 2, w // 2, 4 * c)


def unsqueezed(y: Array) -> Array:
    """[..., H, W, 4C] -> [..., 2H, 2W, C]: takes back `squeezed`."""
    *batch, h, w, c = y.shape
    y = jnp.swapaxes(y.reshape(*batch, h, w, 2, 2, c // 4), -4, -3)
    return y.reshape(*batch, 2 * h, 2 * w, c // 4)


def compiled_once(function: Callable, *, static_argnums: tuple[int, ...] = ()) -> Callable:
    """The function, compiled once outside of `jit`; within `jit` as if it were written out there.

    JAX knows a program by the Python function that it was traced from. A loop (`lax.scan`) outside
    of `jit` has a body that is made anew at every call, so it would be compiled at every call. Wrap
    the function around such a loop in this, once, and give it all that changes as arguments.
    """
    return jax.jit(function, static_argnums=static_argnums, inline=True)


def on_host_generator(key: Array) -> np.random.Generator:
    """NumPy's generator of a key, for what is drawn on the host; one key gives the same draws."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))
