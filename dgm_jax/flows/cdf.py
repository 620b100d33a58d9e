"""Flows of one variable: from the CDF of the noise to that of the data."""

import math
from statistics import NormalDist

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_softmax

from .. import checks
from ..arrays import mid_quantiles, wide
from ..bijectors import Mixture, MixtureLogisticCDF, NormalLogitCDF
from ..protocol import Flow
from .elementwise import Each


def cdf(dim: int = 1, *, num_components: int = 8) -> Flow:
    """x_i = F_i⁻¹(Φ(z_i)) and z_i = Φ⁻¹(F_i(x_i)), F_i a mixture of K logistics: exact in 1-D.

    With z_i ~ N(0, 1), whose CDF is Φ, x_i has the density F_i' = Σ_j π_j logistic(x; μ_j, s_j) for
    any parameters: in one dimension a flow is a change from one cumulative distribution function to
    another. z, x: vectors [..., dim], whose coordinates are mapped independently; the
    log-determinant log|det ∂x/∂z| is Σ_i log (φ(z_i) / F_i'(x_i)), φ the density of N(0, 1). It
    starts near the identity: x_i has mean 0 and variance 1.

    dim: the number of coordinates
    num_components: K. Parameters "logits" of π, "means" μ and "log_scales" log s, each [dim, K]
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Lecture: one-dimensional
    flows. Cost: both directions are bisections, about as many evaluations as the mantissa has bits;
    their gradients do not differentiate the bisection.
    """
    dim = checks.positive_int(dim, "dim")
    num_components = checks.positive_int(num_components, "num_components")
    k = num_components
    means = np.array([NormalDist().inv_cdf(u) for u in mid_quantiles(k)])
    scale = math.sqrt(3 * (1 - means.var())) / math.pi  # a logistic has variance s²π²/3

    def init(key):
        checks.key(key)
        return {
            "logits": jnp.zeros((dim, k)),
            "means": jnp.tile(jnp.asarray(means), (dim, 1)),
            "log_scales": jnp.full((dim, k), math.log(scale), float),
        }

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, None)
        dtype = jnp.result_type(*jax.tree.leaves(params))
        p = jax.tree.map(lambda leaf: leaf.astype(wide(dtype)), params)
        mixture = Mixture(log_softmax(p["logits"]), p["means"], p["log_scales"])
        zero = jnp.zeros(dim, wide(dtype))
        to_logistic = MixtureLogisticCDF(mixture, zero, zero, dtype)  # logit F(x)
        return Each(distrax.Chain([distrax.Inverse(to_logistic), NormalLogitCDF()]), dim)

    return Flow(init, bijector)
