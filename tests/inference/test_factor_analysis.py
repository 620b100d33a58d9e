"""Factor analysis: EM climbs to what scikit-learn finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import FactorAnalysis

from dgm_jax import objectives
from dgm_jax.inference import factor_analysis, factor_analysis_density, factor_analysis_em
from dgm_jax.learning import fit
from tests.contracts.compiled import jit
from tests.helpers import drawn

DIM, NUM_LATENTS = 8, 2
RNG = np.random.default_rng(0)
LOADINGS = [[2, 0], [1.5, 0.5], [1.8, -0.5], [0, 2], [0.5, 1.5], [-0.5, 1.8], [1, 1], [1, -1]]
NOISE = [0.8, 2.0, 1.0, 1.2, 1.0, 1.5, 0.7, 1.0]
X = RNG.normal(size=(500, 2)) @ np.transpose(LOADINGS) + RNG.normal(size=(500, DIM)) * NOISE
X = X + np.arange(DIM)
DENSITY = factor_analysis_density(DIM, num_latents=NUM_LATENTS)


def test_em_never_falls_and_ends_where_scikit_learn_does():
    peer = FactorAnalysis(NUM_LATENTS, tol=1e-9, max_iter=1000, svd_method="lapack").fit(X)
    algorithm = factor_analysis_em(DIM, num_latents=NUM_LATENTS)
    with jax.enable_x64(True):

        def run(key):
            params, metrics = fit(algorithm, key, lambda *_: X, num_steps=400)
            dist = DENSITY.dist(params)
            return params, metrics["log_likelihood"], dist.log_prob(X).mean(), dist.covariance()

        params, climbed, score, covariance = jit(run)(jax.random.key(0))
    assert np.diff(climbed).min() > -1e-12
    assert float(score) == pytest.approx(peer.score(X), abs=1e-8)
    np.testing.assert_allclose(covariance, peer.get_covariance(), rtol=1e-3)
    np.testing.assert_allclose(
        np.exp(2 * np.asarray(params["log_scale"])), peer.noise_variance_, rtol=1e-3
    )


def test_the_posterior_is_exact_whatever_the_noise_of_each_entry():
    model = factor_analysis(DIM, num_latents=NUM_LATENTS)
    params, x = drawn(model, 0.7), np.float32(X[:5])

    def run(params, key):
        log_w = objectives.log_weights(model, params, key, x, num_samples=3)
        return log_w, DENSITY.dist(params).log_prob(x)

    log_w, exact = jit(run)(params, jax.random.key(0))
    np.testing.assert_allclose(log_w, np.broadcast_to(exact, (3, 5)), rtol=2e-4)


def test_units_of_an_entry_change_nothing_but_its_own_numbers():
    """A step in other units is the step: the bound differs by the log of the unit."""
    algorithm = factor_analysis_em(DIM, num_latents=NUM_LATENTS)
    units = np.array([1.0, 10.0, 0.1, 1.0, 3.0, 1.0, 1.0, 7.0])

    def in_units(params):
        return {
            "weights": params["weights"] * units[:, None],
            "mean": params["mean"] * units,
            "log_scale": params["log_scale"] + np.log(units),
        }

    with jax.enable_x64(True):
        params = jax.tree.map(jnp.float64, drawn(factor_analysis(DIM, num_latents=NUM_LATENTS)))
        step = jit(lambda params, x: algorithm.step(params, jax.random.key(0), x))
        new, metrics = step(params, X)
        other, others = step(in_units(params), X * units)
        jax.tree.map(np.testing.assert_allclose, other, in_units(new))
    told = float(metrics["log_likelihood"]) - np.log(units).sum()
    assert float(others["log_likelihood"]) == pytest.approx(told, rel=1e-12)


def test_a_constant_entry_is_floored_and_everything_stays_finite():
    x = np.float32(X * [1, 1, 0, 1, 1, 1, 1, 1])
    algorithm = factor_analysis_em(DIM, num_latents=NUM_LATENTS, floor=1e-4)
    params, metrics = jit(lambda key: fit(algorithm, key, lambda *_: x, num_steps=50))(
        jax.random.key(0)
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, metrics)))
    assert np.exp(2 * params["log_scale"][2]) == pytest.approx(1e-4, rel=1e-3)
