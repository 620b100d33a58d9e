"""One-hot codes, and what relaxes them: numbers on the simplex, with a gradient through the draw.

With Gumbel noise g_k = -log(-log u_k) for each category,

    e_argmax(a + g)        is the category k with probability softmax(a)_k      (Gumbel-max)
    softmax((a + g) / τ)   is near to it for a small τ, and differentiable      (Gumbel-softmax)

Both are distributions of z [..., K], so that what reads one reads the other.
"""

import math
from typing import Any

import distrax
import jax
import jax.numpy as jnp
from jax.nn import log_softmax, one_hot

from .. import checks
from ..arrays import same_rank, straight_through, wide
from ..protocol import Array
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
    def event_shape(self):
        return self._logits.shape[self._logits.ndim - self._event_ndims :]

    @property
    def batch_shape(self):
        return self._logits.shape[: self._logits.ndim - self._event_ndims]

    def _total(self, each):
        """Over the codes of an event: [..., *codes] -> [...]."""
        return each.sum(range(1 - self._event_ndims, 0))


@exact
class OneHot(_Categories):
    """P(z = e_k) = softmax(logits)_k, z one-hot numbers [..., K]; of independent codes a product.

    event_ndims: axes of one event, 1 for one code, 2 for a vector of codes [n, K], 3 for a grid.
    A draw takes one uniform number a code (`Levels`). Where the logits are no distribution it is
    all zeros, which is no code: its density is 0.
    """

    reparametrised = False

    @property
    def probs(self) -> Array:
        """P(z = e_k), [..., *codes, K]."""
        return jax.nn.softmax(self._logits)

    def log_prob(self, value):
        """Σ over codes of log softmax(logits)_k where z = e_k; -∞ of what is not one-hot."""
        checks.event_shape(value, self.event_shape, "value")
        value, log_p = same_rank(value, log_softmax(self._logits))
        chosen = jnp.where(value == 1, log_p, 0).sum(-1)
        possible = ((value == 0) | (value == 1)).all(-1) & ((value == 1).sum(-1) == 1)
        return self._total(jnp.where(possible, chosen, -jnp.inf))

    def mean(self):
        return self.probs

    def variance(self):
        """p (1 - p) of each entry."""
        return self.probs * (1 - self.probs)

    def mode(self):
        return one_hot(jnp.argmax(self._logits, -1), self.event_shape[-1], dtype=self.dtype)

    def entropy(self):
        """-Σ_k p_k log p_k, a sum over the codes of an event, in nats."""
        log_p = log_softmax(self._logits)
        held = jnp.where(log_p == -jnp.inf, 0, log_p)
        return self._total(-(jnp.exp(log_p) * held).sum(-1))

    def kl_to(self, other: distrax.Distribution) -> Array | None:
        """KL in nats, a sum over codes: log K - H for each against the uniform distribution."""
        if not isinstance(other, OneHot):
            return None
        return self._total(kl_of_logits(*same_rank(self._logits, other.logits)))

    @property
    def dtype(self):
        return self._logits.dtype

    def _sample_n(self, key, n):
        drawn = Levels(self._logits)._sample_n(key, n)
        return one_hot(drawn, self.event_shape[-1], dtype=self.dtype)

    def _sample_n_and_log_prob(self, key, n):
        z = self._sample_n(key, n)
        return z, self.log_prob(z)


@exact
class Relaxed(_Categories):
    """Concrete or Gumbel-softmax, z = softmax((a + g) / τ) inside of the simplex, with density

        p(z) = (K - 1)! τ^{K-1} ∏_k e^{a_k} z_k^{-τ-1} / (Σ_k e^{a_k} z_k^{-τ})^K

    by the first K - 1 coordinates. Of independent codes a product; event_ndims as in `OneHot`.

    The argmax of z is the category k with probability softmax(a)_k, whatever τ > 0 is. But z itself
    is no code. KL between two of these has no closed form here. With one τ for both it is the same
    for every τ, since z ↦ z^τ / Σ z^τ makes one of another; and it is above the divergence of their
    categories, as z tells more than its argmax. Draws are reparametrised, scored by log z, and not
    below about the smallest number of their dtype: so each has a density, here and elsewhere.
    temperature: τ, a number or a traced scalar.
    Maddison et al. (2017), "The Concrete distribution", definition 1; Jang et al. (2017),
    "Categorical reparameterization with Gumbel-softmax", equation 8 in the appendix.
    """

    reparametrised = True

    def __init__(self, logits: Array, temperature: float | Array, *, event_ndims: int = 1):
        super().__init__(logits, event_ndims=event_ndims)
        self._temperature = checked_temperature(temperature)

    @property
    def temperature(self) -> float | Array:
        return self._temperature

    @property
    def dtype(self):
        return self._logits.dtype

    def log_prob(self, value):
        """log p(z) in nats; -∞ off the simplex and on its border, where no draw is."""
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
    """`OneHot`, whose draws e_argmax(a + g) have the gradient of softmax((a + g) / τ).

    The law is that of `OneHot`; the gradient is that of a relaxed draw of the same noise, taken at
    the code: a biased one, so it is not `reparametrised`. Jang et al. (2017), section 2.2.
    """

    def __init__(self, logits: Array, temperature: float | Array, *, event_ndims: int = 1):
        super().__init__(logits, event_ndims=event_ndims)
        self._temperature = checked_temperature(temperature)

    def _sample_n(self, key, n):
        a = noisy(self._logits, key, n)
        hard = one_hot(jnp.argmax(a, -1), a.shape[-1], dtype=self.dtype)
        return straight_through(hard, jax.nn.softmax(a / self._temperature).astype(self.dtype))


def noisy(logits: Array, key: Array, num: int) -> Array:
    """a + g [num, ...], g of Gumbel's law: the largest is that of category k with softmax(a)_k.

    `jax.random.gumbel` draws u above 0, so that every g is finite; in float32 at least, since 16
    bits hold too few u.
    """
    dtype = wide(logits)
    return logits[None].astype(dtype) + jax.random.gumbel(key, (num, *logits.shape), dtype)


def checked_temperature(value: Any, name: str = "temperature") -> float | Array:
    """A number above 0, or a traced scalar, of which it is not known."""
    if not isinstance(value, jax.Array):
        return checks.positive(value, name)
    if value.shape or not jnp.issubdtype(value.dtype, jnp.floating):
        raise checks.InputError(
            f"{name} must be one floating number; got {value.dtype} of shape {value.shape}."
        )
    if checks.readable(value):
        checks.positive(value.item(), name)
    return value
