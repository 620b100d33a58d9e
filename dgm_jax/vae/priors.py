"""Learned priors p(z): mixtures. Flows and autoregressive densities can be priors as they are.

vae(..., prior=pushforward(flows.realnvp(n), standard_normal(n)))
vae(..., prior=autoregressive.made(n, likelihoods.gaussian(), hidden=(100,)))
"""

import math
from collections.abc import Callable
from functools import partial

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import same_rank, soft_bound
from ..distributions import Levels
from ..distributions.divergence import exact
from ..distributions.drawn import Drawn
from ..protocol import Array, Density, Params, Shape
from .posteriors import LARGEST_LOG_SCALE, Normal


def mixture_prior(num_latents: int, *, num_components: int) -> Density:
    """p(z) = Σ_k π_k N(z; μ_k, diag σ_k²), with trained weights, means and scales.

    num_latents: n, the size of z. num_components: K

    Returns a density without condition, for `vae(..., prior=...)`, with parameters {"logits" [K],
    "means" [K, n], "log_scales" [K, n]}: π = softmax(logits), and σ = e^s with s =
    7 tanh(log_scales / 7). It starts near N(0, I): means drawn from N(0, ½ I), variances ½, equal
    weights. Samples are not reparametrised. Cost: K n for each z. Tomczak and Welling (2018), "VAE
    with a VampPrior", section 5, has it as a baseline.
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

    component: maps θ [..., *] to the distributions p(z; θ) with batch shape [...]; each: the θ_k, a
    tree of arrays with the K components as first axis; batch_shape: further batch axes of a
    component, such as those of conditions. Costs: `log_prob` scores each z under all K components,
    for diagonal Gaussians by two matrix products; a sample evaluates one component. The choice of k
    has no gradient.
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
    def event_shape(self) -> Shape:
        return self._all.event_shape

    @property
    def batch_shape(self) -> Shape:
        return self._batch_shape

    def log_prob(self, value: Array) -> Array:
        checks.event_shape(value, self.event_shape, "value")
        behind = self._batch_ndim + len(self.event_shape)
        value = jnp.reshape(value, (1,) * (behind - jnp.ndim(value)) + jnp.shape(value))
        if isinstance(self._all, Normal):
            of_each = _of_gaussians(self._all, value)
        else:
            of_each = self._all.log_prob(jnp.expand_dims(value, value.ndim - behind))
            of_each = jnp.moveaxis(of_each, -1 - self._batch_ndim, -1)
        return jax.nn.logsumexp(sum(same_rank(of_each, self._log_weights)), axis=-1)

    def mean(self) -> Array:
        """Σ_k π_k μ_k."""
        return self._average(self._all.mean())

    def variance(self) -> Array:
        """Σ_k π_k (σ_k² + μ_k²) - μ² of each entry."""
        spread = jnp.square(self._all.mean() - self.mean()[None])
        return self._average(self._all.variance() + spread)

    @property
    def _batch_ndim(self):
        return len(self._batch_shape)

    def _average(self, of_each):
        return jnp.tensordot(jnp.exp(self._log_weights), of_each, 1)

    def _sample_n(self, key, n):
        which_key, key = jax.random.split(key)
        shape = (n, *self._batch_shape)
        which = Levels(self._log_weights).sample(seed=which_key, sample_shape=shape)
        return self._component(jax.tree.map(lambda a: a[which], self._each)).sample(seed=key)

    def _sample_n_and_log_prob(self, key, n):
        z = self._sample_n(key, n)
        return z, self.log_prob(z)


def _of_gaussians(dist: Normal, value: Array) -> Array:
    """log N(z; μ_k, diag σ_k²) of z [..., *batch, n] for all k of [K, *batch, n]: [..., *batch, K].

    Σ_i (z_i - μ_ki)² / σ_ki² multiplied out is two matrix products, whose gradient is many times
    faster than that of the differences, [..., K, n]. What cancels is small: z and μ_k are taken
    from the mean of all μ_k, of which the result does not depend.
    """
    centre = jax.lax.stop_gradient(dist.loc.mean(0))
    mean, weight = dist.loc - centre[None], dist.scale_diag**-2
    value = jnp.subtract(*same_rank(value, centre))
    product = partial(jnp.einsum, "...n,k...n->...k", precision="highest")
    constant = (jnp.log(dist.scale_diag) + 0.5 * mean**2 * weight).sum(-1)
    constant = constant + 0.5 * math.log(2 * math.pi) * mean.shape[-1]
    crossed = product(value, mean * weight) - 0.5 * product(value**2, weight)
    return jnp.subtract(*same_rank(crossed, jnp.moveaxis(constant, 0, -1)))
