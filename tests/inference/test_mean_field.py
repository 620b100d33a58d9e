"""Mean field where the exact answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.inference import (
    NormalGamma,
    gaussian_mean_field,
    normal_gamma_evidence,
    normal_gamma_mean_field,
    normal_gamma_posterior,
)
from dgm_jax.learning import fit
from tests.contracts.compiled import jit

PRIOR = NormalGamma(mean=0.5, strength=2.0, concentration=3.0, rate=1.5)
X = np.random.default_rng(0).normal(1.0, 0.7, 12)


def run(algorithm, batch, num_steps, start=None):
    def climb(key):
        if start is None:
            return fit(algorithm, key, lambda *_: batch, num_steps=num_steps)
        state, found = start, []
        for _ in range(num_steps):
            state, metrics = algorithm.step(state, key, batch)
            found.append(metrics["elbo"])
        return state, {"elbo": jnp.stack(found)}

    return jit(climb)(jax.random.key(0))


@pytest.mark.parametrize("rho", [0.0, 0.5, -0.95])
def test_two_correlated_coordinates_get_the_variance_of_each_given_the_other(rho):
    mean, precision = np.array([1.0, -2.0]), np.linalg.inv([[1, rho], [rho, 1]])
    with jax.enable_x64(True):
        state, metrics = run(gaussian_mean_field(mean, precision), None, 300)
        np.testing.assert_allclose(state["mean"], mean, atol=1e-9)
        np.testing.assert_allclose(state["variance"], 1 - rho**2, rtol=1e-12)
        gap = -0.5 * np.log(1 - rho**2)  # KL(q ‖ p)
        assert float(metrics["elbo"][-1]) == pytest.approx(-gap, abs=1e-9)
        assert np.diff(metrics["elbo"]).min() > -1e-12


def test_the_error_of_the_mean_falls_by_the_squared_correlation_a_step():
    rho, start = 0.8, {"mean": jnp.array([5.0, 3.0]), "variance": jnp.ones(2)}
    algorithm = gaussian_mean_field(np.zeros(2), np.linalg.inv([[1, rho], [rho, 1]]))
    with jax.enable_x64(True):
        state = jax.tree.map(jnp.float64, start)
        for _ in range(3):
            state, _ = algorithm.step(state, jax.random.key(0), None)
        np.testing.assert_allclose(state["mean"], [3 * rho**5, 3 * rho**6], rtol=1e-6)


def test_many_coordinates_reach_the_best_factorised_gaussian():
    a = np.random.default_rng(1).normal(size=(5, 5))
    precision, mean = a @ a.T + np.eye(5), np.arange(5.0)
    with jax.enable_x64(True):
        state, metrics = run(gaussian_mean_field(mean, precision), None, 400)
    np.testing.assert_allclose(state["mean"], mean, atol=1e-7)
    best = 0.5 * (np.linalg.slogdet(precision)[1] - np.log(np.diag(precision)).sum())
    assert float(metrics["elbo"][-1]) == pytest.approx(best, abs=1e-9)


def test_the_evidence_of_a_normal_gamma_is_the_integral():
    """∫∫ p(x | μ, τ) p(μ, τ) on a grid of μ and log τ."""
    with jax.enable_x64(True):
        told = float(normal_gamma_evidence(PRIOR, jnp.asarray(X)))
    mu, log_tau = np.linspace(-4, 5, 1501)[:, None], np.linspace(-6, 5, 1401)[None]
    tau = np.exp(log_tau)
    log_gamma = 3 * np.log(1.5) - np.log(2) + 3 * log_tau - 1.5 * tau  # with dτ = τ d log τ
    normals = [(m, t) for m, t in [(0.5, 2.0), *((x, 1.0) for x in X)]]
    log_p = log_gamma + sum(
        0.5 * (np.log(t / (2 * np.pi)) + log_tau - t * tau * (mu - m) ** 2) for m, t in normals
    )
    cell = (9 / 1500) * (11 / 1400)
    assert told == pytest.approx(np.log(np.exp(log_p).sum() * cell), abs=1e-6)


def test_the_bound_is_exact_never_falls_and_ends_at_the_known_fixed_point_below_the_evidence():
    with jax.enable_x64(True):
        x = jnp.asarray(X)
        start = {
            name: jnp.float64(v)
            for name, v in (("mean", -3), ("precision", 0.1), ("concentration", 40), ("rate", 0.2))
        }
        state, metrics = run(normal_gamma_mean_field(PRIOR), x, 12, start)
        evidence = float(normal_gamma_evidence(PRIOR, x))
        exact = normal_gamma_posterior(PRIOR, x)
        climbed = np.asarray(metrics["elbo"])
        mean_tau = float(state["concentration"] / state["rate"])
        assert np.diff(climbed).min() > -1e-12 and climbed[0] < climbed[-1] - 1e-3
        assert climbed[-1] < evidence and climbed[-1] > evidence - 0.1
        assert mean_tau == pytest.approx(float(exact.concentration / exact.rate), rel=1e-9)
        assert float(state["mean"]) == pytest.approx(float(exact.mean), rel=1e-12)
        assert float(climbed[-1]) == pytest.approx(sampled_bound(state), abs=0.01)


def sampled_bound(q, num=400_000):
    """E_q [log p(x, μ, τ) - log q(μ) q(τ)] by samples: no formula of the closed form."""
    from scipy import stats

    rng = np.random.default_rng(0)
    q = {name: float(value) for name, value in q.items()}
    q_mu, q_tau = (
        stats.norm(q["mean"], q["precision"] ** -0.5),
        stats.gamma(q["concentration"], scale=1 / q["rate"]),
    )
    mu, tau = q_mu.rvs(num, rng), q_tau.rvs(num, rng)
    log_p = stats.gamma(PRIOR.concentration, scale=1 / PRIOR.rate).logpdf(tau)
    log_p += stats.norm(PRIOR.mean, (PRIOR.strength * tau) ** -0.5).logpdf(mu)
    log_p += sum(stats.norm(mu, tau**-0.5).logpdf(x) for x in X)
    return (log_p - q_mu.logpdf(mu) - q_tau.logpdf(tau)).mean()


def test_with_many_rows_the_bound_is_the_evidence():
    x = np.random.default_rng(2).normal(size=20_000)
    with jax.enable_x64(True):
        _, metrics = run(normal_gamma_mean_field(PRIOR), jnp.asarray(x), 20)
        gap = float(normal_gamma_evidence(PRIOR, jnp.asarray(x)) - metrics["elbo"][-1])
    assert 0 < gap < 1e-3


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="precision must be positive definite; its smallest"):
        gaussian_mean_field(np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(ValueError, match="precision must be a symmetric matrix"):
        gaussian_mean_field(np.zeros(2), np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="rate of prior must be a finite number above 0; got 0"):
        normal_gamma_mean_field(PRIOR._replace(rate=0.0))
    with pytest.raises(ValueError, match="x is empty"):
        normal_gamma_mean_field(PRIOR).step({}, jax.random.key(0), jnp.zeros(0))
