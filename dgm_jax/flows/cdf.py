"""Flows of one variable at a time: each coordinate through an increasing function of its own."""

import math
from statistics import NormalDist

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_softmax

from .. import checks
from ..bijectors import Law, Mixture, MixtureLogisticCDF, NormalLogitCDF
from ..protocol import Flow


def elementwise(dim: int, *, law: Law) -> Flow:
    """x_i = τ(z_i; c_i), the coupling law without a conditioner. Starts as the identity, c = 0."""
    checks.positive_int(dim, "dim")
    checks.noun(law, Law, "law")

    def init(key):
        checks.key(key)
        return {"c": jnp.zeros((dim, law.num_params))}

    def bijector(params, cond=None, *, key=None):
        return _Each(law.bijector(params["c"]), dim)

    return Flow(init, bijector)


def cdf(dim: int = 1, *, num_components: int = 8) -> Flow:
    """x_i = F_i⁻¹(Φ(z_i)) and z_i = Φ⁻¹(F_i(x_i)), F_i a mixture of K logistics: exact in 1-D.

    Pushing N(0, 1) through it gives x the density F_i' = Σ_j π_j logistic(x; μ_j, s_j), whatever
    the parameters: in one dimension a flow is a change from one distribution function to another.
    Starts with mean 0 and variance 1, near the normal: means at its mid-quantiles.
    Cost: both directions are bisections, and their gradients do not run through them.
    """
    checks.positive_int(dim, "dim")
    checks.positive_int(num_components, "num_components")
    k = num_components
    means = np.array([NormalDist().inv_cdf((j + 0.5) / k) for j in range(k)])
    scale = math.sqrt(3 * (1 - means.var())) / math.pi  # a logistic has variance s²π²/3

    def init(key):
        checks.key(key)
        return {
            "logits": jnp.zeros((dim, k)),
            "means": jnp.tile(jnp.asarray(means, jnp.float32), (dim, 1)),
            "log_scales": jnp.full((dim, k), math.log(scale)),
        }

    def bijector(params, cond=None, *, key=None):
        dtype = jnp.result_type(*jax.tree.leaves(params))
        wide = jnp.promote_types(dtype, jnp.float32)
        p = jax.tree.map(lambda leaf: leaf.astype(wide), params)
        mixture = Mixture(log_softmax(p["logits"]), p["means"], p["log_scales"])
        zero = jnp.zeros(dim, wide)
        to_logistic = MixtureLogisticCDF(mixture, zero, zero, dtype)  # logit F(x)
        return _Each(distrax.Chain([distrax.Inverse(to_logistic), NormalLogitCDF()]), dim)

    return Flow(init, bijector)


class _Each(distrax.Bijector):
    """One scalar map for each coordinate of vectors [..., dim]."""

    def __init__(self, scalar, dim):
        super().__init__(event_ndims_in=1)
        self._scalar, self._dim = scalar, dim

    def forward_and_log_det(self, x):
        checks.events(x, self._dim)
        y, log_det = self._scalar.forward_and_log_det(x)
        return y, log_det.sum(-1)

    def inverse_and_log_det(self, y):
        checks.events(y, self._dim, "y")
        x, log_det = self._scalar.inverse_and_log_det(y)
        return x, log_det.sum(-1)
