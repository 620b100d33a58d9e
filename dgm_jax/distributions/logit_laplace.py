"""The logit-Laplace distribution on (0, 1), and its discretisation to levels."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logit

from .. import checks
from ..arrays import same_rank, wide
from ..protocol import Array, Shape
from .discretized import OnLevels, log1mexp
from .divergence import exact
from .drawn import Drawn

LOG_HALF = -0.6931471805599453


class _Located:
    """x = σ(μ + b ε), ε of Laplace's law: μ = loc and b = scale, [...]."""

    def _locate(self, loc, scale):
        for value, name in ((loc, "loc"), (scale, "scale")):
            checks.floating(value, name)
        checks.common_batch({"loc": jnp.shape(loc), "scale": jnp.shape(scale)})
        self._loc, self._scale = same_rank(loc, scale)

    @property
    def batch_shape(self) -> Shape:
        """The common shape of μ and b."""
        return jnp.broadcast_shapes(self._loc.shape, self._scale.shape)

    def _noisy(self, key, n):
        """σ(μ + b ε), strictly inside of (0, 1)."""
        dtype = wide(self._loc, self._scale)
        noise = jax.random.laplace(key, (n, *self.batch_shape), dtype)
        x = jax.nn.sigmoid(self._loc[None] + self._scale[None] * noise)
        tiny, eps = jnp.finfo(dtype).tiny, jnp.finfo(dtype).epsneg
        return jnp.clip(x, tiny, 1 - eps)


@exact
class LogitLaplace(_Located, Drawn):
    """p(x) = exp(-|logit x - μ| / b) / (2 b x (1 - x)) for x in (0, 1): logit x is Laplace(μ, b).

    loc, scale: μ and b, [...]; logit x = log x - log(1 - x)

    The density is infinite at 0 and 1 if b > 1, and so the paper maps pixels into [0.1, 0.9].
    `DiscretizedLogitLaplace` scores levels without such a map. `mean`, `variance`, `mode` and
    `entropy` raise InputError. Ramesh et al. (2021), "Zero-shot text-to-image generation", appendix
    A.3.
    """

    def __init__(self, loc: Array, scale: Array):
        super().__init__()
        self._locate(loc, scale)

    @property
    def event_shape(self) -> Shape:
        return ()

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.result_type(self._loc, self._scale)

    def log_prob(self, value: Array) -> Array:
        """log p(x) in nats; -∞ outside of (0, 1)."""
        checks.numbers(value, "value")
        value, loc, scale = same_rank(jnp.asarray(value), self._loc, self._scale)
        inside = (value > 0) & (value < 1)
        x = jnp.where(inside, value, 0.5)
        found = LOG_HALF - jnp.abs(logit(x) - loc) / scale - jnp.log(scale * x * (1 - x))
        return jnp.where(inside, found, -jnp.inf)

    def _sample_n(self, key, n):
        return self._noisy(key, n).astype(self.dtype)


@exact
class DiscretizedLogitLaplace(_Located, OnLevels):
    """P(v) = ∫ p(x) dx over [v / K, (v + 1) / K], p logit-Laplace, for levels v = 0..K-1.

    It is `LogitLaplace` with uniform dequantisation noise integrated out, so that -log P is the
    code length of a level, in nats. Every logarithm and its gradient is finite, however far μ is
    from v.

    loc, scale: μ and b of p(x) = exp(-|logit x - μ| / b) / (2 b x (1 - x)), [...]
    num_levels: K, such as 256 grey levels
    Cost: `log_prob` two logarithms; `logits`, `mean`, `variance`, `entropy` and `mode` K times
    that. Ramesh et al. (2021), "Zero-shot text-to-image generation", appendix A.3, for p.
    """

    def __init__(self, loc: Array, scale: Array, *, num_levels: int = 256):
        super().__init__(num_levels)
        self._locate(loc, scale)

    def log_prob(self, value: Array) -> Array:
        """log P(v) in nats; -∞ outside of 0..K-1."""
        self._check_levels(value)
        value, loc, scale = same_rank(jnp.asarray(value), self._loc, self._scale)
        dtype, last = wide(loc, scale), self._num_levels - 1
        loc, scale = loc.astype(dtype), scale.astype(dtype)
        first, final = value <= 0, value >= last

        def edge(v):  # logit(v / K), of an inner edge
            v = jnp.clip(v, 1, last).astype(dtype)
            return jnp.log(v) - jnp.log(self._num_levels - v)

        low, high = edge(value), edge(value + 1)
        a, b = (low - loc) / scale, (high - loc) / scale
        inner = ~(first | final)
        width = jnp.where(inner, (high - low) / scale, 1.0)
        log_width = jnp.where(inner, log1mexp(width), 0.0)
        # where all of the part lies on one side of μ, and where μ lies in it
        left, right = (b <= 0) & ~final, (a >= 0) & ~first
        below = jnp.where(first, 1.0, -jnp.expm1(jnp.minimum(a, 0)))  # 1 - 2 F(a), for a ≤ 0
        above = jnp.where(final, 1.0, -jnp.expm1(-jnp.maximum(b, 0)))  # 2 F(b) - 1, for b ≥ 0
        across = jnp.log(jnp.where(left | right, 1.0, (below + above) / 2))
        one_side = LOG_HALF + jnp.where(left, b, -a) + log_width
        found = jnp.where(left | right, one_side, across)
        return jnp.where((value < 0) | (value > last), -jnp.inf, found)

    def _sample_n(self, key, n):
        x = self._noisy(key, n)
        return jnp.minimum(jnp.floor(x * self._num_levels), self._num_levels - 1).astype(self.dtype)
