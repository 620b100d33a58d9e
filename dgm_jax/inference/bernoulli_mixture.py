"""p(x) = Σ_k π_k Π_i p_ki^x_i (1 - p_ki)^(1 - x_i) for bits, and its EM algorithm."""

import functools
import math
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import wide
from ..distributions import Levels
from ..distributions.divergence import exact
from ..distributions.drawn import Drawn
from ..learning import expectation_maximization
from ..protocol import Algorithm, Array, Density, Key, Params, Shape
from .kmeans import kmeans, rows
from .moments import assigned, default_chunk, sum_over_chunks
from .restarts import FittedMixture, best_of, direction, fitted, reseeded, until_still


def bernoulli_mixture(dim: int, num_components: int) -> Density:
    """log p(x) = log Σ_k π_k Π_i p_ki^x_i (1 - p_ki)^(1 - x_i), in nats, for bits x [..., d].

    x are integers 0 and 1. dim, num_components: d and K. Parameters {"logits": [K], "bits":
    [K, d]}: π = softmax(logits) and p_ki = σ(bits_ki), σ the logistic function, without
    constraints. The bits start as samples of N(0, 1), so that gradients separate the components;
    for EM see `bernoulli_mixture_em`. The distribution has `responsibilities(x)`, p(k | x)
    [..., K], and exact `mean`, `variance` and `covariance`. Cost: K d per row, one matrix product.
    Bishop (2006), "Pattern recognition and machine learning", section 9.3.3.
    """
    dim = checks.positive_int(dim, "dim")
    num_components = checks.positive_int(num_components, "num_components")

    def init(key):
        checks.key(key)
        bits = jax.random.normal(key, (num_components, dim))
        return {"logits": jnp.zeros(num_components), "bits": bits}

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        checks.parameters(params, init)
        return BernoulliMixture(params["logits"], params["bits"])

    return Density(init, dist)


@exact
class BernoulliMixture(Drawn, distrax.Distribution):
    """Σ_k π_k Π_i Bernoulli(x_i; σ(b_ki)) as a distribution."""

    def __init__(self, logits: Array, bits: Array):
        """logits [K], bits b [K, d]."""
        super().__init__()
        self._logits, self._bits = jnp.asarray(logits), jnp.asarray(bits)

    @property
    def event_shape(self) -> Shape:
        return self._bits.shape[1:]

    @property
    def batch_shape(self) -> Shape:
        return ()

    def log_prob(self, value: Array) -> Array:
        """log p(x), [..., d] -> [...]; -inf if an entry is not 0 or 1."""
        log_p = jax.nn.logsumexp(self._log_joint(value), axis=-1)
        are_bits = ((value == 0) | (value == 1)).all(-1)
        return jnp.where(are_bits, log_p, -jnp.inf)

    def responsibilities(self, value: Array) -> Array:
        """p(k | x), [..., d] -> [..., K]."""
        return jax.nn.softmax(self._log_joint(value))

    def mean(self) -> Array:
        """E[x_i] = Σ_k π_k p_ki, [d]."""
        return jax.nn.softmax(self._logits) @ jax.nn.sigmoid(self._bits)

    def variance(self) -> Array:
        """Var[x_i] = E[x_i] (1 - E[x_i]), [d]."""
        return self.mean() * (1 - self.mean())

    def covariance(self) -> Array:
        """Cov[x], [d, d]: Σ_k π_k (p_k - p)(p_k - p)ᵀ off its diagonal, and `variance` on it."""
        weights, apart = jax.nn.softmax(self._logits), jax.nn.sigmoid(self._bits) - self.mean()
        between = jnp.einsum("k,ki,kj->ij", weights, apart, apart)
        return jnp.where(jnp.eye(len(between), dtype=bool), jnp.diag(self.variance()), between)

    def _log_joint(self, value):
        checks.levels_of(value, self.event_shape, 2)
        return log_joint(self._logits, self._bits, value)

    def _sample_n(self, key, n):
        choice_key, bit_key = jax.random.split(key)
        k = Levels(self._logits)._sample_n(choice_key, n)
        probs = jax.nn.sigmoid(self._bits.astype(wide(self._bits)))[k]
        bits = jax.random.uniform(bit_key, probs.shape, probs.dtype) < probs
        none = (k < 0)[:, None] | jnp.isnan(probs)
        return jnp.where(none, -1, bits.astype(jnp.int32))

    def _sample_n_and_log_prob(self, key, n):
        x = self._sample_n(key, n)
        return x, self.log_prob(x)


