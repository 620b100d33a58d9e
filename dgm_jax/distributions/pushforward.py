"""The distribution of T(z) for z from a base distribution."""

import distrax
import jax.numpy as jnp

from .. import checks
from ..protocol import Shape


class Pushforward(distrax.Transformed):
    """log p(x) = log p_z(T⁻¹(x)) + log|det J_{T⁻¹}(x)|, in nats.

    batch_shape: that of the conditions of T, () without; each has a z of its own, also where the
    base is one distribution for all.
    distrax maps the bijector over samples one by one; the bijectors here broadcast over batches,
    so all samples go through T together, which is what fast matrix products want.
    Costs: `log_prob` one inverse of T; `sample` and `sample_and_log_prob` one forward.
    """

    def __init__(
        self,
        distribution: distrax.Distribution,
        bijector: distrax.Bijector,
        *,
        batch_shape: Shape = (),
    ):
        if batch_shape:
            missing = len(batch_shape) - len(distribution.batch_shape)
            distribution = _Copies(distribution, batch_shape[: max(missing, 0)])
        super().__init__(distribution, bijector)

    def log_prob(self, value):
        value_batch = jnp.shape(value)[: max(jnp.ndim(value) - self.bijector.event_ndims_out, 0)]
        checks.common_batch({"x": value_batch, "cond": tuple(self.distribution.batch_shape)})
        return super().log_prob(value)

    def _sample_n(self, key, n):
        checks.key(key, "seed")
        return self.bijector.forward(self.distribution.sample(seed=key, sample_shape=(n,)))

    def _sample_n_and_log_prob(self, key, n):
        checks.key(key, "seed")
        z, log_prob = self.distribution.sample_and_log_prob(seed=key, sample_shape=(n,))
        x, log_det = self.bijector.forward_and_log_det(z)
        return x, log_prob - log_det


class _Copies(distrax.Distribution):
    """A batch of independent copies of one distribution; a copy is scored as the one is."""

    def __init__(self, one, copies):
        super().__init__()
        self._one, self._copies = one, tuple(copies)

    @property
    def event_shape(self):
        return self._one.event_shape

    @property
    def batch_shape(self):
        return (*self._copies, *self._one.batch_shape)

    @property
    def dtype(self):
        return self._one.dtype

    def log_prob(self, value):
        return self._one.log_prob(value)

    def entropy(self):
        return jnp.broadcast_to(self._one.entropy(), self.batch_shape)

    def _sample_n(self, key, n):
        return self._one.sample(seed=key, sample_shape=(n, *self._copies))

    def _sample_n_and_log_prob(self, key, n):
        return self._one.sample_and_log_prob(seed=key, sample_shape=(n, *self._copies))
