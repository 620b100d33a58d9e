"""Times drawn where the bound varies: importance sampling by a history of its losses.

The bound is a mean of terms, (1/T) Σ_t L_t, and one t a row estimates it by L_t / (T p_t) without
bias, whatever p > 0 it is drawn from; its variance is least for p_t ∝ √E[L_t²]. These change as the
net learns, so they are carried beside it, each a running mean of the squares that were seen.
Nichol and Dhariwal (2021), "Improved denoising diffusion probabilistic models", equation 18.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Key, Metrics, Params, State
from .chain import VARIANCES
from .denoiser import Denoiser
from .losses import as_given, chain_ends, continuous_ends, slope, spread, step_kl
from .process import times

SEEN = 10  # losses of each t before p is anything but even
EVEN = 0.001  # the share of p that stays even, so that no t is forgotten


@checks.spelled
def importance_bound(
    model: Denoiser,
    *,
    num_steps: int | None = None,
    num_bins: int = 100,
    num_levels: int | None = None,
    kind: str | Callable = "posterior",
    decay: float = 0.9,
) -> tuple[Callable[[Key, Params], State], Callable[..., tuple[Array, tuple[Metrics, State]]]]:
    """E_t [L_t / (n p_t)], t ~ p_t ∝ √E[L_t²]: the bound of -log p(x), by importance sampling of t.

    Its sum over steps is (1/n) Σ_t L_t, where t is one of the n = T - 1 steps of a chain, or of n =
    num_bins equal parts of continuous time; the two terms at the ends are added without weights.
    One t per row estimates it without bias for any p > 0, and the variance is least for this p. As
    E[L_t²] changes in training, it is estimated by a running mean, which is a state beside the
    parameters. Returns the pair (init_state, loss), two functions: init_state(key, params) is the
    first state, and loss is one for `learning.gradient_descent`, which passes the state from step
    to step:

        init_state, loss = importance_bound(model)
        learning.gradient_descent(model.init, loss, optimizer, init_state=init_state)

    `loss(params, key, x, cond=None, *, state, parts_key=None)` -> (loss, (metrics, state)), in nats
    per row; x [n, *shape], cond [n, *cond_shape] or None, and a key for dropout. The metrics are
    "loss", the mean over rows, and the means of its three terms, "prior", "steps" and
    "reconstruction" (`Terms`).

    model: made by `denoiser`
    num_steps: None for the bound in continuous time (`continuous_bound`), else T, the number of
        times of a chain (`chain_bound`), at least 3
    num_bins: the number of parts of continuous time; the time is uniform within a part
    num_levels: K if x are integer levels 0..K-1; None for real numbers
    kind: the variance of the reverse steps of a chain, "posterior" (Var(x_s | x_t, x) of a step
        from t to s), "upper" (Var(x_t | x_s)), "learned" (between them, by the net), or a function
        of both levels, ((α_s, σ_s), (α_t, σ_t)) -> variance
    decay: of the running mean; 0.9 averages about the last ten losses of each t

    Until each t has been drawn ten times, p is uniform; later 0.1 % of p stays uniform. The state
    is {"squares", "weight", "seen"}, arrays with a number per t: the running mean of L_t², the sum
    of its weights, by which it is divided, and how often t was drawn. Cost: one pass of the net in
    continuous time, two for a chain. Nichol and Dhariwal (2021), "Improved denoising diffusion
    probabilistic models", equation 18.
    """
    checks.noun(model, Denoiser, "model")
    decay = checks.rate(decay, "decay")
    if num_levels is not None:
        num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    if not callable(kind):
        checks.choice(kind, VARIANCES, "kind")
    if num_steps is None:
        num_parts = checks.positive_int(num_bins, "num_bins", least=2)
    else:
        num_parts = checks.positive_int(num_steps, "num_steps", least=3) - 1

    def loss(params, key, x, cond=None, *, state, parts_key=None):
        given = as_given(model, params, key, x, cond, num_levels, parts_key)
        part_key, noise_key, ends_key = jax.random.split(key, 3)
        part, place, weight = parts_at(chances(state), spread(part_key, len(x), given.x.dtype))
        if num_steps is None:
            first, last = given.process.ends
            t = first + (last - first) * (part + place) / num_parts
            each = slope(given, noise_key, t)
            ends = continuous_ends(given, ends_key)
        else:
            grid = times(given.process, num_steps).astype(given.x.dtype)
            each = num_parts * step_kl(given, noise_key, grid, part + 1, kind)
            ends = chain_ends(given, ends_key, grid, kind)
        terms = ends._replace(steps=weight * each)
        means = {name: value.mean() for name, value in terms._asdict().items()}
        value = terms.total.mean()
        state = told(state, part, jax.lax.stop_gradient(each), decay)
        return value, ({"loss": value, **means}, state)

    return lambda key, params: nothing_seen(num_parts), loss


def nothing_seen(num_parts: int) -> State:
    """The state of `importance_bound` before any loss: three arrays of zeros, [num_parts] each.

    num_parts: the number of bins of the time, or of steps of a chain

    "squares" is the running mean of the squared losses of each part, times the sum of its weights,
    "weight", by which it is divided (1 after many losses); "seen" is the number of losses.
    """
    return {name: jnp.zeros(num_parts) for name in ("squares", "weight", "seen")}


def chances(state: State) -> Array:
    """p_t = 0.999 √E[L_t²] / Σ_s √E[L_s²] + 0.001 / T: with which probability each t is drawn, [T].

    state: that of `importance_bound`, whose running means estimate E[L_t²]. Until each t has been
        drawn ten times, and if all losses are 0, p is uniform.
    """
    mean = state["squares"] / jnp.maximum(state["weight"], 1e-6)
    root = jnp.sqrt(jnp.maximum(mean, 0))
    total = root.sum()
    known = (state["seen"].min() >= SEEN) & (total > 0)
    even = 1 / root.size
    p = (1 - EVEN) * root / jnp.where(total > 0, total, 1) + EVEN * even
    return jnp.where(known, p, even)


def parts_at(p: Array, u: Array) -> tuple[Array, Array, Array]:
    """(t, place in t, 1 / (T p_t)), t drawn by inverting the distribution function: each [batch].

    p: the probabilities of the T parts, [T]; u: uniform numbers in [0, 1), [batch]. The place is
        uniform in [0, 1) given t, an integer in 0..T-1. The last result is the weight of importance
        sampling.
    """
    edges = jnp.cumsum(p)
    edges = edges / edges[-1]
    widths = jnp.diff(edges, prepend=0.0)  # p as the sum has it, for weights without bias
    part = jnp.minimum(jnp.searchsorted(edges, u, side="right"), len(p) - 1)
    width = widths[part]
    place = jnp.clip((u - (edges[part] - width)) / width, 0, 1)
    return part, place, 1 / (len(p) * width)


def told(state: State, part: Array, losses: Array, decay: float) -> State:
    """m_t ← d^n m_t + (1 - d^n) mean L²: the state of `importance_bound` after a batch.

    For each t, n is the number of rows of the batch with this t, and the mean is over their losses,
    which count alike.

    state: as in `nothing_seen`; part: t of each row, integers [batch]
    losses: L of each row, [batch]; decay: d
    """
    num_parts = len(state["seen"])

    def sums(values):
        return jax.ops.segment_sum(values.astype(jnp.float32), part, num_parts)

    count = sums(jnp.ones(len(losses)))
    mean = sums(jnp.square(losses)) / jnp.maximum(count, 1)
    kept = decay**count
    return {
        "squares": kept * state["squares"] + (1 - kept) * mean,
        "weight": kept * state["weight"] + (1 - kept),
        "seen": state["seen"] + count,
    }
