"""p(x) = ∏_i p(x_i | x_<i), given by a causal net."""

from collections.abc import Callable

import distrax
import jax

from .. import checks
from ..protocol import Array, CausalNet, Params


class Autoregressive(distrax.Distribution):
    """log p(x) = Σ_i log p(x_i | x_<i, c), in nats, with p(x_i | x_<i, c) = to_dist(f_i(x_<i, c)).

    `log_prob` and `conditionals` are one pass of the net, `sample` one unroll of it.
    """

    def __init__(
        self,
        net: CausalNet,
        params: Params,
        to_dist: Callable[[Array], distrax.Distribution],
        dim: int,
        cond: Array | None = None,
    ):
        super().__init__()
        self._net, self._params, self._to_dist = net, params, to_dist
        self._dim, self._cond = dim, cond

    @property
    def event_shape(self):
        return (self._dim,)

    @property
    def batch_shape(self):
        return () if self._cond is None else self._cond.shape[:-1]

    @property
    def dtype(self):
        return jax.eval_shape(lambda: self._sample_n(jax.random.key(0), 1)).dtype

    def conditionals(self, x: Array) -> distrax.Distribution:
        """All p(x_i | x_<i), a distribution with batch shape [..., d]."""
        return self._to_dist(self._net.apply(self._params, x, self._cond))

    def log_prob(self, value):
        return self.conditionals(value).log_prob(value).sum(-1)

    def _sample_n(self, key, n):
        return self._unroll(key, n)[0]

    def _sample_n_and_log_prob(self, key, n):
        x, f, _ = self._unroll(key, n)
        return x, self._to_dist(f).log_prob(x).sum(-1)

    def _unroll(self, key, n):
        checks.key(key, "seed")

        def emit(i, f):
            return self._to_dist(f).sample(seed=jax.random.fold_in(key, i))

        return self._net.unroll(self._params, emit, (n, *self.batch_shape), self._cond)
