"""EM for a mixture of Gaussians: maximum likelihood, or the mode under the conjugate prior."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import checks
from ..learning import expectation_maximization
from ..protocol import Algorithm, Array, Key
from .conjugate import Conjugate, log_density, posterior
from .gaussian_mixture import (
    COVARIANCES,
    eye,
    gaussian_mixture,
    log_normalisers,
    packed,
    scales,
    whitening,
)
from .kmeans import kmeans, rows
from .moments import FORMS, Moments, moments
from .restarts import FittedMixture, best_of, direction, fitted, reseeded, until_still


@checks.spelled
def gaussian_mixture_em(
    start: Array,
    num_components: int,
    *,
    covariance: str = "full",
    floor: float = 1e-6,
    prior: Conjugate | None = None,
    min_rows: float = 0.5,
    start_steps: int = 10,
    form: str | None = None,
    chunk: int | None = None,
    axis_name: str | None = None,
) -> Algorithm:
    """θ ← argmax_θ' E_{p_θ(k | x)} log p_θ'(x, k): EM for the parameters of `gaussian_mixture`.

    The model is p(x) = Σ_k π_k N(x; m_k, Σ_k), θ = (π, m, Σ). A step is, for rows x_1, ..., x_n,

        E:  r_ik = π_k N(x_i; m_k, Σ_k) / Σ_j π_j N(x_i; m_j, Σ_j),   n_k = Σ_i r_ik
        M:  π_k ← n_k / n,   m_k ← Σ_i r_ik x_i / n_k,   Σ_k ← S_k + floor · I,
            S_k = Σ_i r_ik (x_i - m_k)(x_i - m_k)ᵀ / n_k with the new m_k

    where "tied" has Σ_k π_k S_k in place of S_k, "diagonal" its diagonal, and "spherical" the mean
    of that.

    start: rows [m, d] that init(key) clusters by `kmeans` with start_steps steps, followed by one
        M-step with each row in the component of its nearest centre. In `learning.train` they are
        constants of a compiled program: a few thousand are enough
    num_components: K. covariance: "full", "tied", "diagonal" or "spherical"
    floor: added to the variances, as reg_covar in scikit-learn, so that no Σ_k is singular
    prior: made by `normal_inverse_wishart`, for full covariances and with α ≥ 1, else `InputError`.
        No component dies then, and the M-step is that of the mode of p(θ | X): π_k ∝ n_k + α - 1,
        m_k ← (κ m_0 + n_k x̄_k) / (κ + n_k) and, in place of S_k, (Ψ + n_k S_k + κ n_k / (κ + n_k)
        (x̄_k - m_0)(x̄_k - m_0)ᵀ) / (ν + n_k + d + 2), with x̄_k and S_k the mean and covariance of
        the rows with weights r_ik. None: maximum likelihood
    min_rows: a component with n_k < min_rows is dead and replaced by a half of the heaviest one;
        the likelihood may decrease in such a step
    start_steps: steps of k-means
    form: "features", faster, or "centred", without cancellation; by default "features" for float64,
        else "centred"
    chunk: rows that are treated at a time; by default so many that the arrays of a chunk fill a
        cache, from 64 to 4096
    axis_name: the axis of a `jax.pmap` of which each device has a part of the rows, and over which
        the statistics of the E-step are averaged; None where one program sees all rows, as in `jit`

    Returns an `Algorithm`, init(key) -> state and step(state, key, batch) -> (state, metrics), for
    `learning.train`. step(params, key, x) takes all rows x [n, d] of the data; the key is not used.
    Its metrics are those of θ before the step, in nats per row: "log_likelihood", which with
    floor=0 never decreases unless a component dies; with a prior "log_posterior", (log p(X | θ) +
    log p(θ)) / n up to a constant, which then never decreases; "reseeded", the number of components
    that died. Cost per step: 2nKd² operations in float64, 4nKd² in float32, for diagonal
    covariances 4nKd; memory of one chunk. Dempster, Laird and Rubin (1977), "Maximum likelihood
    from incomplete data via the EM algorithm".
    """
    num_components = checks.positive_int(num_components, "num_components")
    start = rows(start, num_components)
    floor, min_rows, start_steps, chunk = _checked(
        start.shape[1], covariance, floor, prior, min_rows, start_steps, form, chunk
    )
    options = Options(covariance, min_rows, start_steps, form, chunk, axis_name)
    return _em(start, num_components, floor, prior, options)


class Options(NamedTuple):
    """The options that a program is compiled for; floor and prior are arguments of it."""

    covariance: str
    min_rows: float
    start_steps: int
    form: str | None
    chunk: int | None
    axis_name: str | None = None


def _em(start, num_components, floor, prior, options):
    covariance, min_rows, start_steps, form, chunk, axis_name = options
    dim = start.shape[1]

    def e_step(params, x):
        checks.events(x, dim)
        x = jnp.asarray(x, params["means"].dtype)
        scale = scales(params, covariance)
        found, log_likelihood = moments(
            x,
            log_normalisers(params["logits"], scale),
            params["means"],
            whitening(scale),
            centre=jax.nn.softmax(params["logits"]) @ params["means"],
            form=form,
            chunk=chunk,
        )
        if axis_name is not None:
            found = found._replace(num_rows=jax.lax.psum(found.num_rows, axis_name))
        told = {"log_likelihood": log_likelihood}
        if prior is not None:
            log_weights = jax.nn.log_softmax(params["logits"])
            of_theta = log_density(prior, log_weights, params["means"], scale)
            told["log_posterior"] = log_likelihood + of_theta / found.num_rows
        return found, told | {"reseeded": _dead(found, prior, min_rows).sum().astype(x.dtype)}

    def m_step(params, found):
        return _maximised(params["means"], found, covariance, floor, prior, min_rows)

    def init(key):
        x = jnp.asarray(start)
        found = moments_of_nearest(
            key, x, num_components, covariance in ("full", "tied"), start_steps, form, chunk
        )
        return _maximised(*found, covariance, floor, prior, min_rows)

    return expectation_maximization(init, e_step, m_step, axis_name=axis_name)


def moments_of_nearest(
    key: Key,
    x: Array,
    num_components: int,
    matrices: bool,
    num_steps: int,
    form: str | None,
    chunk: int | None,
) -> tuple[Array, Moments]:
    """(m, moments about m): K centres m_k of `kmeans`; r_nk = 1 for the one nearest to x_n, else 0.

    The start of EM. Returns the centres m [K, d], and `Moments` of the rows relative to the centre
    nearest to each: the mean over the rows of r_nk [K], of r_nk (x_n - m_k) [K, d], and of the
    second moments.

    key: for the random start of k-means; x: rows [n, d]; num_components: K
    matrices: if True, the second moments are of r_nk (x_n - m_k)(x_n - m_k)ᵀ, [K, d, d]; if False,
        of its diagonals, [K, d]
    num_steps: the number of steps of k-means
    form, chunk: how they are computed, and from how many rows at a time; see `moments.moments`

    Cost: that of `kmeans` and of one call of `moments.moments`.
    """
    centres = kmeans(key, x, num_components, num_steps=num_steps)
    unit = jnp.tile(eye(x), (num_components, 1, 1)) if matrices else jnp.ones_like(centres)
    even = jnp.zeros(num_components, x.dtype)
    return centres, moments(x, even, centres, unit, hard=True, form=form, chunk=chunk)[0]


def _checked(dim, covariance, floor, prior, min_rows, start_steps, form, chunk):
    checks.choice(covariance, COVARIANCES, "covariance")
    if form is not None:
        checks.choice(form, FORMS, "form")
    if prior is not None:
        _check_prior(dim, covariance, prior)
    return (
        checks.not_negative(floor, "floor"),
        checks.not_negative(min_rows, "min_rows"),
        checks.positive_int(start_steps, "start_steps", least=0),
        None if chunk is None else checks.positive_int(chunk, "chunk"),
    )


def _check_prior(dim, covariance, prior):
    checks.noun(prior, Conjugate, "prior")
    if covariance != "full":
        raise checks.InputError(
            f"prior is for covariance='full'; got covariance={covariance!r}. Leave it out there."
        )
    if np.shape(prior.mean) != (dim,):
        raise checks.InputError(
            f"prior must be one of {dim} numbers; its mean has shape {np.shape(prior.mean)}."
        )
    if not isinstance(prior.concentration, Tracer) and prior.concentration < 1:
        raise checks.InputError(
            f"prior must have concentration of at least 1; got {prior.concentration:g}: the mode "
            "would have weights of 0. The variational mixture takes it."
        )


def _dead(found, prior, min_rows):
    rows_of_each = found.weight * found.num_rows
    return (rows_of_each < min_rows) & (prior is None)


def about_own_means(means: Array, found: Moments) -> tuple[Array, Array]:
    """Means [K, d] and covariances [K, d, d] (or variances [K, d]) of each component's rows."""
    per = jnp.where(found.weight > 0, found.weight, 1)
    shift = found.first / per[:, None]
    second = found.second / per.reshape(-1, *[1] * (found.second.ndim - 1))
    if second.ndim == 2:
        return means + shift, jnp.maximum(second - shift**2, 0)
    return means + shift, second - shift[:, :, None] * shift[:, None]


