"""Planar and Sylvester flows: residual layers x = z + A h(B z + b) with a determinant of size m.

Sampling with its log-det (`forward`) is a few products, which is what variational inference and
training by an unnormalised density need. Density (`inverse`) solves for z numerically. Layers are
stacked with `combinators.repeat`. Half precision is computed as float32, and returned as it came.
"""

import math

import jax
import jax.numpy as jnp

from .. import checks
from ..bijectors import Sylvester, householder
from ..protocol import Flow, Shape

LEAST_SLOPE = 1e-3  # of a layer along its own direction: how far an inverse can amplify rounding
LEAST_ROUNDINGS = 32  # the least slope of a planar layer in units of the rounding of wᵀû


def planar(dim: int, *, cond_shape: Shape | None = None) -> Flow:
    """x = z + û tanh(wᵀz + b), log|det| = log(1 + h' wᵀû). Starts as the identity.

    Invertible where wᵀû > -1, which û = u + (m(wᵀu) - wᵀu) w / ‖w‖² enforces with
    m(a) = softplus(a + c) - 1 + 0.001, where c makes m(0) = 0. So the slope is at least 0.001, and
    at least 32 roundings of wᵀû, which is more where ‖w‖ ‖u‖ > 260 in float32: no rounding makes x
    fold, and an inverse is found to 0.005 of ‖û‖ there, to rounding over the slope elsewhere.
    With cond_shape, w, u and b are affine functions of the condition, as in an amortised posterior.
    Rezende and Mohamed (2015), "Variational inference with normalizing flows", eq. 10 and A.1.
    """
    checks.positive_int(dim, "dim")
    shapes = {"w": (dim,), "u": (dim,), "b": ()}

    def start(key):
        w = jax.random.normal(key, (dim,)) / math.sqrt(dim)
        return {"w": w, "u": jnp.zeros(dim), "b": jnp.zeros(())}

    def layer(p):
        w, u, b = p["w"], p["u"], p["b"]
        square = (w**2).sum(-1, keepdims=True)
        direction = w / jnp.where(square > 0, square, 1)

        def across(u):
            return u - (w * u).sum(-1, keepdims=True) * direction

        product = _above_minus_one((w * u).sum(-1, keepdims=True))
        # û is only known to the rounding of its part across w, and its slope along w to no less.
        rounding = jnp.finfo(w.dtype).eps * jnp.sqrt(square * (u**2).sum(-1, keepdims=True))
        product = jnp.maximum(product, LEAST_ROUNDINGS * jax.lax.stop_gradient(rounding) - 1)
        u = across(across(u)) + product * direction  # twice: what the first leaves is rounding
        t = (w * u).sum(-1, keepdims=True)  # of the û that moves x; 0 where w = 0, a constant shift
        return u[..., :, None], w[..., None, :], b[..., None], t[..., None]

    return _conditioned(start, shapes, layer, cond_shape)


