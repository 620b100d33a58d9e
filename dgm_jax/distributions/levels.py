"""A categorical distribution that is cheap to draw from."""

import distrax
import jax
import jax.numpy as jnp

from ..arrays import wide
from .divergence import exact


@exact
class Levels(distrax.Categorical):
    """p(v) = softmax(logits)_v of levels v = 0..K-1, drawn by the inverse of its CDF.

    A draw takes one uniform number, where distrax takes K, which matters in the small steps of a
    sampler. Where the logits are no distribution (NaN, +∞, or all -∞) the draw is -1, no level.
    """

    def mean(self):
        """E[v] = Σ_v v p(v)."""
        return self.probs @ jnp.arange(self.num_categories, dtype=self.probs.dtype)

    def variance(self):
        """E[(v - E[v])²] = Σ_v (v - E[v])² p(v)."""
        levels = jnp.arange(self.num_categories, dtype=self.probs.dtype)
        return (self.probs * (levels - self.mean()[..., None]) ** 2).sum(-1)

    def _sample_n(self, key, n):
        logits = self.logits.astype(wide(self.logits))  # or u would have 128 values
        cdf = jnp.cumsum(jax.nn.softmax(logits), -1)
        u = jax.random.uniform(key, (n, *cdf.shape[:-1]), cdf.dtype)
        cdf = cdf[None]
        drawn = (cdf <= (cdf[..., -1] * u)[..., None]).sum(-1, dtype=jnp.int32)
        return jnp.where(cdf[..., -1] > 0, drawn, -1)
