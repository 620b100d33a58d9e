"""Tables of probabilities: what a density costs before any network is assumed.

A distribution of d variables with K levels each has K^d - 1 free parameters. Two assumptions make
them fewer: independence, and the Markov property, x_i ⊥ x_<i-k | x_{i-k}, ..., x_{i-1}. All three
are a table of p(x_i | the k values before it): k = 0 is independence, k = d-1 the full joint.
"""

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..distributions import Levels
from ..likelihoods import Conditional
from ..protocol import CausalNet, Density, Params
from .density import density

LARGEST = 2**28  # entries of a table


def num_parameters(dim: int, num_levels: int, *, window: int, shared: bool = False) -> int:
    """Free parameters of p(x) = ∏_i p(x_i | x_{i-k}, ..., x_{i-1}), k the window; exact integers.

    Each context of coordinate i has K-1 of them, Σ_i K^min(i,k) (K-1) together:
        the full joint, k = d-1:  K^d - 1
        independence, k = 0:      d (K-1)
        Markov of order k:        K^k - 1 + (d-k) K^k (K-1)
        shared:                   K^min(k+1,d) - 1, with the same p for all i ≥ k
    Lecture: how many parameters does a joint distribution have?
    """
    _check(dim, num_levels, window)
    rows = min(dim, window + 1) if shared else dim
    return sum(int(num_levels) ** min(i, window) * (int(num_levels) - 1) for i in range(rows))


def table(dim: int, *, num_levels: int, window: int, shared: bool = False) -> Density:
    """p(x) = ∏_i p(x_i | x_{i-k}, ..., x_{i-1}), each a row of a table; x integers [..., d].

    window: k; 0 is a histogram for each coordinate, d-1 the full joint
    shared: one table for all i ≥ k, a homogeneous Markov chain; with k = 0 one histogram for all
    Parameters {"logits": [d, K^k, K]}, of shared ones [min(k+1, d), K^k, K]. They start uniform;
    `fit_table` gives those of maximum likelihood, without gradients:

        model = table(64, num_levels=17, window=1)
        params = fit_table(x, num_levels=17, window=1, smoothing=0.1)  # x [n, 64] integers

    Costs: d look-ups for `log_prob` and for `sample`.
    """
    _check(dim, num_levels, window)
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
    return density(CausalNet(init, apply, unroll), conditional, dim)


def fit_table(
    x: np.ndarray, *, num_levels: int, window: int, shared: bool = False, smoothing: float = 0.0
) -> Params:
    """p(v | context) = (n(context, v) + λ) / (n(context) + λ K): counts, smoothed by λ.

    The parameters of a `table`. λ = smoothing = 0 is maximum likelihood; of a full table its mean
    negative log-likelihood on x is the empirical entropy. Levels never seen in a context then have
    probability 0, and contexts never seen the uniform distribution. x: integers [n, d], on the
    host. ValueError for what is not in 0..K-1.
    """
    x = np.asarray(x)
    checks.finite_rows(x, "x")
    if x.ndim != 2 or x.dtype.kind not in "iu" or x.min() < 0 or x.max() >= num_levels:
        raise checks.InputError(
            f"x must be integers [n, d] in 0..{num_levels - 1}; got shape {x.shape} of {x.dtype} "
            f"in {x.min()}..{x.max()}."
        )
    if not (np.isfinite(smoothing) and smoothing >= 0):
        raise checks.InputError(
            f"smoothing must be a finite number of at least 0; got {smoothing!r}."
        )
    dim = x.shape[1]
    _check(dim, num_levels, window)
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
    rows, contexts = (min(dim, window + 1) if shared else dim), int(num_levels) ** window
    if rows * contexts * num_levels > LARGEST:
        raise checks.InputError(
            f"window={window} needs a table of {rows} x {contexts} x {num_levels} entries, more "
            f"than {LARGEST}; choose a smaller one."
        )
    return rows, contexts


def _check(dim, num_levels, window):
    checks.positive_int(dim, "dim")
    checks.positive_int(num_levels, "num_levels", least=2)
    checks.positive_int(window, "window", least=0)
    if window >= dim:
        raise checks.InputError(
            f"window must be at most dim - 1 = {dim - 1}, the full joint; got {window}."
        )