def _maximised(means, found, covariance, floor, prior, min_rows):
    """The M-step: parameters from moments about the means before it."""
    means, covariances = about_own_means(means, found)
    weights = found.weight
    if prior is not None:
        weights, means, covariances = _mode(prior, weights * found.num_rows, means, covariances)
    if covariance == "tied":
        covariances = jnp.tensordot(found.weight, covariances, 1)
    elif covariance == "spherical":
        covariances = covariances.mean(-1)
    new = reseeded(weights, _dead(found, prior, min_rows))
    covariances = covariances if covariance == "tied" else covariances[new.source]
    matrices = covariance in ("full", "tied")
    factor = factors(covariances, floor) if matrices else jnp.sqrt(covariances + floor)
    aside = direction(means.shape[1], means.dtype)
    spread = factor @ aside if matrices else jnp.broadcast_to(factor.T, means.T.shape).T * aside
    means = means[new.source] + new.side[:, None] * spread
    return packed(new.weights, means, factor, matrices)


def _mode(prior, num, means, covariances):
    """(π, m, Σ) where their posterior density is highest, given the rows of each component."""
    of_each = posterior(prior, num, means, covariances)
    weights = of_each.concentration - 1
    covariances = of_each.scale / (of_each.degrees + means.shape[1] + 2)[:, None, None]
    return weights / jnp.sum(weights), of_each.mean, covariances


