"""Tables of probabilities: the size of a distribution without a neural network.

A distribution of d variables with K levels each has K^d - 1 free parameters. Two assumptions reduce
them: independence, and the Markov property, x_i ⊥ x_<i-k | x_{i-k}, ..., x_{i-1}. All three are
tables of p(x_i | the k values before it): k = 0 is independence, k = d-1 the full joint.
"""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_softmax

from .. import checks
from ..distributions import Autoregressive, Levels
from ..distributions.divergence import exact
from ..likelihoods import Conditional
from ..protocol import Array, CausalNet, Density, Params
from .density import density

LARGEST = 2**28  # entries of a table


def num_parameters(dim: int, num_levels: int, *, window: int, shared: bool = False) -> int:
    """Σ_i K^min(i,k) (K-1): the free parameters of p(x) = ∏_i p(x_i | x_{i-k}, ..., x_{i-1}).

    A context, the values of the min(i, k) coordinates before x_i, has K-1 free probabilities. So,
    with d coordinates of K levels, there are

        the full joint, k = d-1:  K^d - 1
        independence, k = 0:      d (K-1)
        Markov of order k:        K^k - 1 + (d-k) K^k (K-1)
        shared:                   K^min(k+1,d) - 1, with the same p for all i ≥ k

    dim, num_levels: d and K
    window: k, at most d-1
    shared: whether all i ≥ k have the same p(x_i | ...)
    Returns a Python integer of any size. Lecture: how many parameters does a joint distribution
    have?
    """
    dim, num_levels, window, shared = _checked(dim, num_levels, window, shared)
    rows = min(dim, window + 1) if shared else dim
    return sum(num_levels ** min(i, window) * (num_levels - 1) for i in range(rows))


@checks.spelled
def table(dim: int, *, num_levels: int, window: int, shared: bool = False) -> Density:
    """p(x) = ∏_i p(x_i | x_{i-k}, ..., x_{i-1}), each a row of a table; x integers [..., d].

        model = table(64, num_levels=17, window=1)
        params = fit_table(x, num_levels=17, window=1, smoothing=0.1)  # x [n, 64] integers

    dim: d
    num_levels: K, with x_i in 0..K-1
    window: k; 0 is a histogram for each coordinate, d-1 the full joint
    shared: one table for all i ≥ k, a homogeneous Markov chain; with k = 0 one histogram for all

    Parameters {"logits": [d, K^k, K]}, if shared [min(k+1, d), K^k, K]; a row holds the logits of
    p(x_i | context), and the context is the number Σ_j x_{i-j} K^{j-1}. They start uniform;
    `fit_table` computes those of maximum likelihood, without gradients. More than 2^28 entries
    raise InputError.

    `entropy`, `mean`, `variance` and the KL of two tables are exact. Lecture: how many parameters
    does a joint distribution have? Cost: d look-ups for `log_prob` and for `sample`.
    """
    dim, num_levels, window, shared = _checked(dim, num_levels, window, shared)
    rows, contexts = _shape(dim, num_levels, window, shared)

    def of_coordinate(params, i, context):
        logits = jnp.asarray(params["logits"])  # an array of numpy has no traced index
        return logits[jnp.minimum(i, rows - 1), context]

    def init(key):
        checks.key(key)
        return {"logits": jnp.zeros((rows, contexts, num_levels))}

    def apply(params, x, cond=None, *, key=None):
        checks.levels(x, dim, num_levels)
        return of_coordinate(params, jnp.arange(dim), _contexts(jnp.asarray(x), num_levels, window))

    def unroll(params, emit, batch_shape, cond=None, *, key=None):
        def step(context, i):
            f = of_coordinate(params, i, context)
            x_i = emit(i, f)
            return (context * num_levels + x_i) % contexts, (x_i, f)

        start = jnp.zeros(batch_shape, jnp.int32)
        _, (x, f) = jax.lax.scan(step, start, jnp.arange(dim))
        x, f = jnp.moveaxis(x, 0, -1), jnp.moveaxis(f, 0, -2)
        return x, f, f

    conditional = Conditional(num_levels, lambda f: Levels(logits=f))
    return density(CausalNet(init, apply, unroll), conditional, dim, family=Table)