def sylvester(
    dim: int,
    *,
    form: str = "orthogonal",
    num_units: int | None = None,
    num_reflections: int | None = None,
    cond_shape: Shape | None = None,
) -> Flow:
    """x = z + Q R tanh(R̃ Qᵀz + b), log|det| = Σ log(1 + h'_i r_ii r̃_ii). Starts as the identity.

    Q [d, m] has orthonormal columns, R and R̃ are upper triangular [m, m]; their diagonals are
    0.999 tanh(·), so r_ii r̃_ii > -1 and a slope is at least 0.001. form:

    - "orthogonal": Q is the orthonormal factor of a free matrix [d, num_units] (by QR, where the
      paper iterates towards it); num_units is m, at most d, by default ⌈d/2⌉.
    - "householder": Q a product of num_reflections reflections (default d), m = d.
    - "triangular": Q = I, m = d; reverse the coordinates between layers.

    With cond_shape all parameters are affine functions of the condition. The entries of R and R̃ off
    the diagonal are free, and the conditioning of the inverse with them (`bijectors.Sylvester`).
    van den Berg et al. (2018), "Sylvester normalizing flows", eqs. 12-15 and section 3.
    """
    checks.positive_int(dim, "dim")
    checks.choice(form, ("orthogonal", "householder", "triangular"), "form")
    if num_units is not None and form != "orthogonal":
        raise ValueError(f"num_units is of form='orthogonal'; with {form!r} there are dim of them.")
    if num_reflections is not None and form != "householder":
        raise ValueError(f"num_reflections is of form='householder'; got it with form={form!r}.")
    half = (dim + 1) // 2
    m = (half if num_units is None else num_units) if form == "orthogonal" else dim
    checks.positive_int(m, "num_units")
    if m > dim:
        raise ValueError(f"num_units must be at most dim={dim}; got {m}.")
    k = dim if num_reflections is None else num_reflections
    checks.positive_int(k, "num_reflections")
    basis = {"orthogonal": {"q": (dim, m)}, "householder": {"q": (k, dim)}, "triangular": {}}[form]
    shapes = {"r": (m, m), "r_tilde": (m, m), "b": (m,), **basis}

    def start(key):
        r_key, *q_key = jax.random.split(key, 1 + len(basis))
        q = {name: jax.random.normal(q_key[0], shape) for name, shape in basis.items()}
        r_tilde = jax.random.normal(r_key, (m, m)) / math.sqrt(m)
        return {"r": jnp.zeros((m, m)), "r_tilde": r_tilde, "b": jnp.zeros(m), **q}

    def orthonormal(p):  # [..., d, m]
        if form == "orthogonal":
            return jnp.linalg.qr(p["q"])[0]
        if form == "householder":
            return householder(p["q"])
        return jnp.eye(dim, dtype=p["r"].dtype)

    def layer(p):
        q, r, r_tilde = orthonormal(p), _bounded(p["r"]), _bounded(p["r_tilde"])
        return q @ r, r_tilde @ jnp.swapaxes(q, -1, -2), p["b"], jnp.triu(r_tilde @ r)

    return _conditioned(start, shapes, layer, cond_shape)


def _above_minus_one(a):
    """Increasing, from R onto (-1 + LEAST_SLOPE, ∞), 0 at 0."""
    offset = math.log(math.expm1(1 - LEAST_SLOPE))
    return jax.nn.softplus(a + offset) - (1 - LEAST_SLOPE)


def _bounded(matrix):
    """Upper triangular, with a diagonal within ±√(1 - LEAST_SLOPE)."""
    diagonal = math.sqrt(1 - LEAST_SLOPE) * jnp.tanh(jnp.diagonal(matrix, axis1=-2, axis2=-1))
    unit = jnp.eye(matrix.shape[-1], dtype=matrix.dtype)
    return jnp.triu(matrix, 1) + diagonal[..., None, :] * unit


def _conditioned(start, shapes, layer, cond_shape):
    """The flow of parameters θ + c·Θ, Θ = 0 at the start; only θ where there is no c.

    layer(θ): the arrays of its `Sylvester`.
    """
    checks.cond_shape(cond_shape)

    def init(key):
        checks.key(key)
        own = start(key)
        slopes = {
            name: jnp.zeros((math.prod(cond_shape), *shape)) for name, shape in shapes.items()
        }
        return {"own": own, "cond": slopes} if cond_shape else own

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        dtype = jnp.result_type(*jax.tree.leaves(params))
        # In bfloat16 a diagonal of -0.999 is -1, which has no inverse.
        params = jax.tree.map(lambda a: a.astype(jnp.promote_types(a.dtype, jnp.float32)), params)
        if cond is not None:
            params = {
                name: params["own"][name] + jnp.tensordot(cond, slope, 1)
                for name, slope in params["cond"].items()
            }
        return Sylvester(*layer(params), dtype=dtype)

    return Flow(init, bijector)
