"""A categorical law that is cheap to draw from."""

import distrax
import jax
import jax.numpy as jnp

from ..arrays import wide


class Levels(distrax.Categorical):
    """softmax(logits)[v] of levels v = 0..K-1, drawn by the inverse of its CDF.

    One uniform number a draw, where distrax takes K. In a sampler's small steps that matters: 18
    against 84 µs for 16 draws of 256 levels, where all of a WaveNet of 20 layers takes 96 (one CPU
    core). A draw of logits that are no law, NaN or +∞ or all -∞, is -1.
    """

    def _sample_n(self, key, n):
        logits = self.logits.astype(wide(self.logits))  # or u would have 128 values
        cdf = jnp.cumsum(jax.nn.softmax(logits), -1)
        u = cdf[..., -1] * jax.random.uniform(key, (n, *cdf.shape[:-1]), cdf.dtype)
        drawn = (cdf <= u[..., None]).sum(-1, dtype=jnp.int32)
        return jnp.where(cdf[..., -1] > 0, drawn, -1)
