"""The logit-Laplace density by quadrature, and its mass on levels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.distributions import DiscretizedLogitLaplace, LogitLaplace
from dgm_jax.likelihoods import logit_laplace
from tests.contracts.compiled import jit

LOC = jnp.asarray([0.0, -1.3, 4.0, 0.2], jnp.float32)
SCALE = jnp.asarray([1.0, 0.4, 0.9, 0.05], jnp.float32)
K = 9
NUM = 40_000


def middles(num):
    return (np.arange(num) + 0.5) / num


def test_the_density_integrates_to_one_and_draws_follow_it():
    """By midpoints, finer than the density moves; P(x < t) by the Laplace distribution function."""
    x, t = middles(200_000), np.array([0.1, 0.5, 0.9, 0.99])

    @jit
    def run(x, key):
        dist = LogitLaplace(LOC, SCALE)
        return dist.log_prob(x[:, None]), dist.sample(seed=key, sample_shape=NUM)

    log_p, drawn = run(jnp.asarray(x, jnp.float32), jax.random.key(0))
    np.testing.assert_allclose(np.exp(np.float64(log_p)).mean(0), 1, atol=5e-3)
    s = (np.log(t / (1 - t))[:, None] - np.float64(LOC)) / np.float64(SCALE)
    p = np.where(s < 0, np.exp(np.minimum(s, 0)) / 2, 1 - np.exp(-np.maximum(s, 0)) / 2)
    share = (np.asarray(drawn) < t[:, None, None]).mean(1)
    assert (np.abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / NUM) + 1e-6).all()


def test_levels_have_the_mass_of_their_part_and_are_drawn_as_often():
    x = middles(90_000)

    @jit
    def run(x, key):
        levels = DiscretizedLogitLaplace(LOC, SCALE, num_levels=K)
        density = LogitLaplace(LOC, SCALE).log_prob(x[:, None])
        return levels.logits, density, levels.sample(seed=key, sample_shape=NUM), levels.mean()

    log_p, density, drawn, mean = run(jnp.asarray(x, jnp.float32), jax.random.key(1))
    p = np.exp(np.float64(log_p))
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    mass = np.exp(np.float64(density)).reshape(K, -1, 4).mean(1).T / K
    np.testing.assert_allclose(p[:2], mass[:2], rtol=5e-3, atol=1e-6)
    np.testing.assert_allclose(mean, p @ np.arange(K), rtol=1e-4)
    share = np.stack([np.bincount(column, minlength=K) for column in np.asarray(drawn).T]) / NUM
    assert (np.abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / NUM) + 1e-6).all()


def test_every_level_has_a_finite_logarithm_and_gradient_far_from_the_middle():
    """Also where μ is exactly on an edge, and with the narrowest and the widest scale."""
    f = np.stack(np.meshgrid([-60.0, -2.0, 0.0, 3.0, 60.0], [-40.0, -3.0, 0.0, 40.0]), -1)
    f = jnp.asarray(f.reshape(-1, 2), jnp.float32)
    head = logit_laplace(K)

    @jit
    def run(f):
        log_p = lambda f: head.dist(f).logits
        return log_p(f), jax.jacrev(log_p)(f)

    log_p, slope = run(f)
    assert np.isfinite(log_p).all() and np.isfinite(slope).all()
    np.testing.assert_allclose(np.exp(np.float64(log_p)).sum(-1), 1, rtol=1e-4)


def test_zero_is_near_the_uniform_distribution_and_outside_there_is_nothing():
    zero = jnp.zeros(2)
    np.testing.assert_allclose(logit_laplace(K).dist(zero).logits, -np.log(K), atol=0.8)
    outside = logit_laplace().dist(zero).log_prob(jnp.asarray([0.0, 1.0, -0.1, 2.0]))
    assert (outside == -jnp.inf).all()
    assert (logit_laplace(K).dist(zero).log_prob(jnp.asarray([-1, K])) == -jnp.inf).all()


def test_a_level_that_is_no_integer_is_refused():
    with pytest.raises(ValueError, match="value must be levels"):
        logit_laplace(K).dist(jnp.zeros(2)).log_prob(jnp.asarray(0.5))