@exact
class Table(Autoregressive):
    """∏_i p(x_i | x_{i-k}, ..., x_{i-1}) as a distribution, with closed forms for Markov chains.

    If π_i(c) is the probability that the k levels before x_i are the context c, the chain rule
    gives H = Σ_i Σ_c π_i(c) H(p(x_i | c)), and likewise the KL: O(d K^{k+1}), where a sum over all
    x would cost K^d. Cover and Thomas, "Elements of information theory", theorems 2.2.1 and 2.5.3.
    """

    def entropy(self) -> Array:
        """H(p) in nats."""
        return -self._mean_of(lambda p, log_p, i: _mean_log(p, log_p))

    def mean(self) -> Array:
        """E[x_i] of each coordinate, [d]."""
        return self._moments()[0]

    def variance(self) -> Array:
        """E[(x_i - E[x_i])²] of each coordinate, [d]."""
        first, second = self._moments()
        return second - first**2

    def kl_to(self, other: distrax.Distribution) -> Array | None:
        """KL(p ‖ q) in nats of two tables of equal numbers of levels, any windows; else None."""
        if not isinstance(other, Table) or other.num_levels != self.num_levels:
            return None
        contexts = max(self._logits.shape[1], other._logits.shape[1])

        def each(p, log_p, i):
            return _mean_log(p, log_p) - _mean_log(p, other._log_p(i, contexts))

        return self._mean_of(each, contexts)

    @property
    def num_levels(self) -> int:
        return self._logits.shape[-1]

    @property
    def _logits(self):
        return jnp.asarray(self._params["logits"])

    def _log_p(self, i, contexts):
        """log p(x_i | c) of contexts c that may be longer than its own, [contexts, K]."""
        log_p = log_softmax(self._logits[jnp.minimum(i, len(self._logits) - 1)])
        return jnp.tile(log_p, (contexts // len(log_p), 1))  # the nearest levels are the low digits

    def _moments(self):
        levels = jnp.arange(self.num_levels, dtype=self._logits.dtype)
        powers = jnp.stack([levels, levels**2], -1)
        return self._mean_of(lambda p, log_p, i: p @ powers, stacked=True).T

    def _mean_of(self, each, contexts=None, stacked=False):
        """Σ_i Σ_c π_i(c) each(p_i, log p_i, i)_c, of a function of rows [contexts, K]."""
        contexts = self._logits.shape[1] if contexts is None else contexts

        def step(pi, i):
            log_p = self._log_p(i, contexts)
            p = jnp.exp(log_p)
            joint = pi[:, None] * p  # [contexts, K]; its oldest level leaves, x_i comes
            after = joint.reshape(-1, contexts).sum(0)
            rows = each(p, log_p, i)
            weight = jnp.expand_dims(pi, range(1, rows.ndim))
            return after, jnp.where(weight > 0, weight * rows, 0).sum(0)  # 0 · ∞ = 0

        start = (jnp.arange(contexts) == 0).astype(self._logits.dtype)
        of_each = jax.lax.scan(step, start, jnp.arange(self._shape[0]))[1]
        return of_each if stacked else of_each.sum(0)


def _mean_log(p, log_q):
    """Σ_v p(v) log q(v), where 0 log 0 = 0: [contexts, K] -> [contexts]."""
    return jnp.where(p > 0, p * jnp.where(p > 0, log_q, 0), 0).sum(-1)


@checks.spelled
def fit_table(
    x: np.ndarray, *, num_levels: int, window: int, shared: bool = False, smoothing: float = 0.0
) -> Params:
    """p(v | context) = (n(context, v) + λ) / (n(context) + λ K): counts n, smoothed by λ.

    The context of x_i is the `window` = k values before it, or as many as there are. n(context, v)
    counts the rows of x in which v follows the context at place i, and n(context) is its sum over
    v. If shared, all places i ≥ k are counted together.

    x: integers [n, d] in 0..K-1, on the host; others raise InputError
    num_levels: K, at least 2
    window: k, from 0 (a histogram for each coordinate) to d - 1 (the full joint)
    shared: one table for all i ≥ k, a homogeneous Markov chain
    smoothing: λ ≥ 0; 0 is maximum likelihood, and for window = d - 1 the mean negative
        log-likelihood of x is then its empirical entropy. With λ = 0 a level never seen in a
        context has probability 0, and a context never seen has the uniform distribution

    Returns {"logits": log p [d, K^k, K]}, or [min(k+1, d), K^k, K] if shared: the parameters of a
    `table` with the same options. Cost: one pass over x.
    """
    x = checks.finite_rows(x, "x")
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    if x.ndim != 2 or x.dtype.kind not in "iu" or x.min() < 0 or x.max() >= num_levels:
        raise checks.InputError(
            f"x must be integers [n, d] in 0..{num_levels - 1}; got shape {x.shape} of {x.dtype} "
            f"in {x.min()}..{x.max()}."
        )
    smoothing = checks.not_negative(smoothing, "smoothing")
    dim, num_levels, window, shared = _checked(x.shape[1], num_levels, window, shared)
    rows, contexts = _shape(dim, num_levels, window, shared)
    counts = np.zeros((rows, contexts, num_levels))
    context = np.asarray(_contexts(jnp.asarray(x, jnp.int32), num_levels, window))
    np.add.at(counts, (np.minimum(np.arange(dim), rows - 1), context, x), 1)
    counts += smoothing
    total = counts.sum(-1, keepdims=True)
    probs = np.where(total > 0, counts / np.where(total > 0, total, 1), 1 / num_levels)
    with np.errstate(divide="ignore"):
        return {"logits": jnp.asarray(np.log(probs))}


def _contexts(x, num_levels, window):
    """Σ_j x_{i-j} K^{j-1} for j = 1..k, where what lies before the start counts as level 0."""
    dim, x = x.shape[-1], x.astype(jnp.int32)  # K^k is more than small integers hold
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(window, 0)])
    ago = range(1, window + 1)
    parts = (padded[..., window - j : window - j + dim] * num_levels ** (j - 1) for j in ago)
    return sum(parts, jnp.zeros(x.shape, jnp.int32))


def _shape(dim, num_levels, window, shared):
    """The places that have a table of their own, and the contexts of each."""
    rows, contexts = (min(dim, window + 1) if shared else dim), num_levels**window
    if rows * contexts * num_levels > LARGEST:
        raise checks.InputError(
            f"window={window} needs a table of {rows} x {contexts} x {num_levels} entries, more "
            f"than {LARGEST}; choose a smaller one."
        )
    return rows, contexts


def _checked(dim, num_levels, window, shared):
    dim = checks.positive_int(dim, "dim")
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    window = checks.positive_int(window, "window", least=0)
    if window >= dim:
        raise checks.InputError(
            f"window must be at most dim - 1 = {dim - 1}, the full joint; got {window}."
        )
    return dim, num_levels, window, checks.flag(shared, "shared")
