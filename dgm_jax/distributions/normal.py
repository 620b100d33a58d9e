"""The base of most flows."""

import distrax
import jax.numpy as jnp

from .. import checks
from ..protocol import Density


def standard_normal(dim: int) -> Density:
    """N(0, I_d): log p(z) = -½ ‖z‖² - d/2 log 2π, in nats. No parameters.

    Given conditions [*batch, c], a batch of independent copies, so that each has its own noise.
    """
    checks.positive_int(dim, "dim")

    def dist(params, cond=None):
        shape = () if cond is None else cond.shape[:-1]
        return distrax.MultivariateNormalDiag(jnp.zeros((*shape, dim)), jnp.ones((*shape, dim)))

    return Density(lambda key: {}, dist)
