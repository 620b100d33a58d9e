"""A normal distribution on levels: the last step of a diffusion model of images."""

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from .. import checks
from ..arrays import same_rank, wide
from ..protocol import Array, Shape
from .discretized import log1mexp
from .divergence import exact
from .drawn import Drawn


@exact
class DiscretizedNormal(Drawn):
    """P(v) = Φ((v⁺ - μ) / s) - Φ((v⁻ - μ) / s) for levels v = 0..K-1, in nats.

    Φ is the CDF of N(0, 1). The K levels are spread evenly over [-1, 1], and v⁻, v⁺ lie half a
    level below and above v, except that v⁻ = -∞ for v = 0 and v⁺ = ∞ for v = K-1: so Σ_v P(v) = 1.

    mean, log_scale: μ and log s, [...], on the scale of [-1, 1]
    num_levels: K, such as 256 grey levels

    Above the mean the difference is taken of Φ(-·), so that it keeps its precision in both tails.
    Arithmetic in float32 at least. `mean`, `variance`, `mode` and `entropy` raise InputError. Ho et
    al. (2020), "Denoising diffusion probabilistic models", equation 13.
    """

    def __init__(self, mean: Array, log_scale: Array, *, num_levels: int = 256):
        super().__init__()
        num_levels = checks.positive_int(num_levels, "num_levels", least=2)
        checks.array(mean, "mean")
        checks.array(log_scale, "log_scale")
        checks.common_batch({"mean": jnp.shape(mean), "log_scale": jnp.shape(log_scale)})
        dtype = wide(mean, log_scale)
        half = (num_levels - 1) / 2
        self._num_levels = num_levels
        self._mean, self._scale = jnp.broadcast_arrays(
            half * (jnp.asarray(mean, dtype) + 1), half * jnp.exp(jnp.asarray(log_scale, dtype))
        )

    @property
    def event_shape(self) -> Shape:
        return ()

    @property
    def batch_shape(self) -> Shape:
        return self._mean.shape

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.int32

    @property
    def num_levels(self) -> int:
        """K, the number of levels."""
        return self._num_levels

    def log_prob(self, value: Array) -> Array:
        """log P(v); -inf outside of 0..K-1."""
        checks.numbers(value, "value")
        if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
            raise checks.InputError(
                f"value must be levels, integers in 0..{self._num_levels - 1}; got "
                f"{jnp.result_type(value)}. Continuous data need a continuous density."
            )
        last = self._num_levels - 1
        v, mean, scale = same_rank(jnp.asarray(value), self._mean, self._scale)
        below, above = (v - 0.5 - mean) / scale, (v + 0.5 - mean) / scale
        upper_half = below + above > 0  # there as much of the other tail
        near = log_ndtr(jnp.where(upper_half, -below, above))  # the larger of the two
        far = log_ndtr(jnp.where(upper_half, -above, below))
        log_p = near + log1mexp(jnp.maximum(near - far, jnp.finfo(near.dtype).tiny))
        log_p = jnp.where(v == 0, log_ndtr(above), log_p)
        log_p = jnp.where(v == last, log_ndtr(-below), log_p)
        return jnp.where((v < 0) | (v > last), -jnp.inf, log_p)

    def _sample_n(self, key, n):
        x = self._mean + self._scale * jax.random.normal(
            key, (n, *self.batch_shape), self._mean.dtype
        )
        return jnp.clip(jnp.round(x), 0, self._num_levels - 1).astype(self.dtype)
