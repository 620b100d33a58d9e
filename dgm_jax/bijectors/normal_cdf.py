"""The CDF of the standard normal on the logit scale, which is precise in both tails."""

import math

import distrax
import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from .. import checks
from ..arrays import wide
from ..protocol import Array
from .roots import implicit_root

TAIL = 6.0  # beyond it the hazard rate of the normal is a continued fraction
FRACTIONS = 16  # of it: the rounding of float64 at TAIL, less farther out


class NormalLogitCDF(distrax.Bijector):
    """y = logit Φ(x) = log Φ(x) - log Φ(-x): maps N(0, 1) to the standard logistic distribution.

    A bijection of scalars x [...], R onto R; Φ and φ are the CDF and the density of N(0, 1). dy/dx
    = φ(x) / (Φ(x) Φ(-x)), in the tails by the hazard rate φ(x) / Φ(-x), without cancellation. The
    inverse, Φ⁻¹(σ(y)), has no formula that is precise in the tails; it is found by bisection to
    rounding and differentiated by the implicit function theorem. Arithmetic in float32 at least.
    """

    same_as = checks.same_bijector

    def __init__(self):
        super().__init__(event_ndims_in=0)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        x, dtype = jnp.asarray(x, wide(x)), x.dtype
        return _logit_cdf(x).astype(dtype), _log_slope(x).astype(dtype)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        y, dtype = jnp.asarray(y, wide(y)), y.dtype
        # The slope is at least 4 φ(0) = 1.596, and |y| at least x²/2, as Φ(-|x|) < e^{-x²/2}.
        reach = jnp.minimum(jnp.abs(y) / 1.5, 1.5 * jnp.sqrt(jnp.abs(y))) + jnp.finfo(y.dtype).tiny
        x = implicit_root(lambda x: _logit_cdf(x) - y, -reach, reach)
        return x.astype(dtype), -_log_slope(x).astype(dtype)


@jax.custom_jvp
def _logit_cdf(x):
    return log_ndtr(x) - log_ndtr(-x)


@_logit_cdf.defjvp
def _logit_cdf_jvp(primals, tangents):
    return _logit_cdf(*primals), jnp.exp(_log_slope(*primals)) * tangents[0]


def _log_slope(x):
    """log φ(x) - log Φ(x) - log Φ(-x)."""
    near = jnp.clip(x, -TAIL, TAIL)
    centre = -0.5 * near**2 - 0.5 * math.log(2 * math.pi) - log_ndtr(near) - log_ndtr(-near)
    inside = jnp.abs(x) < TAIL
    far = jnp.where(inside, TAIL, jnp.abs(x))
    hazard = far
    for k in range(FRACTIONS, 0, -1):  # φ(x) / Φ(-x) = x + 1 / (x + 2 / (x + 3 / ...))
        hazard = far + k / hazard
    return jnp.where(inside, centre, jnp.log(hazard) - log_ndtr(far))