def factors(covariances: Array, floor: float) -> Array:
    """Cholesky factors of Σ + floor I; a Σ that is indefinite by rounding is corrected."""
    dim = covariances.shape[-1]
    rounding = dim * jnp.finfo(covariances.dtype).eps
    lift = floor + rounding * jnp.trace(covariances, axis1=-2, axis2=-1)[..., None, None] / dim
    return jnp.linalg.cholesky(covariances + lift * eye(covariances))


# --------------------------------------------------------------------------------- in one call
@checks.spelled
def fit_gaussian_mixture(
    x: Array,
    key: Key,
    *,
    num_components: int,
    num_restarts: int = 1,
    covariance: str = "full",
    floor: float = 1e-6,
    prior: Conjugate | None = None,
    num_steps: int = 200,
    tolerance: float = 1e-3,
    start_steps: int = 10,
    min_rows: float = 0.5,
    form: str | None = None,
    chunk: int | None = None,
) -> FittedMixture:
    """argmax_θ Σ_n log p_θ(x_n) for a `gaussian_mixture` and rows x [N, d], by EM.

    p_θ(x) = Σ_k π_k N(x; m_k, Σ_k) with θ = (π, m, Σ). `gaussian_mixture_em` has the updates of a
    step.

        fitted = inference.fit_gaussian_mixture(x, jax.random.key(0), num_components=10)
        fitted.model.dist(fitted.params).log_prob(x)

    x: real numbers [N, d]
    key: for the initialisations by k-means. num_components: K
    num_restarts: runs from different initialisations, in parallel under `vmap`; the one with the
        highest likelihood (with a prior: posterior density) is kept
    covariance: "full"; "tied", one for all components; "diagonal"; "spherical"
    floor: added to the variances, so that no covariance is singular
    prior: made by `normal_inverse_wishart`, for the mode of p(θ | X), with covariance="full" and
        a concentration of at least 1, else `InputError`; None for maximum likelihood
    num_steps, tolerance: a run ends when a step gains less than `tolerance` nats per row, or after
        num_steps steps
    start_steps: of k-means
    min_rows: a component with fewer rows is replaced by a half of the heaviest one
    form, chunk: "features" (faster) or "centred" (without cancellation), and the rows treated at a
        time; by default "features" for float64, else "centred", and so many rows that the
        intermediate arrays fill a cache, from 64 to 4096

    Returns a `FittedMixture` of a local maximum: model, params, `history` (the objective in nats
    per row before each step), `restarts` (its last value in each restart), and of the best restart
    `num_steps` and `num_reseeded`, how many components were replaced. The dtype is that of x.
    Raises `ValueError` for fewer rows than components and, with floor=0 and no prior, for data that
    make a covariance singular. Cost: at most num_restarts · num_steps steps of
    `gaussian_mixture_em`. Dempster, Laird and Rubin (1977), "Maximum likelihood from incomplete
    data via the EM algorithm".
    """
    x = rows(x, num_components)
    checks.key(key)
    num_restarts = checks.positive_int(num_restarts, "num_restarts")
    num_steps = checks.positive_int(num_steps, "num_steps")
    tolerance = checks.not_negative(tolerance, "tolerance")
    floor, min_rows, start_steps, chunk = _checked(
        x.shape[1], covariance, floor, prior, min_rows, start_steps, form, chunk
    )
    _check_singular(x, num_components, covariance, floor, prior)
    best, ends = _run(
        x,
        key,
        floor,
        prior,
        num_components=num_components,
        num_restarts=num_restarts,
        num_steps=num_steps,
        tolerance=tolerance,
        options=Options(covariance, min_rows, start_steps, form, chunk),
    )
    model = gaussian_mixture(x.shape[1], num_components, covariance=covariance)
    return fitted(model, best.state, best, ends)


