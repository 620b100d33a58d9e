"""p(z) that is learned: mixtures. Flows and autoregressive densities are priors as they are.

vae(..., prior=pushforward(flows.realnvp(n), standard_normal(n)))
vae(..., prior=autoregressive.made(n, likelihoods.gaussian(), hidden=(100,)))
"""

import math
from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import soft_bound
from ..distributions.divergence import exact
from ..distributions.drawn import Drawn
from ..protocol import Array, Density, Params, Shape
from .posteriors import LARGEST_LOG_SCALE, Normal


def mixture_prior(num_latents: int, *, num_components: int) -> Density:
    """p(z) = Σ_k π_k N(z; μ_k, diag σ_k²), of learned weights, means and scales.

    Parameters {"logits" [K], "means" [K, n], "log_scales" [K, n]}. It starts near N(0, I): means
    drawn from N(0, ½ I), variances ½, equal weights. Cost: K n for each z.
    """
    num_latents = checks.positive_int(num_latents, "num_latents")
    num = checks.positive_int(num_components, "num_components")

    def init(key):
        checks.key(key)
        means = jax.random.normal(key, (num, num_latents)) * math.sqrt(0.5)
        log_scales = jnp.full((num, num_latents), 0.5 * math.log(0.5))
        return {"logits": jnp.zeros(num), "means": means, "log_scales": log_scales}

    def component(params):
        scales = jnp.exp(soft_bound(params["log_scales"], LARGEST_LOG_SCALE))
        return Normal(params["means"], scales)

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        checks.parameters(params, init)
        each = {name: params[name] for name in ("means", "log_scales")}
        return Mixture(component, each, jax.nn.log_softmax(params["logits"]))

    return Density(init, dist)


@exact
class Mixture(Drawn, distrax.Distribution):
    """Σ_k π_k p(z; θ_k): log p(z) = log Σ_k exp(log π_k + log p(z; θ_k)), in nats.

    component: θ [..., *] -> the distributions p(z; θ) of batch shape [...]; each: θ_k, a tree of
    arrays with the K components as first axis; batch_shape: what else is in the batch of a
    component, such as conditions. Costs: `log_prob` makes all K components and scores each z by
    all; a sample makes one, that of its own k. The choice of k has no gradient.
    """

    reparametrised = False

    def __init__(
        self,
        component: Callable[[Params], distrax.Distribution],
        each: Params,
        log_weights: Array,
        *,
        batch_shape: Shape = (),
    ):
        super().__init__()
        ones = (1,) * len(batch_shape)
        apart = jax.tree.map(lambda a: a.reshape(a.shape[0], *ones, *a.shape[1:]), each)
        self._component, self._each, self._log_weights = component, each, log_weights
        self._all, self._batch_shape = component(apart), tuple(batch_shape)

    @property
    def event_shape(self):
        return self._all.event_shape

    @property
    def batch_shape(self):
        return self._batch_shape

    def log_prob(self, value):
        checks.event_shape(value, self.event_shape, "value")
        behind = len(self._batch_shape) + len(self.event_shape)
        value = jnp.reshape(value, (1,) * (behind - jnp.ndim(value)) + jnp.shape(value))
        of_each = self._all.log_prob(jnp.expand_dims(value, value.ndim - behind))
        return jax.nn.logsumexp(of_each + self._weights(of_each.ndim), axis=-1 - self._batch_ndim)

    def mean(self):
        """Σ_k π_k μ_k."""
        return self._average(self._all.mean())

    def variance(self):
        """Of each entry: Σ_k π_k (σ_k² + μ_k²) - μ²."""
        spread = jnp.square(self._all.mean() - self.mean()[None])
        return self._average(self._all.variance() + spread)

    @property
    def _batch_ndim(self):
        return len(self._batch_shape)

    def _weights(self, ndim):
        """log π_k along the axis of the components, before those of the batch."""
        shape = (-1, *(1,) * self._batch_ndim)
        return self._log_weights.reshape(*(1,) * (ndim - len(shape)), *shape)

    def _average(self, of_each):
        return jnp.tensordot(jnp.exp(self._log_weights), of_each, 1)

    def _sample_n(self, key, n):
        which_key, key = jax.random.split(key)
        shape = (n, *self._batch_shape)
        which = jax.random.categorical(which_key, self._log_weights, shape=shape)
        return self._component(jax.tree.map(lambda a: a[which], self._each)).sample(seed=key)

    def _sample_n_and_log_prob(self, key, n):
        z = self._sample_n(key, n)
        return z, self.log_prob(z)
