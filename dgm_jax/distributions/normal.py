"""The standard normal distribution, the base of most flows."""

import math

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import in_a_row
from ..protocol import Array, Density
from .divergence import exact
from .drawn import Drawn


def standard_normal(dim: int) -> Density:
    """N(0, I_d): log p(z) = -½ ‖z‖² - d/2 log 2π, in nats, for vectors z [..., d].

    The base of most flows and the prior of most latent variables. It has no parameters (params =
    {}) and no condition.

    dim: d
    Returns a `Density`; standard_normal(2).dist({}).sample(seed=key, sample_shape=10) is [10, 2].
    """
    dim = checks.positive_int(dim, "dim")

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return _Normal(jnp.zeros(dim), jnp.ones(dim))

    return Density(lambda key: {}, dist)


@exact
class _Normal(Drawn, distrax.MultivariateNormalDiag):
    """N(0, I) as distrax knows it, with the arithmetic of the formula."""

    def log_prob(self, value: Array) -> Array:
        checks.event_shape(value, self.event_shape, "value")
        value = jnp.asarray(value, jnp.result_type(value, self.dtype))
        return -0.5 * jnp.square(value).sum(-1) - 0.5 * math.log(2 * math.pi) * self.event_shape[0]

    @property
    def dtype(self) -> jnp.dtype:
        return self.loc.dtype

    def _sample_n(self, key, n):
        return in_a_row(jax.random.normal, key, (n, *self.event_shape), self.dtype)

    def _sample_n_and_log_prob(self, key, n):
        x = self._sample_n(key, n)
        return x, self.log_prob(x)
