"""The law of T(z) for z from a base distribution."""

import distrax

from .. import checks


class Pushforward(distrax.Transformed):
    """log p(x) = log p_z(T⁻¹(x)) + log|det J_{T⁻¹}(x)|, in nats.

    distrax maps the bijector over samples one by one; the bijectors here broadcast over batches,
    so all samples go through T together, which is what fast matrix products want.
    Costs: `log_prob` one inverse of T; `sample` and `sample_and_log_prob` one forward.
    """

    def _sample_n(self, key, n):
        checks.key(key, "seed")
        return self.bijector.forward(self.distribution.sample(seed=key, sample_shape=(n,)))

    def _sample_n_and_log_prob(self, key, n):
        checks.key(key, "seed")
        z, log_prob = self.distribution.sample_and_log_prob(seed=key, sample_shape=(n,))
        x, log_det = self.bijector.forward_and_log_det(z)
        return x, log_prob - log_det
