"""One-hot variables, and their relaxations on the simplex, which are differentiable samples.

With Gumbel noise g_k = -log(-log u_k) for each category,

    e_argmax(a + g)        is the category k with probability softmax(a)_k      (Gumbel-max)
    softmax((a + g) / τ)   is close to it for small τ, and differentiable       (Gumbel-softmax)

Both are distributions of z [..., K], so that a net that reads one can read the other.
"""

import math
from typing import Any

import distrax
import jax
import jax.numpy as jnp
from jax.nn import log_softmax, one_hot

from .. import checks
from ..arrays import same_rank, straight_through, wide
from ..protocol import Array, Shape
from .divergence import exact, kl_of_logits
from .drawn import Drawn
from .levels import Levels


class _Categories(Drawn):
    """What the distributions here share: logits [..., *codes, K] of a vector or grid of codes."""

    def __init__(self, logits: Array, *, event_ndims: int = 1):
        super().__init__()
        checks.floating(logits, "logits")
        self._event_ndims = checks.positive_int(event_ndims, "event_ndims")
        if jnp.ndim(logits) < event_ndims or jnp.shape(logits)[-1] < 2:
            raise checks.InputError(
                f"logits must have at least event_ndims={event_ndims} axes, the last of 2 or more "
                f"categories; got {jnp.shape(logits)}."
            )
        self._logits = logits

    @property
    def logits(self) -> Array:
        """log p(e_k) of each category up to a constant, [..., *codes, K]."""
        return self._logits

    @property
    def event_shape(self) -> Shape:
        return self._logits.shape[self._logits.ndim - self._event_ndims :]

    @property
    def batch_shape(self) -> Shape:
        return self._logits.shape[: self._logits.ndim - self._event_ndims]

    def _total(self, each):
        """Over the codes of an event: [..., *codes] -> [...]."""
        return each.sum(range(1 - self._event_ndims, 0))


@exact
class OneHot(_Categories):
    """P(z = e_k) = softmax(logits)_k, for one-hot z [..., K]; independent codes are a product.

    logits: [..., K], or [..., *codes, K] for several codes
    event_ndims: the axes of one event, 1 for one code, 2 for a vector of codes [n, K], 3 for a grid

    Log-probabilities are in nats, summed over the codes of an event. A sample takes one uniform
    random number per code (`Levels`). If the logits are invalid it is all zeros, which is no code
    and has probability 0. Samples have no gradient with respect to the logits.
    """

    reparametrised = False

    @property
    def probs(self) -> Array:
        """P(z = e_k), [..., *codes, K]."""
        return jax.nn.softmax(self._logits)

    def log_prob(self, value: Array) -> Array:
        """Σ over codes of log softmax(logits)_k where z = e_k; -∞ if z is not one-hot."""
        checks.event_shape(value, self.event_shape, "value")
        value, log_p = same_rank(value, log_softmax(self._logits))
        chosen = jnp.where(value == 1, log_p, 0).sum(-1)
        possible = ((value == 0) | (value == 1)).all(-1) & ((value == 1).sum(-1) == 1)
        return self._total(jnp.where(possible, chosen, -jnp.inf))

    def mean(self) -> Array:
        """E[z] = softmax(logits), [..., *codes, K]."""
        return self.probs

    def variance(self) -> Array:
        """p (1 - p) for each entry."""
        return self.probs * (1 - self.probs)

    def mode(self) -> Array:
        """The most likely one-hot z, [..., *codes, K]; of equal ones the first."""
        return one_hot(jnp.argmax(self._logits, -1), self.event_shape[-1], dtype=self.dtype)

    def entropy(self) -> Array:
        """-Σ_k p_k log p_k, summed over the codes of an event, in nats."""
        log_p = log_softmax(self._logits)
        held = jnp.where(log_p == -jnp.inf, 0, log_p)
        return self._total(-(jnp.exp(log_p) * held).sum(-1))

    def kl_to(self, other: distrax.Distribution) -> Array | None:
        """Σ over codes of Σ_k p_k (log p_k - log q_k), in nats: KL(p ‖ q) for q = other.

        other: a `OneHot` with codes of the same K; None is returned for any other distribution.
        Against the uniform q it is log K - H(p) for each code.
        """
        if not isinstance(other, OneHot):
            return None
        return self._total(kl_of_logits(*same_rank(self._logits, other.logits)))

    @property
    def dtype(self) -> jnp.dtype:
        return self._logits.dtype

    def _sample_n(self, key, n):
        drawn = Levels(self._logits)._sample_n(key, n)
        return one_hot(drawn, self.event_shape[-1], dtype=self.dtype)

    def _sample_n_and_log_prob(self, key, n):
        z = self._sample_n(key, n)
        return z, self.log_prob(z)


