"""The base of most flows."""

import distrax
import jax.numpy as jnp

from .. import checks
from ..protocol import Density


def standard_normal(dim: int) -> Density:
    """N(0, I_d): log p(z) = -½ ‖z‖² - d/2 log 2π, in nats. No parameters and no condition."""
    checks.positive_int(dim, "dim")

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return _Normal(jnp.zeros(dim), jnp.ones(dim))

    return Density(lambda key: {}, dist)


class _Normal(distrax.MultivariateNormalDiag):
    """Of typed keys only; distrax would take an integer and make a legacy key of it."""

    def _sample_n(self, key, n):
        checks.key(key, "seed")
        return super()._sample_n(key, n)

    def _sample_n_and_log_prob(self, key, n):
        checks.key(key, "seed")
        return super()._sample_n_and_log_prob(key, n)