def log_joint(logits: Array, bits: Array, x: Array) -> Array:
    """log π_k p(x | k) = log π_k + Σ_i x_i b_ki - log(1 + e^b_ki), [..., d] -> [..., K]."""
    constant = jax.nn.log_softmax(logits) - jax.nn.softplus(bits).sum(-1)
    return jnp.asarray(x, bits.dtype) @ bits.T + constant


# ------------------------------------------------------------------------------------------- EM
@checks.spelled
def bernoulli_mixture_em(
    start: Array,
    num_components: int,
    *,
    smoothing: float = 0.0,
    floor: float = 1e-6,
    min_rows: float = 0.5,
    start_steps: int = 10,
    chunk: int | None = None,
    axis_name: str | None = None,
) -> Algorithm:
    """π_k ← n_k / N, p_ki ← Σ_n r_nk x_ni / n_k, r_nk = p(k | x_n), n_k = Σ_n r_nk: EM for bits.

    The model is `bernoulli_mixture`, p(x) = Σ_k π_k Π_i p_ki^x_i (1 - p_ki)^(1 - x_i): p_ki is the
    probability of x_i = 1 in component k, and π_k the weight of that component. The E-step sets
    r_nk = π_k p(x_n | k) / Σ_j π_j p(x_n | j), the M-step is the two updates above.

    start: rows [m, d] of bits that init(key) clusters by `kmeans` with start_steps steps, followed
        by one M-step with each row in the component of its nearest centre, and a smoothing of at
        least 1
    num_components: K
    smoothing: λ rows of the mean of the data, p̄, are added to each component: p_ki = (Σ_n r_nk
        x_ni + λ p̄_i) / (n_k + λ), the mode under the prior p_ki ~ Beta(1 + λ p̄_i, 1 + λ (1 -
        p̄_i)), with p̄ that of the step's rows. With few rows it prevents overfitting
    floor: p_ki stays in [floor, 1 - floor], floor below ½, so that no bit is impossible
    min_rows: a component with n_k < min_rows is dead. The heaviest one is split in its place: each
        gets half of its π, and p moved by ±p (1 - p) / 2 in each bit, in opposite directions. The
        likelihood may decrease in such a step
    start_steps: steps of k-means. chunk: rows that are treated at a time; by default so many that
        the arrays of a chunk fill a cache, from 64 to 4096
    axis_name: the axis of a `jax.pmap` of which each device has a part of the rows, and over which
        the statistics of the E-step are averaged; None where one program sees all rows, as in `jit`

    Returns an `Algorithm`, init(key) -> state and step(state, key, batch) -> (state, metrics), for
    `learning.train`. step(params, key, x) takes all rows x [N, d] of bits; the key is not used. Its
    metrics are those of the parameters before the step: "log_likelihood", in nats per row;
    "log_posterior", which adds λ / N Σ_ki [p̄_i log p_ki + (1 - p̄_i) log(1 - p_ki)], the log prior
    up to a constant, and never decreases unless a component dies; and "reseeded", the number of
    components that died. Cost per step: 4NKd operations, two matrix products; memory of one chunk.
    McLachlan and Peel (2000), "Finite mixture models"; Bishop (2006), "Pattern recognition and
    machine learning", section 9.3.3.
    """
    num_components = checks.positive_int(num_components, "num_components")
    start = rows(start, num_components, bits=True)
    smoothing, floor, min_rows, start_steps, chunk = _checked(
        smoothing, floor, min_rows, start_steps, chunk
    )
    options = Options(min_rows, start_steps, chunk, axis_name)
    return _em(start, num_components, smoothing, floor, options)