@exact
class Relaxed(_Categories):
    """z = softmax((a + g) / τ) on the simplex: the Concrete or Gumbel-softmax distribution.

        p(z) = (K - 1)! τ^{K-1} ∏_k e^{a_k} z_k^{-τ-1} / (Σ_k e^{a_k} z_k^{-τ})^K

    is its density with respect to the first K - 1 coordinates; g_k = -log(-log u_k) is Gumbel
    noise, u_k uniform.

    logits: a [..., K], or [..., *codes, K] for several independent codes
    temperature: τ, a number above 0 or a traced scalar; for small τ samples are nearly one-hot
    event_ndims: the axes of one event, 1 for one code, 2 for a vector of codes [n, K], 3 for a grid

    For any τ the argmax of z is category k with probability softmax(a)_k. KL between two of these
    has no closed form. If both have the same τ it does not depend on τ, since z ↦ z^τ / Σ z^τ maps
    one to the other, and it is larger than the KL of their categories. Samples are reparametrised.
    They are scored by log z and bounded below by about the smallest number of their dtype, so that
    each has a finite density. Maddison et al. (2017), "The Concrete distribution", definition 1;
    Jang et al. (2017), "Categorical reparameterization with Gumbel-softmax", equation 8 in the
    appendix.
    """

    reparametrised = True

    def __init__(self, logits: Array, temperature: float | Array, *, event_ndims: int = 1):
        super().__init__(logits, event_ndims=event_ndims)
        self._temperature = checked_temperature(temperature)

    @property
    def temperature(self) -> float | Array:
        """τ, as it was given."""
        return self._temperature

    @property
    def dtype(self) -> jnp.dtype:
        return self._logits.dtype

    def log_prob(self, value: Array) -> Array:
        """log p(z) in nats; -∞ outside of the simplex and on its boundary."""
        checks.event_of(value, self.event_shape, "value")
        inside = (value > 0).all(-1)
        off = jnp.abs(value.sum(-1) - 1) > 8 * value.shape[-1] * jnp.finfo(value.dtype).eps
        safe = jnp.where(inside[..., None], value, 0.5)
        found = self._of_log(jnp.log(safe))
        return self._total(jnp.where(inside & ~off, found, -jnp.inf))

    def _of_log(self, log_z):
        """log p of each code, [..., *codes], of log z."""
        num, t = log_z.shape[-1], self._temperature
        log_z, logits = same_rank(log_z, self._logits)
        peaks = logits - t * log_z
        of_peaks = peaks.sum(-1) - num * jax.nn.logsumexp(peaks, -1)
        constant = math.lgamma(num) + (num - 1) * jnp.log(t)
        return (constant + of_peaks - log_z.sum(-1)).astype(log_z.dtype)

    def _log_sample_n(self, key, n):
        log_z = log_softmax(noisy(self._logits, key, n) / self._temperature)
        return jnp.maximum(log_z, math.log(4 * jnp.finfo(self.dtype).tiny))

    def _sample_n(self, key, n):
        return jnp.exp(self._log_sample_n(key, n)).astype(self.dtype)

    def _sample_n_and_log_prob(self, key, n):
        log_z = self._log_sample_n(key, n)
        return jnp.exp(log_z).astype(self.dtype), self._total(self._of_log(log_z))


@exact
class StraightThroughOneHot(OneHot):
    """`OneHot`, whose samples e_argmax(a + g) have the gradient of softmax((a + g) / τ).

    Its samples are one-hot, and its probabilities are those of `OneHot`. The gradient is that of a
    relaxed sample (`Relaxed`) with the same Gumbel noise g; it is biased, so the distribution is
    not `reparametrised`.

    logits: a [..., K], or [..., *codes, K] for several codes
    temperature: τ, a number above 0 or a traced scalar
    event_ndims: the axes of one event, 1 for one code, 2 for a vector of codes [n, K], 3 for a grid
    Jang et al. (2017), "Categorical reparameterization with Gumbel-softmax", section 2.2.
    """

    def __init__(self, logits: Array, temperature: float | Array, *, event_ndims: int = 1):
        super().__init__(logits, event_ndims=event_ndims)
        self._temperature = checked_temperature(temperature)

    def _sample_n(self, key, n):
        a = noisy(self._logits, key, n)
        hard = one_hot(jnp.argmax(a, -1), a.shape[-1], dtype=self.dtype)
        return straight_through(hard, jax.nn.softmax(a / self._temperature).astype(self.dtype))


def noisy(logits: Array, key: Array, num: int) -> Array:
    """a + g [num, ...] with Gumbel noise g; the argmax is category k with probability softmax(a)_k.

    logits: a. `jax.random.gumbel` draws u above 0, so every g is finite. Arithmetic in float32 at
    least, since 16 bits hold too few values of u.
    """
    dtype = wide(logits)
    return logits[None].astype(dtype) + jax.random.gumbel(key, (num, *logits.shape), dtype)


def checked_temperature(value: Any, name: str = "temperature") -> float | Array:
    """A number above 0, or a traced scalar, whose value cannot be checked."""
    if not isinstance(value, jax.Array):
        return checks.positive(value, name)
    if value.shape or not jnp.issubdtype(value.dtype, jnp.floating):
        raise checks.InputError(
            f"{name} must be one floating number; got {value.dtype} of shape {value.shape}."
        )
    if checks.readable(value):
        checks.positive(value.item(), name)
    return value
