"""The planar flow: x = z + u h(wᵀz + b), one hidden unit and a log-determinant that costs O(d).

Sampling with its log-determinant (`forward`) is two products, as variational inference and training
on an unnormalised density need it. Density (`inverse`) solves for z numerically. Stack layers with
`combinators.repeat`. Half precision is computed in float32 and returned in the dtype of the input.
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
    """x = z + û tanh(wᵀz + b), log|det ∂x/∂z| = log(1 + h' wᵀû), h' = 1 - tanh²(wᵀz + b).

    Trained are w, u [dim] and the number b; û = u + (m(wᵀu) - wᵀu) w / ‖w‖² makes it invertible, by
    wᵀû = m(wᵀu) > -1, with m(a) = softplus(a + k) - 1 + 0.001 and k such that m(0) = 0. So the
    slope along w is at least 0.001; for ‖w‖ ‖u‖ > 260 in float32 the bound is larger, 32 times the
    rounding error of wᵀû, so that rounding cannot make the map non-invertible. It starts as the
    identity (u = 0).

    dim: the size of the vectors [..., dim]
    cond_shape: of a condition c [..., *cond_shape], of which w, u and b are then affine functions,
        as in an amortised posterior; None for none
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: `forward` O(dim);
    the inverse is found by bisection. It is precise to the rounding over the slope, and to 0.005
    ‖û‖ for ‖w‖ ‖u‖ > 260. Stack layers with `combinators.repeat`. Rezende and Mohamed (2015),
    "Variational inference with normalizing flows", eq. 10 and A.1.
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