class Options(NamedTuple):
    """The options that a program is compiled for; smoothing and floor are arguments of it."""

    min_rows: float
    start_steps: int
    chunk: int | None
    axis_name: str | None = None


def _em(start, num_components, smoothing, floor, options):
    min_rows, start_steps, chunk, axis_name = options
    dim = start.shape[1]

    def e_step(params, x):
        checks.event_shape(x, (dim,))
        found, log_total = counts(x, params, num_components, chunk)
        num = jnp.asarray(len(x), log_total.dtype)
        if axis_name is not None:
            num = jax.lax.psum(num, axis_name)
        mean = found["bits"].sum(0)
        if axis_name is not None:
            mean = jax.lax.pmean(mean, axis_name)
        log_prior = mean @ jax.nn.log_sigmoid(params["bits"]).T
        log_prior = log_prior + (1 - mean) @ jax.nn.log_sigmoid(-params["bits"]).T
        log_posterior = log_total + smoothing * log_prior.sum() / num
        told = {"log_likelihood": log_total, "log_posterior": log_posterior}
        dead = (found["weight"] * num < min_rows).sum()
        return found | {"num": num}, told | {"reseeded": dead.astype(log_total.dtype)}

    def m_step(params, found):
        return _maximised(found, smoothing, floor, min_rows)

    def init(key):
        x = jnp.asarray(start)
        x = x.astype(jnp.result_type(float)) if not _floating(x) else x
        centres = kmeans(key, x, num_components, num_steps=start_steps)
        # ‖x - m‖² = const - 2 m·x + ‖m‖² of the nearest centre, as a joint that is linear in x
        nearest = {"bits": centres, "constant": -0.5 * (centres**2).sum(-1)}
        found, _ = counts(x, nearest, num_components, chunk, hard=True)
        num = jnp.asarray(len(x), x.dtype)
        return _maximised(found | {"num": num}, jnp.maximum(smoothing, 1.0), floor, min_rows)

    return expectation_maximization(init, e_step, m_step, axis_name=axis_name)


def counts(
    x: Array,
    params: Params,
    num_components: int,
    chunk: int | None,
    hard: bool = False,
) -> tuple[dict[str, Array], Array]:
    """({"weight": mean r_nk [K], "bits": mean r_nk x_n [K, d]}, mean log Σ_k), in chunks of rows.

    x: bits [n, d]; num_components: K; chunk: rows at a time; hard: r_nk is 1 for the best k only.
    """
    dtype = params["bits"].dtype
    chunk = default_chunk(x.shape[1], num_components, dtype, True) if chunk is None else chunk

    def of_rows(part):
        part = part.astype(dtype)
        if hard:
            joint = part @ params["bits"].T + params["constant"]
        else:
            joint = log_joint(params["logits"], params["bits"], part)
        r, log_total = assigned(joint, hard)
        return log_total.sum(), r.sum(0), r.T @ part

    total = sum_over_chunks(of_rows, jnp.asarray(x), chunk)
    log_total, weight, bits = jax.tree.map(lambda a: a / len(x), total)
    return {"weight": weight, "bits": bits}, log_total


