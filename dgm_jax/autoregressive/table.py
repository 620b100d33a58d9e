"""Tables of probabilities: what a density costs before any network is assumed.

A categorical law of d variables with K levels needs K^d - 1 numbers. Two assumptions make it small:
independence, and the Markov property, x_i ⊥ x_<i-k | x_{i-k}, ..., x_{i-1}. All three are one table
of p(x_i | the k before it): k = 0 independent, k = d-1 full.
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

    Each context has K-1: Σ_i K^min(i,k) (K-1).
    full, k = d-1:      K^d - 1
    independent, k = 0: d (K-1)
    Markov of order k:  K^k - 1 + (d-k) K^k (K-1)
    shared: the same p for all i ≥ k (a homogeneous chain, one histogram for all): K^min(k+1,d) - 1.
    Lecture: how many parameters does a joint distribution have?
    """
    _check(dim, num_levels, window)
    rows = min(dim, window + 1) if shared else dim
    return sum(int(num_levels) ** min(i, window) * (int(num_levels) - 1) for i in range(rows))


def table(dim: int, *, num_levels: int, window: int, shared: bool = False) -> Density:
    """p(x) = ∏_i p(x_i | x_{i-k}, ..., x_{i-1}), each a row of a table; x integers [..., d].

    window k: 0 is a histogram for each coordinate, d-1 the full joint. shared: one table for all
    i ≥ k. Starts uniform; `fit_table` gives the maximum likelihood. Parameters {"logits": [d or
    min(k+1, d), K^k, K]}. Costs: d look-ups for density and sample.
    """
    _check(dim, num_levels, window)
    rows, contexts = _shape(dim, num_levels, window, shared)

    def of_coordinate(params, i, context):
        return params["logits"][jnp.minimum(i, rows - 1), context]

    def init(key):
        checks.key(key)
        return {"logits": jnp.zeros((rows, contexts, num_levels))}

    def apply(params, x, cond=None):
        checks.levels(x, dim, num_levels)
        return of_coordinate(params, jnp.arange(dim), _contexts(jnp.asarray(x), num_levels, window))

    def unroll(params, emit, batch_shape, cond=None):
        def step(context, i):
            f = of_coordinate(params, i, context)
            x_i = emit(i, f)
            return (context * num_levels + x_i) % contexts, (x_i, f)

        start = jnp.zeros(batch_shape, jnp.int32)
        _, (x, f) = jax.lax.scan(step, start, jnp.arange(dim))
        x, f = jnp.moveaxis(x, 0, -1), jnp.moveaxis(f, 0, -2)
        return x, f, f

    def linearize(params, x, units, cond=None):
        raise ValueError("table: levels have no derivative; flows need numbers.")

    conditional = Conditional(num_levels, lambda f: Levels(logits=f))
    return density(CausalNet(init, apply, unroll, linearize), conditional, dim)


def fit_table(
    x, *, num_levels: int, window: int, shared: bool = False, smoothing: float = 0.0
) -> Params:
    """p(v | context) = (n(context, v) + λ) / (n(context) + λ K): counts, smoothed by λ.

    λ = 0 is the maximum likelihood, whose mean NLL on x is the empirical entropy; it gives levels
    not seen probability 0, and contexts not seen the uniform law. x: integers [n, d], on the host.
    """
    x = np.asarray(x)
    checks.finite_rows(x, "x")
    if x.ndim != 2 or x.dtype.kind not in "iu" or x.min() < 0 or x.max() >= num_levels:
        raise ValueError(
            f"x must be integers [n, d] in 0..{num_levels - 1}; got shape {x.shape} of {x.dtype} "
            f"in {x.min()}..{x.max()}."
        )
    if not (np.isfinite(smoothing) and smoothing >= 0):
        raise ValueError(f"smoothing must be a finite number of at least 0; got {smoothing!r}.")
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
        raise ValueError(
            f"window={window} needs a table of {rows} x {contexts} x {num_levels} entries, more "
            f"than {LARGEST}; choose a smaller one."
        )
    return rows, contexts


def _check(dim, num_levels, window):
    checks.positive_int(dim, "dim")
    checks.positive_int(num_levels, "num_levels", least=2)
    checks.positive_int(window, "window", least=0)
    if window >= dim:
        raise ValueError(
            f"window must be at most dim - 1 = {dim - 1}, the full joint; got {window}."
        )
