"""A categorical distribution that is cheap to sample from."""

import itertools
import math

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import wide
from ..protocol import Array, Shape
from .divergence import exact
from .drawn import Drawn


@exact
class Levels(Drawn, distrax.Categorical):
    """p(v) = softmax(logits)_v of levels v = 0..K-1, in nats: a categorical distribution.

    logits: [..., K]; the batch shape is [...]

    A sample inverts the CDF with one uniform random number, where distrax takes K, which matters in
    the small steps of a sampler. If the logits are invalid (NaN, +∞, or all -∞) it is -1, no level.
    `log_prob` of values that are not integers raises InputError.
    """

    def __init__(self, logits: Array):
        checks.floating(logits, "logits")
        if not jnp.ndim(logits):
            raise checks.InputError("logits must have shape [..., K]; got ().")
        super().__init__(logits=logits)
        self._given = logits  # those of distrax are normalised, for which a draw has no use

    @property
    def batch_shape(self) -> Shape:
        return self.logits.shape[:-1]

    def mean(self) -> Array:
        """E[v] = Σ_v v p(v)."""
        return self.probs @ jnp.arange(self.num_categories, dtype=self.probs.dtype)

    def variance(self) -> Array:
        """E[(v - E[v])²] = Σ_v (v - E[v])² p(v)."""
        levels = jnp.arange(self.num_categories, dtype=self.probs.dtype)
        return (self.probs * (levels - self.mean()[..., None]) ** 2).sum(-1)

    def log_prob(self, value: Array) -> Array:
        """log p(v), and -inf outside of 0..K-1; distrax would give 0 for v = 2.5."""
        checks.numbers(value, "value")
        if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
            raise checks.InputError(f"value must be integers; got {jnp.result_type(value)}.")
        return super().log_prob(value)

    def _sample_n(self, key, n):
        """By groups of levels first, then by the levels of the group drawn: see `_group_sizes`.

        t stays below the sum of the group, so that rounding leads to no level that is impossible.
        """
        logits = jax.lax.stop_gradient(self._given)  # a choice has no gradient
        logits = logits.astype(wide(logits))  # or u would have 128 values
        left = jnp.exp(logits - logits.max(-1, keepdims=True))[None]  # p of what may yet be drawn
        u = jax.random.uniform(key, (n, *self.batch_shape), left.dtype)
        drawn, t, total = 0, None, None
        for size in _group_sizes(self.num_categories):
            groups = _in_groups(left, size)  # [n, *batch, groups, size]
            until = _running_sums(groups.sum(-1))
            if total is None or t is None:
                total, t = until[-1], until[-1] * u
            else:
                t = jnp.minimum(t, jnp.nextafter(until[-1], jnp.zeros_like(t)))
            place, before = _first_above(until, t)
            drawn, t = drawn + place * size, t - before
            left = jnp.take_along_axis(groups, place[..., None, None], -2)[..., 0, :]
        assert total is not None
        return jnp.where(total > 0, drawn, -1)


WRITTEN_OUT = 64  # the most sums written out one by one


def _group_sizes(num: int) -> list[int]:
    """Levels of a group in each choice, the last 1: [1] for few levels, [16, 1] for 512.

    Sums over all levels would be most of the time where there are more than 64.
    """
    depth = 1
    while WRITTEN_OUT**depth < num:
        depth += 1
    return [2 ** round(math.log2(num) * (depth - i) / depth) for i in range(1, depth)] + [1]


def _in_groups(p: Array, size: int) -> Array:
    """p [..., K] as [..., groups, size], 0 where K is no product of both."""
    groups = -(-p.shape[-1] // size)
    p = jnp.pad(p, [(0, 0)] * (p.ndim - 1) + [(0, groups * size - p.shape[-1])])
    return p.reshape(*p.shape[:-1], groups, size)


def _running_sums(p: Array) -> list[Array]:
    """Σ_{j ≤ k} p_j [...] of p [..., m] for k = 0..m-1.

    Written out, they are one loop over the rows, in which what is made of them is part of the same
    loop; `jnp.cumsum` takes a CPU up to five times as long.
    """
    return list(itertools.accumulate(jnp.moveaxis(p, -1, 0)))


def _first_above(rising: list[Array], t: Array) -> tuple[Array, Array]:
    """The first place whose sum is above t, the last where none is; and the sum before it."""
    place, before = jnp.zeros(t.shape, jnp.int32), jnp.zeros_like(t)
    for sum_until in rising[:-1]:
        below = sum_until <= t
        place, before = place + below, jnp.where(below, sum_until, before)
    return place, before
