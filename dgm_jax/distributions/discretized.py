"""Distributions on levels, and the discretised mixture of logistics of PixelCNN++."""

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, log_softmax, logsumexp

from .. import checks
from ..arrays import same_rank, wide
from ..protocol import Array, Shape
from .divergence import exact
from .drawn import Drawn
from .levels import Levels


class OnLevels(Drawn):
    """Base class of distributions on levels 0..K-1 with log-probabilities `logits`."""

    def __init__(self, num_levels: int):
        super().__init__()
        self._num_levels = checks.positive_int(num_levels, "num_levels", least=2)

    @property
    def event_shape(self) -> Shape:
        return ()

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.int32

    @property
    def num_levels(self) -> int:
        """K, the number of levels."""
        return self._num_levels

    @property
    def logits(self) -> Array:
        """log P(v) of all levels, [..., K]."""
        levels = jnp.arange(self._num_levels)
        levels = levels.reshape(-1, *[1] * len(self.batch_shape))
        return jnp.moveaxis(self.log_prob(levels), 0, -1)

    def mean(self) -> Array:
        """E[v] = Σ_v v P(v), at the cost of `logits`."""
        p = jnp.exp(self.logits)
        return p @ jnp.arange(self._num_levels, dtype=p.dtype)

    def variance(self) -> Array:
        """E[(v - E[v])²] = Σ_v (v - E[v])² P(v), at the cost of `logits`."""
        p = jnp.exp(self.logits)
        levels = jnp.arange(self._num_levels, dtype=p.dtype)
        return (p * (levels - (p @ levels)[..., None]) ** 2).sum(-1)

    def entropy(self) -> Array:
        """-Σ_v P(v) log P(v), in nats, at the cost of `logits`."""
        log_p = self.logits
        return -(jnp.exp(log_p) * log_p).sum(-1)

    def mode(self) -> Array:
        """The most likely level, at the cost of `logits`."""
        return jnp.argmax(self.logits, -1).astype(self.dtype)

    def _check_levels(self, value):
        checks.numbers(value, "value")
        if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
            raise checks.InputError(
                f"value must be levels, integers in 0..{self._num_levels - 1}; got "
                f"{jnp.result_type(value)}. Continuous data need a continuous density."
            )


@exact
class DiscretizedLogisticMixture(OnLevels):
    """P(v) = Σ_j π_j [σ((v⁺ - μ_j) / s_j) - σ((v⁻ - μ_j) / s_j)] for levels v = 0..K-1, in nats.

    The K levels are spread evenly over [-1, 1], and v⁻, v⁺ lie half a level below and above v,
    except that v⁻ = -∞ for v = 0 and v⁺ = ∞ for v = K-1. The outer levels contain the tails, so
    that Σ_v P(v) = 1 for all parameters. σ(u) = 1 / (1 + e^-u) is the CDF of a logistic.

    logits: of the weights π, [..., components]
    means, log_scales: μ and log s, [..., components], on the scale of [-1, 1]
    num_levels: K, such as 256 grey levels

    With a = (v⁺ - μ) / s and b = (v⁻ - μ) / s, σ(a) - σ(b) = σ(a) σ(-b) (1 - e^{b-a}), where b - a
    does not depend on μ, so the logarithm is a sum of three terms. Each is finite, and so is its
    gradient, even if both σ round to 0 or to 1. Arithmetic in float32 at least.

    Cost: `log_prob` 4 logarithms per component; `logits`, `mean`, `variance`, `entropy` and `mode`
    K times that. Salimans et al. (2017), "PixelCNN++", equation 2.
    """

    def __init__(self, logits: Array, means: Array, log_scales: Array, *, num_levels: int = 256):
        super().__init__(num_levels)
        for value, name in ((logits, "logits"), (means, "means"), (log_scales, "log_scales")):
            checks.array(value, name)
        shapes = {jnp.shape(a)[-1:] for a in (logits, means, log_scales)}
        if len(shapes) > 1 or shapes == {()}:
            raise checks.InputError(
                "logits, means and log_scales must have one number of components in their last "
                f"axis; got {jnp.shape(logits)}, {jnp.shape(means)} and {jnp.shape(log_scales)}."
            )
        dtype = wide(logits, means, log_scales)
        logits, means, log_scales = (jnp.asarray(a, dtype) for a in (logits, means, log_scales))
        half = (self._num_levels - 1) / 2  # levels from the middle to the end: half of [-1, 1]
        self._log_weights = log_softmax(logits)
        self._means = half * (means + 1)  # in levels, where all edges v ± ½ are exact numbers
        self._log_scales = log_scales + jnp.log(half).astype(jnp.result_type(log_scales))

    @property
    def batch_shape(self) -> Shape:
        parts = (self._log_weights, self._means, self._log_scales)
        return jnp.broadcast_shapes(*(a.shape for a in parts))[:-1]

    def log_prob(self, value: Array) -> Array:
        """log P(v); -inf outside of 0..K-1."""
        self._check_levels(value)
        last = self._num_levels - 1
        parts = (self._log_weights, self._means, self._log_scales)
        v, log_weights, means, log_scales = same_rank(jnp.asarray(value)[..., None], *parts)

        def edge(v):  # (v - ½ - μ) / s below level v: one expression, so that neighbours agree
            return (v - 0.5 - means) * jnp.exp(-log_scales)

        above, below = edge(v + 1), edge(v)
        log_width = log1mexp(jnp.exp(-log_scales))
        log_p = jnp.where(v == last, 0, log_sigmoid(above))
        log_p += jnp.where(v == 0, 0, log_sigmoid(-below))
        log_p += jnp.where((v == 0) | (v == last), 0, log_width)
        log_p = logsumexp(log_weights + log_p, -1)
        return jnp.where((v[..., 0] < 0) | (v[..., 0] > last), -jnp.inf, log_p)

    def _sample_n(self, key, n):
        """A component, its logistic by the inverse of its CDF, and the nearest level."""
        component_key, logistic_key = jax.random.split(key)
        shape = (n, *self.batch_shape)
        weights = jnp.broadcast_to(
            self._log_weights, (*self.batch_shape, self._log_weights.shape[-1])
        )
        j = Levels(weights).sample(seed=component_key, sample_shape=n)[..., None]

        def of_component(parameter):
            parameter = jnp.broadcast_to(parameter, (*shape, parameter.shape[-1]))
            return jnp.take_along_axis(parameter, j, -1)[..., 0]

        noise = jax.random.logistic(logistic_key, shape, self._means.dtype)
        x = of_component(self._means) + jnp.exp(of_component(self._log_scales)) * noise
        return jnp.clip(jnp.round(x), 0, self._num_levels - 1).astype(self.dtype)


def log1mexp(x: Array) -> Array:
    """log(1 - e^-x) for x > 0, computed by expm1 for small x and by log1p for large x."""
    near = x < 0.6931
    small, large = jnp.where(near, x, 1.0), jnp.where(near, 1.0, x)
    return jnp.where(near, jnp.log(-jnp.expm1(-small)), jnp.log1p(-jnp.exp(-large)))
