"""The planar flow: x = z + u h(wᵀz + b), one hidden unit and a log-det that costs O(d).

Sampling with its log-det (`forward`) is two products, which is what variational inference and
training by an unnormalised density need. Density (`inverse`) solves for z numerically. Layers are
stacked with `combinators.repeat`. Half precision is computed as float32, and returned as it came.
"""

import math

import jax
import jax.numpy as jnp

from .. import checks
from ..bijectors import Sylvester
from ..protocol import Array, Flow, Shape
from .amortised import amortised

LEAST_SLOPE = 1e-3  # of a layer along its own direction: how far an inverse can amplify rounding
LEAST_ROUNDINGS = 32  # the least slope in units of the rounding of wᵀû


def planar(dim: int, *, cond_shape: Shape | None = None) -> Flow:
    """x = z + û tanh(wᵀz + b), log|det| = log(1 + h' wᵀû). Starts as the identity.

    Invertible where wᵀû > -1, which û = u + (m(wᵀu) - wᵀu) w / ‖w‖² enforces with
    m(a) = softplus(a + c) - 1 + 0.001, where c makes m(0) = 0. So the slope is at least 0.001, and
    at least 32 roundings of wᵀû, which is more where ‖w‖ ‖u‖ > 260 in float32: no rounding makes x
    fold, and an inverse is found to 0.005 of ‖û‖ there, to rounding over the slope elsewhere.
    With cond_shape, w, u and b are affine functions of the condition, as in an amortised posterior.
    Rezende and Mohamed (2015), "Variational inference with normalizing flows", eq. 10 and A.1.
    """
    dim = checks.positive_int(dim, "dim")

    def start(key):
        w = jax.random.normal(key, (dim,)) / math.sqrt(dim)
        return {"w": w, "u": jnp.zeros(dim), "b": jnp.zeros(())}

    def layer(p, dtype):
        w, b = p["w"], p["b"]
        u = _invertible(w, p["u"])
        t = (w * u).sum(-1, keepdims=True)  # of the û that moves x; 0 where w = 0, a constant shift
        return Sylvester(u[..., :, None], w[..., None, :], b[..., None], t[..., None], dtype=dtype)

    return amortised(start, layer, cond_shape=cond_shape)


def _invertible(w: Array, u: Array) -> Array:
    """û [..., d]: u with its part along w changed so that wᵀû > -1."""
    square = (w**2).sum(-1, keepdims=True)
    direction = w / jnp.where(square > 0, square, 1)

    def across(u):
        return u - (w * u).sum(-1, keepdims=True) * direction

    product = _above_minus_one((w * u).sum(-1, keepdims=True))
    # û is only known to the rounding of its part across w, and its slope along w to no less.
    rounding = jnp.finfo(w.dtype).eps * jnp.sqrt(square * (u**2).sum(-1, keepdims=True))
    product = jnp.maximum(product, LEAST_ROUNDINGS * jax.lax.stop_gradient(rounding) - 1)
    return across(across(u)) + product * direction  # twice: what the first leaves is rounding


def _above_minus_one(a: Array) -> Array:
    """Increasing, from R onto (-1 + LEAST_SLOPE, ∞), 0 at 0."""
    offset = math.log(math.expm1(1 - LEAST_SLOPE))
    return jax.nn.softplus(a + offset) - (1 - LEAST_SLOPE)
