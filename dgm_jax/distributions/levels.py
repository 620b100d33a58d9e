"""A categorical distribution that is cheap to draw from."""

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import wide
from ..protocol import Array
from .divergence import exact
from .drawn import Drawn


@exact
class Levels(Drawn, distrax.Categorical):
    """p(v) = softmax(logits)_v of levels v = 0..K-1, drawn by the inverse of its CDF.

    A draw takes one uniform number, where distrax takes K, which matters in the small steps of a
    sampler. Where the logits are no distribution (NaN, +∞, or all -∞) the draw is -1, no level.
    """

    def __init__(self, logits: Array):
        checks.floating(logits, "logits")
        if not jnp.ndim(logits):
            raise checks.InputError("logits must have shape [..., K]; got ().")
        super().__init__(logits=logits)

    @property
    def batch_shape(self):
        return self.logits.shape[:-1]

    def mean(self):
        """E[v] = Σ_v v p(v)."""
        return self.probs @ jnp.arange(self.num_categories, dtype=self.probs.dtype)

    def variance(self):
        """E[(v - E[v])²] = Σ_v (v - E[v])² p(v)."""
        levels = jnp.arange(self.num_categories, dtype=self.probs.dtype)
        return (self.probs * (levels - self.mean()[..., None]) ** 2).sum(-1)

    def log_prob(self, value):
        """log p(v), -inf outside of 0..K-1; of 2.5 distrax would say 0."""
        checks.numbers(value, "value")
        if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
            raise checks.InputError(f"value must be integers; got {jnp.result_type(value)}.")
        return super().log_prob(value)

    def _sample_n(self, key, n):
        logits = self.logits.astype(wide(self.logits))  # or u would have 128 values
        cdf = jnp.cumsum(jax.nn.softmax(logits), -1)
        u = jax.random.uniform(key, (n, *cdf.shape[:-1]), cdf.dtype)
        cdf = cdf[None]
        drawn = (cdf <= (cdf[..., -1] * u)[..., None]).sum(-1, dtype=jnp.int32)
        return jnp.where(cdf[..., -1] > 0, drawn, -1)
