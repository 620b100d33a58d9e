"""Sylvester flows: x = z + A h(B z + b) with B A triangular, of m hidden units.

Sampling with its log-determinant (`forward`) is a few products, as variational inference and
training on an unnormalised density need it. Density (`inverse`) solves for z numerically. Stack
layers with `combinators.repeat`. Half precision is computed in float32 and returned in the dtype of
the input.
"""

import math

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import same_rank
from ..bijectors import Sylvester, householder
from ..protocol import Array, Flow, Shape
from .amortised import amortised

FORMS = ("orthogonal", "householder", "triangular")
LEAST_SLOPE = 1e-3  # of a layer along one of its units, where R and R̃ are diagonal


@checks.spelled
def sylvester(
    dim: int,
    *,
    form: str = "orthogonal",
    num_units: int | None = None,
    num_reflections: int | None = None,
    cond_shape: Shape | None = None,
) -> Flow:
    """x = z + Q R tanh(R̃ Qᵀz + b), log|det ∂x/∂z| = Σ_i log(1 + h'_i r_ii r̃_ii).

    A planar flow with m hidden units, h' = tanh'(R̃ Qᵀz + b) and r_ii, r̃_ii the diagonals of R,
    R̃: Q [d, m] has orthonormal columns, R and R̃ are upper triangular [m, m], b [m]. The diagonals
    of R and R̃ are √0.999 tanh(·), so that r_ii r̃_ii > -0.999. It starts as the identity (R = 0).

    dim: d
    form: how Q is parametrised:

    - "orthogonal": Q is the orthonormal factor of a free matrix [d, m] (by QR, where the paper
      iterates).
    - "householder": Q is a product of num_reflections reflections, m = d.
    - "triangular": Q = I, m = d; reverse the coordinates between layers.

    num_units: m for "orthogonal", at most d, by default ⌈d/2⌉; refused for other forms
    num_reflections: for "householder" only, by default d
    cond_shape: of a condition c [..., *cond_shape], of which all parameters are then affine
        functions; None for none
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: `forward` O(dm), and
    Q once; the inverse m root searches in turn (`bijectors.Sylvester`). Its condition number is not
    bounded, as the off-diagonal entries of R and R̃ are not. van den Berg et al. (2018), "Sylvester
    normalizing flows", eqs. 12-15 and section 3.
    """
    dim, num_units, num_reflections = _checked(dim, form, num_units, num_reflections)
    m = dim if form != "orthogonal" else (dim + 1) // 2 if num_units is None else num_units
    k = dim if num_reflections is None else num_reflections
    basis = {"orthogonal": {"q": (dim, m)}, "householder": {"q": (k, dim)}, "triangular": {}}[form]

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

    def layer(p, dtype):
        q, r, r_tilde = orthonormal(p), _bounded(p["r"]), _bounded(p["r_tilde"])
        down = r_tilde @ jnp.swapaxes(q, -1, -2)
        return Sylvester(q @ r, down, p["b"], jnp.triu(r_tilde @ r), dtype=dtype)

    return amortised(start, layer, cond_shape=cond_shape)


def _checked(dim, form, num_units, num_reflections):
    dim = checks.positive_int(dim, "dim")
    checks.choice(form, FORMS, "form")
    if num_units is not None:
        if form != "orthogonal":
            raise checks.InputError(
                f"num_units is of form='orthogonal'; with {form!r} there are dim of them."
            )
        num_units = checks.positive_int(num_units, "num_units")
        if num_units > dim:
            raise checks.InputError(f"num_units must be at most dim={dim}; got {num_units}.")
    if num_reflections is not None:
        if form != "householder":
            raise checks.InputError(
                f"num_reflections is of form='householder'; got it with form={form!r}."
            )
        num_reflections = checks.positive_int(num_reflections, "num_reflections")
    return dim, num_units, num_reflections


def _bounded(matrix: Array) -> Array:
    """Upper triangular, with a diagonal within ±√(1 - LEAST_SLOPE)."""
    diagonal = math.sqrt(1 - LEAST_SLOPE) * jnp.tanh(jnp.diagonal(matrix, axis1=-2, axis2=-1))
    diagonal, unit = same_rank(
        diagonal[..., None, :], jnp.eye(matrix.shape[-1], dtype=matrix.dtype)
    )
    return jnp.triu(matrix, 1) + diagonal * unit
