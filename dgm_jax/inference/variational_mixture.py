"""The Bayesian mixture of Gaussians by coordinate ascent on the exact ELBO."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import checks
from ..learning import expectation_maximization
from ..protocol import Algorithm, Array, Key, Params
from .conjugate import (
    Conjugate,
    expected_log_det,
    expected_log_weights,
    kl_dirichlet,
    kl_normal_wishart,
    normal_inverse_wishart,
    posterior,
)
from .gaussian_em import about_own_means, factors, moments_of_nearest
from .gaussian_mixture import gaussian_mixture, gaussian_parameters, whitening
from .kmeans import rows
from .moments import FORMS, moments
from .restarts import FittedMixture, best_of, fitted, until_still


@checks.spelled
def variational_mixture(
    start: Array,
    num_components: int,
    *,
    prior: Conjugate,
    start_steps: int = 10,
    form: str | None = None,
    chunk: int | None = None,
    axis_name: str | None = None,
) -> Algorithm:
    """max over q(z) q(π, m, Λ) of the ELBO = E_q log p(X, z, π, m, Λ) - E_q log q, in turn.

    The model is p(x_n | z_n = k) = N(x_n; m_k, Λ_k⁻¹), p(z_n = k) = π_k, with the prior
    (α, m_0, κ, Ψ, ν) of a `Conjugate`. A step sets q(z_n = k) = r_nk ∝ exp E_q log p(x_n, z_n = k),
    then q(π, m, Λ) to the posterior given these: with n_k = Σ_n r_nk, and x̄_k and S_k the mean and
    covariance of the rows with weights r_nk,

        α_k ← α + n_k,   κ_k ← κ + n_k,   ν_k ← ν + n_k,   m_k ← (κ m_0 + n_k x̄_k) / κ_k,
        Ψ_k ← Ψ + n_k S_k + κ n_k / κ_k (x̄_k - m_0)(x̄_k - m_0)ᵀ

    start: rows [m, d] that init(key) clusters by `kmeans`, with one update from each row in the
        component of its nearest centre
    num_components: K
    prior: `normal_inverse_wishart` with ν > d - 1, κ > 0 and a positive definite Ψ, or
        `prior_of(x, K)`; others raise `ValueError`
    start_steps: steps of k-means
    form, chunk: "features" (faster) or "centred" (without cancellation), and the rows treated at a
        time; by default "features" for float64, else "centred", and so many rows that the
        intermediate arrays fill a cache, from 64 to 4096
    axis_name: the axis of a `jax.pmap` of which each device has a part of the rows, and over which
        the statistics of the E-step are averaged; None where one program sees all rows, as in `jit`

    Returns an `Algorithm`, init(key) -> state and step(state, key, batch) -> (state, metrics), for
    `learning.train`. Its state is q(π, m, Λ), a `Conjugate` of K components, and its batch all rows
    x [N, d]; the key of a step is not used. Its metric "elbo" is ELBO / N of q before the step with
    its best q(z), in nats per row, with all constants, which scikit-learn omits: Σ_n log Σ_k exp
    E_q log p(x_n, z_n = k) - KL(q(π, m, Λ) ‖ p(π, m, Λ)), divided by N. It is a lower bound of log
    p(X) / N and never decreases; for K = 1 it is equal after one step. It can be used to choose K
    (up to the K! orderings of a mixture). Cost: 2NKd² operations per step in float64, 4NKd² in
    float32. Bishop (2006), "Pattern recognition and machine learning", section 10.2.
    """
    num_components = checks.positive_int(num_components, "num_components")
    start = rows(start, num_components)
    dim = start.shape[1]
    start_steps, chunk = _checked(dim, prior, start_steps, form, chunk)
    first = Conjugate(*(jnp.asarray(a, start.dtype) for a in prior))
    prior_factor = jnp.linalg.cholesky(first.scale)

    def e_step(q, x):
        checks.events(x, dim)
        x = jnp.asarray(x, q.mean.dtype)
        factor = factors(q.scale, 0.0)
        log_weights = expected_log_weights(q.concentration)
        log_weights = log_weights + 0.5 * expected_log_det(q.degrees, factor)
        log_weights = log_weights - 0.5 * dim * (math.log(2 * math.pi) + 1 / q.mean_precision)
        found, log_total = moments(
            x,
            log_weights,
            q.mean,
            whitening(factor) * jnp.sqrt(q.degrees)[:, None, None],
            centre=q.concentration @ q.mean / q.concentration.sum(),
            form=form,
            chunk=chunk,
        )
        if axis_name is not None:
            found = found._replace(num_rows=jax.lax.psum(found.num_rows, axis_name))
        of_weights = jnp.broadcast_to(first.concentration, (num_components,))
        kl = kl_dirichlet(q.concentration, of_weights)
        kl = kl + kl_normal_wishart(q, first, factor, prior_factor).sum()
        return found, {"elbo": log_total - kl / found.num_rows}

    def of_moments(means, found):
        num = found.weight * found.num_rows
        return posterior(first, num, *about_own_means(means, found))

    def init(key):
        x = jnp.asarray(start)
        nearest = moments_of_nearest(key, x, num_components, True, start_steps, form, chunk)
        return of_moments(*nearest)

    return expectation_maximization(
        init, e_step, lambda q, found: of_moments(q.mean, found), axis_name=axis_name
    )


def _checked(dim, prior, start_steps, form, chunk):
    checks.noun(prior, Conjugate, "prior")
    if np.shape(prior.mean) != (dim,):
        raise checks.InputError(
            f"prior must be one of {dim} numbers; its mean has shape {np.shape(prior.mean)}."
        )
    if not isinstance(prior.degrees, Tracer):
        if prior.degrees <= dim - 1:
            raise checks.InputError(
                f"prior must have degrees above d - 1 = {dim - 1}; got {prior.degrees:g}, which is "
                "no distribution."
            )
        checks.positive(prior.mean_precision, "mean_precision of prior")
    if checks.readable(prior.scale) and np.linalg.eigvalsh(prior.scale).min() <= 0:
        raise checks.InputError("prior must have a positive definite scale; got a singular one.")
    if form is not None:
        checks.choice(form, FORMS, "form")
    return (
        checks.positive_int(start_steps, "start_steps", least=0),
        None if chunk is None else checks.positive_int(chunk, "chunk"),
    )


def prior_of(x: Array, num_components: int) -> Conjugate:
    """π ~ Dirichlet(1/K), Σ_k ~ inverse Wishart(Ψ, ν = d), m_k | Σ_k ~ N(m_0, Σ_k / κ) with κ = 1.

    A weak prior for the weights π, means m_k and covariances Σ_k of a mixture of Gaussians. Its
    place and scale are those of the rows x [n, d]: m_0 is their mean, and Ψ their covariance (with
    n - 1), with 10⁻⁶ of the mean variance added to its diagonal, so that a constant column does not
    make it singular. Without this addition these are the defaults of scikit-learn's
    `BayesianGaussianMixture`.

    num_components: K. Returns the prior as `normal_inverse_wishart` does, for
    `variational_mixture`. Cost: O(n d²).
    """
    x = rows(x, num_components)
    dim = x.shape[1]
    apart = x - x.mean(0)
    scale = apart.T @ apart / max(len(x) - 1, 1)
    scale = scale + 1e-6 * jnp.trace(scale) / dim * jnp.eye(dim, dtype=x.dtype)
    return normal_inverse_wishart(x.mean(0), scale, concentration=1 / num_components)


def expected_parameters(q: Conjugate) -> Params:
    """The parameters of `gaussian_mixture` with π = E π, m = E m and Σ = (E Λ)⁻¹ under q(π, m, Λ).

    q: a `Conjugate` of K components, such as `fitted.posterior`. E π = α / Σ α, E m = its means,
        and (E Λ_k)⁻¹ = Ψ_k / ν_k. Returns parameters for covariance="full".
    """
    checks.noun(q, Conjugate, "q")
    weights = q.concentration / jnp.sum(q.concentration)
    covariances = q.scale / jnp.asarray(q.degrees)[:, None, None]
    return gaussian_parameters(weights, q.mean, covariances)


# --------------------------------------------------------------------------------- in one call
@checks.spelled
def fit_variational_mixture(
    x: Array,
    key: Key,
    *,
    num_components: int,
    num_restarts: int = 1,
    prior: Conjugate | None = None,
    num_steps: int = 200,
    tolerance: float = 1e-3,
    start_steps: int = 10,
    form: str | None = None,
    chunk: int | None = None,
) -> FittedMixture:
    """max over q(z) q(π, m, Λ) of ELBO = E_q log p(X, z, π, m, Λ) - E_q log q, for rows x [N, d].

        fitted = inference.fit_variational_mixture(x, jax.random.key(0), num_components=10)
        fitted.history[-1] * len(x)                        # a lower bound of log p(X), in nats
        fitted.model.dist(fitted.params).log_prob(x)       # the mixture with expected parameters

    The model is a mixture of K Gaussians, p(x_n | z_n = k) = N(x_n; m_k, Λ_k⁻¹) and p(z_n = k) =
    π_k, with a prior on its weights π, means m and precisions Λ. q(z) ∝ exp E log p(X, z, π, m, Λ)
    under q(π, m, Λ), and q(π, m, Λ) ∝ exp E log p(X, z, π, m, Λ) under q(z), are updated in turn;
    `variational_mixture` has the formulas.

    x: real numbers [N, d]
    key: for the initialisations by k-means
    num_components: K, the largest number of components. Those that the data do not need keep their
        prior, with weights near 0
    num_restarts: runs from different initialisations, in parallel; the one with the highest ELBO is
        kept
    prior: of (π, m, Λ), made by `normal_inverse_wishart`; `prior_of(x, num_components)` by default
    num_steps, tolerance: a run ends when a step gains less than `tolerance` nats per row, or after
        num_steps steps
    start_steps: of k-means, which makes the first assignment of rows to components
    form, chunk: "features" (faster) or "centred" (without cancellation), and the rows treated at a
        time; by default "features" for float64, else "centred", and so many rows that the
        intermediate arrays fill a cache, from 64 to 4096

    Returns a `FittedMixture`: `model` and `params`, `posterior` (q(π, m, Λ)), `history` (the ELBO
    in nats per row before each step), `restarts` (its last value in each restart) and `num_steps`.
    The dtype is that of x. Cost: at most num_restarts · num_steps steps, each of 2NKd² operations
    in float64 and 4NKd² in float32. Raises `ValueError` for an improper prior or one of another d.
    Bishop (2006), "Pattern recognition and machine learning", section 10.2.
    """
    x = rows(x, num_components)
    checks.key(key)
    num_restarts = checks.positive_int(num_restarts, "num_restarts")
    num_steps = checks.positive_int(num_steps, "num_steps")
    tolerance = checks.not_negative(tolerance, "tolerance")
    prior = prior_of(x, num_components) if prior is None else prior
    start_steps, chunk = _checked(x.shape[1], prior, start_steps, form, chunk)
    best, ends = _run(
        x,
        key,
        prior,
        num_components=num_components,
        num_restarts=num_restarts,
        num_steps=num_steps,
        tolerance=tolerance,
        options=(("start_steps", start_steps), ("form", form), ("chunk", chunk)),
    )
    model = gaussian_mixture(x.shape[1], num_components)
    record = fitted(model, expected_parameters(best.state), best, ends)
    return record._replace(posterior=best.state)


@functools.partial(
    jax.jit, static_argnames=("num_components", "num_restarts", "num_steps", "tolerance", "options")
)
def _run(x, key, prior, *, num_components, num_restarts, num_steps, tolerance, options):
    algorithm = variational_mixture(x, num_components, prior=prior, **dict(options))

    def once(key):
        return until_still(
            algorithm, key, x, monitor="elbo", num_steps=num_steps, tolerance=tolerance
        )

    return best_of(once, key, num_restarts)
