"""Noise that turns levels into real numbers, and the distribution of quantised real numbers."""

from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import in_a_row, same_rank, within_cell
from ..protocol import Array, Density, Key, Shape
from .divergence import exact
from .drawn import Drawn


def uniform_noise(shape: Shape) -> Density:
    """q(u | x) = 1 on [0, 1)^D for levels x [..., *shape] with D entries.

    Uniform dequantisation noise.

    shape: that of one x, and of u

    Returns a `Density` without parameters (params = {}): dist({}, x) takes the levels as its
    condition, and samples u of the shape of x with log-density 0. It is the baseline of a learned q
    (`flows.variational_noise`). `data.preprocessing.dequantize` computes x + u directly.
    """
    shape = checks.shape(shape)

    def dist(params, cond=None, *, key=None):
        zeros = jnp.zeros((*checks.condition(cond, shape), *shape))
        return _Uniform(distrax.Uniform(zeros, zeros + 1), len(shape))

    return Density(lambda key: {}, dist, cond_shape=shape)


@exact
class _Uniform(Drawn, distrax.Independent):
    """Independent uniform numbers."""

    def log_prob(self, value: Array) -> Array:
        each = self.distribution
        low, high, value = same_rank(each.low, each.high, value)
        return self._reduce(jnp.sum, distrax.Uniform(low, high).log_prob(value))


@exact
class Quantized(Drawn):
    """P(x) = ∫ p(x + u) du over u ∈ [0, 1)^D: levels x = ⌊y⌋ in 0..num_levels-1 of real y ~ p.

    log_prob(x) = log p(x + u) - log q(u | x) for one u ~ q(· | x), in nats: a lower bound of log
    P(x) in expectation; -∞ outside of the levels. A sample y outside of them is clipped.

    distribution: p, of real y, whose unit is one level
    num_levels: the number of levels, at least 2
    noise: noise(x) -> q(· | x); None is uniform noise, with log q = 0
    key: of u; without one a fixed key, so that scores repeat
    Theis et al. (2016), "A note on the evaluation of generative models", section 3.1; Ho et al.
    (2019), "Flow++", eq. 12.
    """

    def __init__(
        self,
        distribution: distrax.Distribution,
        num_levels: int,
        noise: Callable[[Array], distrax.Distribution] | None = None,
        *,
        key: Key | None = None,
    ):
        super().__init__()
        checks.instance(distribution, distrax.Distribution, "distribution")
        self.distribution = distribution
        self.num_levels = checks.positive_int(num_levels, "num_levels", least=2)
        if noise is not None:
            checks.function(noise, "noise")
        if key is not None:
            checks.key(key)
        self._noise = noise
        self._key = jax.random.key(0) if key is None else key

    @property
    def event_shape(self) -> Shape:
        return self.distribution.event_shape

    @property
    def batch_shape(self) -> Shape:
        return self.distribution.batch_shape

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.int32

    def log_prob(self, value: Array) -> Array:
        """log p(x + u) - log q(u | x) in nats, [...], with one draw of u; -∞ outside of the levels.

        value: x [..., *event_shape], integers. The same x has the same u at each call.
        """
        checks.levels_of(value, tuple(self.event_shape), self.num_levels)
        key = jax.random.clone(self._key)
        if self._noise is None:
            u, log_q = in_a_row(jax.random.uniform, key, jnp.shape(value), jnp.float32), 0.0
        else:
            u, log_q = self._noise(value).sample_and_log_prob(seed=key)
        log_p = self.distribution.log_prob(within_cell(jnp.asarray(value, u.dtype), u)) - log_q
        known = (value >= 0) & (value < self.num_levels)
        return jnp.where(known.all(tuple(range(-len(self.event_shape), 0))), log_p, -jnp.inf)

    def _sample_n(self, key, n):
        y = self.distribution.sample(seed=key, sample_shape=(n,))
        return jnp.clip(jnp.floor(y), 0, self.num_levels - 1).astype(jnp.int32)
