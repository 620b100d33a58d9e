"""A categorical distribution that is cheap to sample from."""

import math

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
    """p(v) = softmax(logits)_v of levels v = 0..K-1, sampled by inverting its CDF.

    logits: [..., K]. A sample takes one uniform random number, where distrax takes K, which matters
    in the small steps of a sampler. If the logits are invalid (NaN, +∞, or all -∞) it is -1, no
    level.
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
        """log p(v), and -inf outside of 0..K-1; distrax would give 0 for v = 2.5."""
        checks.numbers(value, "value")
        if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
            raise checks.InputError(f"value must be integers; got {jnp.result_type(value)}.")
        return super().log_prob(value)

    def _sample_n(self, key, n):
        """By blocks of about √K levels: which block, then which of its levels.

        A cumulative sum over all K would be most of the time. t stays below the sum of the block,
        so that rounding leads to no level that is impossible.
        """
        logits = jax.lax.stop_gradient(self.logits)  # a choice has no gradient
        logits = logits.astype(wide(logits))  # or u would have 128 values
        p = _in_blocks(jnp.exp(logits - logits.max(-1, keepdims=True)))  # [*batch, blocks, size]
        until = jnp.cumsum(p.sum(-1), -1)[None]
        t = until[..., -1] * jax.random.uniform(key, (n, *p.shape[:-2]), p.dtype)
        block = _first_above(until, t)
        before = jnp.concatenate([jnp.zeros_like(until[..., :1]), until[..., :-1]], -1)
        t = t - jnp.take_along_axis(before, block[..., None], -1)[..., 0]
        within = jnp.take_along_axis(p[None], block[..., None, None], -2)[..., 0, :]
        within = jnp.cumsum(within, -1)
        t = jnp.minimum(t, jnp.nextafter(within[..., -1], jnp.zeros_like(t)))
        drawn = block * p.shape[-1] + _first_above(within, t)
        return jnp.where(until[..., -1] > 0, drawn, -1)


def _in_blocks(p: Array) -> Array:
    """p [..., K] as [..., blocks, size], 0 where K is no product of both; few K are one block."""
    num = p.shape[-1]
    size = num if num < 32 else 2 ** round(math.log2(num) / 2)
    blocks = -(-num // size)
    if blocks * size > num:
        p = jnp.pad(p, [(0, 0)] * (p.ndim - 1) + [(0, blocks * size - num)])
    return p.reshape(*p.shape[:-1], blocks, size)


def _first_above(rising: Array, t: Array) -> Array:
    """The first place of rising [..., m] that is above t [...]; the last where none is."""
    place = (rising <= t[..., None]).sum(-1, dtype=jnp.int32)
    return jnp.minimum(place, rising.shape[-1] - 1)
