"""The distribution of one of K proposals, chosen by its importance weight."""

import math
from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Key, Shape
from .divergence import exact
from .drawn import Drawn
from .levels import Levels


@exact
class ImportanceResampled(Drawn):
    """q*(z) = E q(z) w(z) K / (w(z) + w(z_2) + ... + w(z_K)), w = p̃ / q and z_2, ..., z_K ~ q.

    A sample is one of z_1, ..., z_K ~ q, chosen with probabilities w_k / Σ_j w_j. For K = 1 it is
    the proposal q; for K → ∞ the target p̃ / ∫ p̃. For example, the distribution that an IWAE with
    K samples uses as its posterior.

    proposal: q
    log_target: z [n, *batch, *event] -> log p̃(z) [n, *batch], which need not be normalised
    num_samples: K
    num_draws: the draws of z_2, ..., z_K over which `log_prob` averages
    key: of these draws, the same for all z; None is a fixed one

    log_prob(z), in nats, is the logarithm of an unbiased mean, so it is below log q*(z) in
    expectation, by about the relative variance of a draw / (2 num_draws). It is exact for K = 1.
    Cost: a sample takes K draws of q and K evaluations of log_target; `log_prob` takes num_draws (K
    - 1) of each and one more for each z. Samples are not reparametrised. Cremer, Morris and
    Duvenaud (2017), "Reinterpreting importance-weighted autoencoders", section 3; Bachman and
    Precup (2015), "Training deep generative models: variations on a theme".
    """

    reparametrised = False  # the choice among the proposals has no gradient

    def __init__(
        self,
        proposal: distrax.Distribution,
        log_target: Callable[[Array], Array],
        *,
        num_samples: int,
        num_draws: int = 100,
        key: Key | None = None,
    ):
        """num_samples: K"""
        super().__init__()
        checks.instance(proposal, distrax.Distribution, "proposal")
        checks.function(log_target, "log_target")
        if key is not None:
            checks.key(key)
        self.proposal, self._log_target = proposal, log_target
        self.num_samples = checks.positive_int(num_samples, "num_samples")
        self._num_draws = checks.positive_int(num_draws, "num_draws")
        self._key = jax.random.key(0) if key is None else key

    @property
    def event_shape(self) -> Shape:
        return self.proposal.event_shape

    @property
    def batch_shape(self) -> Shape:
        return self.proposal.batch_shape

    def log_prob(self, value: Array) -> Array:
        """log q*(z) in nats, [..., *batch_shape], estimated by num_draws draws; exact for K = 1.

        value: z [..., *batch_shape, *event_shape]
        """
        if self.num_samples == 1:
            return self.proposal.log_prob(value)
        draws, others = self._num_draws, self.num_samples - 1
        key = jax.random.clone(self._key)
        _, log_w = self._weighed(key, draws * others)
        log_rest = jax.nn.logsumexp(log_w.reshape(draws, others, *log_w.shape[1:]), axis=1)

        shape = self._sample_shape_of(value)
        together = lambda a: jnp.reshape(a, (math.prod(shape), *jnp.shape(a)[len(shape) :]))
        z = jax.tree.map(together, value)
        log_target = self._log_target(z)
        log_own = log_target - self.proposal.log_prob(z)  # [n, *batch]
        log_sum = jnp.logaddexp(log_own[None], log_rest[:, None])  # [draws, n, *batch]
        log_mean = jax.nn.logsumexp(-log_sum, axis=0) - math.log(draws)
        found = log_target + math.log(self.num_samples) + log_mean
        return found.reshape(*shape, *found.shape[1:])

    def _sample_n(self, key, n):
        draw_key, choice_key = jax.random.split(key)
        z, log_w = self._weighed(draw_key, n * self.num_samples)
        log_w = log_w.reshape(n, self.num_samples, *log_w.shape[1:])
        chosen = Levels(jnp.moveaxis(log_w, 1, -1)).sample(seed=choice_key)  # [n, *batch]

        def chosen_of(z):
            z = z.reshape(n, self.num_samples, *z.shape[1:])
            index = jnp.expand_dims(chosen, (1, *range(chosen.ndim + 1, z.ndim)))
            return jnp.take_along_axis(z, index, axis=1)[:, 0]

        return jax.tree.map(chosen_of, z)

    def _sample_shape_of(self, value):
        """The axes before those of the batch and the event, of z or of each group of z."""
        value, event = jax.tree.leaves(value)[0], self.event_shape
        event = event[0] if event and isinstance(event[0], tuple) else tuple(event)
        checks.event_shape(value, event, "value")
        return jnp.shape(value)[: max(jnp.ndim(value) - len(self.batch_shape) - len(event), 0)]

    def _weighed(self, key, n):
        """z ~ q [n, *batch, *event] and log w [n, *batch]."""
        z, log_q = self.proposal.sample_and_log_prob(seed=key, sample_shape=(n,))
        return z, self._log_target(z) - log_q