def _floating(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def _maximised(found, smoothing, floor, min_rows):
    """The M-step: parameters from counts."""
    num, weight = found["num"], found["weight"]
    mean = found["bits"].sum(0)
    rows_of_each = jnp.maximum(weight * num + smoothing, jnp.finfo(weight.dtype).tiny)
    probs = (found["bits"] * num + smoothing * mean) / rows_of_each[:, None]
    new = reseeded(weight, weight * num < min_rows)
    probs = jnp.clip(probs[new.source], floor, 1 - floor)
    signs = direction(probs.shape[1], probs.dtype) * math.sqrt(probs.shape[1])
    aside = new.side[:, None] * signs * 0.5 * probs * (1 - probs)  # stays inside of (0, 1)
    probs = jnp.clip(probs + aside, floor, 1 - floor)
    tiny = jnp.finfo(weight.dtype).tiny
    logits = jax.nn.log_softmax(jnp.log(jnp.maximum(new.weights, tiny)))
    return {"logits": logits, "bits": jnp.log(probs) - jnp.log1p(-probs)}


def _checked(smoothing, floor, min_rows, start_steps, chunk):
    floor = checks.positive(floor, "floor")
    if floor >= 0.5:
        raise checks.InputError(f"floor must be below 0.5; got {floor}.")
    return (
        checks.not_negative(smoothing, "smoothing"),
        floor,
        checks.not_negative(min_rows, "min_rows"),
        checks.positive_int(start_steps, "start_steps", least=0),
        None if chunk is None else checks.positive_int(chunk, "chunk"),
    )


# --------------------------------------------------------------------------------- in one call
@checks.spelled
def fit_bernoulli_mixture(
    x: Array,
    key: Key,
    *,
    num_components: int,
    num_restarts: int = 1,
    smoothing: float = 0.0,
    floor: float = 1e-6,
    num_steps: int = 200,
    tolerance: float = 1e-3,
    start_steps: int = 10,
    min_rows: float = 0.5,
    chunk: int | None = None,
) -> FittedMixture:
    """argmax_θ Σ_n log p_θ(x_n) for a `bernoulli_mixture` and bits x [N, d], by EM.

    p_θ(x) = Σ_k π_k Π_i p_ki^x_i (1 - p_ki)^(1 - x_i) with θ = (π, p). `bernoulli_mixture_em` has
    the updates of a step.

        fitted = inference.fit_bernoulli_mixture(x, jax.random.key(0), num_components=50)
        fitted.model.dist(fitted.params).log_prob(x)

    x: bits 0 and 1, [N, d]
    key: for the initialisations by k-means. num_components: K
    num_restarts: runs from different initialisations, in parallel under `vmap`; the best is kept
    smoothing: so many rows of the mean of the data are added to each component, which prevents
        overfitting with few rows; then the posterior density is maximised
    floor: probabilities stay in [floor, 1 - floor]
    num_steps, tolerance: a run ends when a step gains less than `tolerance` nats per row, or after
        num_steps steps
    start_steps: of k-means
    min_rows: a component with fewer rows is replaced by a half of the heaviest one
    chunk: rows that are treated at a time; by default so many that the arrays of a chunk fill a
        cache, from 64 to 4096

    Returns a `FittedMixture` of a local maximum: model, params, `history` (the objective in nats
    per row before each step), `restarts` (its last value in each restart), and of the best restart
    `num_steps` and `num_reseeded`, how many components were replaced. Raises `ValueError` for other
    numbers than 0 and 1, and for fewer rows than components. Cost: at most num_restarts · num_steps
    steps of 4NKd operations. McLachlan and Peel (2000), "Finite mixture models".
    """
    x = rows(x, num_components, bits=True)
    checks.key(key)
    num_restarts = checks.positive_int(num_restarts, "num_restarts")
    num_steps = checks.positive_int(num_steps, "num_steps")
    tolerance = checks.not_negative(tolerance, "tolerance")
    smoothing, floor, min_rows, start_steps, chunk = _checked(
        smoothing, floor, min_rows, start_steps, chunk
    )
    best, ends = _run(
        x,
        key,
        smoothing,
        floor,
        num_components=num_components,
        num_restarts=num_restarts,
        num_steps=num_steps,
        tolerance=tolerance,
        options=Options(min_rows, start_steps, chunk),
    )
    return fitted(bernoulli_mixture(x.shape[1], num_components), best.state, best, ends)


@functools.partial(
    jax.jit, static_argnames=("num_components", "num_restarts", "num_steps", "tolerance", "options")
)
def _run(x, key, smoothing, floor, *, num_components, num_restarts, num_steps, tolerance, options):
    algorithm = _em(x, num_components, smoothing, floor, options)

    def once(key):
        return until_still(
            algorithm, key, x, monitor="log_posterior", num_steps=num_steps, tolerance=tolerance
        )

    return best_of(once, key, num_restarts)