@functools.partial(
    jax.jit, static_argnames=("num_components", "num_restarts", "num_steps", "tolerance", "options")
)
def _run(x, key, floor, prior, *, num_components, num_restarts, num_steps, tolerance, options):
    algorithm = _em(x, num_components, floor, prior, options)
    monitor = "log_likelihood" if prior is None else "log_posterior"

    def once(key):
        return until_still(
            algorithm, key, x, monitor=monitor, num_steps=num_steps, tolerance=tolerance
        )

    return best_of(once, key, num_restarts)


def _check_singular(x, num_components, covariance, floor, prior):
    """Without a floor, a column that does not vary, or few rows, end in a singular covariance."""
    if floor > 0 or prior is not None or not checks.readable(x):
        return
    still = np.flatnonzero(np.ptp(np.asarray(x), axis=0) == 0)
    if still.size:
        raise checks.InputError(
            f"floor=0 makes singular covariances: column {still[0]} of x does not vary. Give a "
            "floor, or drop the column."
        )
    least = {"full": num_components * (x.shape[1] + 1), "tied": x.shape[1] + num_components}
    if len(x) < least.get(covariance, 2 * num_components):
        raise checks.InputError(
            f"floor=0 makes singular covariances: x has {len(x)} rows for {num_components} "
            f"components of {x.shape[1]} numbers. Give a floor, or take fewer components."
        )
