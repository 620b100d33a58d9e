"""Element-wise flows: one increasing function for each coordinate."""

import distrax
import jax.numpy as jnp

from .. import checks
from ..arrays import total
from ..bijectors import Law
from ..protocol import Array, Flow


def elementwise(dim: int, *, law: Law) -> Flow:
    """x_i = τ(z_i; c_i) with trained c_i, log|det ∂x/∂z| = Σ_i log τ'(z_i; c_i).

    It starts as the identity. Each coordinate of vectors [..., dim] has an increasing function of
    its own, which depends on no other coordinate.

    dim: the number of coordinates
    law: τ, such as `bijectors.rational_quadratic_spline()`. The parameters are {"c": [dim, k]},
        with k = law.num_params
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Lecture: element-wise
    flows.
    """
    dim = checks.positive_int(dim, "dim")
    checks.noun(law, Law, "law")

    def init(key):
        checks.key(key)
        return {"c": jnp.zeros((dim, law.num_params))}

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return Each(law.bijector(params["c"]), dim)

    return Flow(init, bijector)


class Each(distrax.Bijector):
    """One scalar map for each coordinate of vectors [..., dim]."""

    same_as = checks.same_bijector

    def __init__(self, scalar: distrax.Bijector, dim: int):
        super().__init__(
            event_ndims_in=1,
            is_constant_jacobian=scalar.is_constant_jacobian,
            is_constant_log_det=scalar.is_constant_log_det,
        )
        self._scalar, self._dim = scalar, dim

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        checks.events(x, self._dim)
        y, log_det = self._scalar.forward_and_log_det(x)
        return y, total(log_det)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        checks.events(y, self._dim, "y")
        x, log_det = self._scalar.inverse_and_log_det(y)
        return x, total(log_det)
