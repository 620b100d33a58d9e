"""Learned priors against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dgm_jax.vae import diagonal, mixture_prior
from dgm_jax.vae.priors import Mixture
from tests.contracts.compiled import jit
from tests.helpers import drawn, points


def parts(params):
    weights = np.exp(params["logits"]) / np.exp(params["logits"]).sum()
    return weights, np.asarray(params["means"]), np.exp(7 * np.tanh(params["log_scales"] / 7))


def test_a_mixture_is_the_weighted_sum_of_its_gaussians():
    prior, z = mixture_prior(2, num_components=3), points(4, 2)
    params = drawn(prior, 0.7)
    weights, means, scales = parts(params)
    each = stats.norm(means, scales).pdf(np.asarray(z)[:, None]).prod(-1)
    np.testing.assert_allclose(prior.dist(params).log_prob(z), np.log(each @ weights), rtol=1e-5)


def test_it_draws_each_component_as_often_as_its_weight_says_and_knows_its_moments():
    prior = mixture_prior(2, num_components=3)
    params = drawn(prior, 0.7) | {"means": jnp.float32([[-40, 0], [0, 40], [40, 0]])}
    weights, means, scales = parts(params)

    @jit
    def run(params, key):
        dist = prior.dist(params)
        return dist.sample(seed=key, sample_shape=(2000, 2)), dist.mean(), dist.variance()

    z, mean, variance = run(params, jax.random.key(0))
    assert z.shape == (2000, 2, 2)
    z = z.reshape(-1, 2)
    which = np.linalg.norm(z[:, None] - means, axis=-1).argmin(1)
    for k in range(3):
        mine = z[which == k]
        assert abs(len(mine) / len(z) - weights[k]) < 5 * (weights[k] / len(z)) ** 0.5
        np.testing.assert_allclose(mine.mean(0), means[k], atol=5 * scales[k].max() / 20)
        np.testing.assert_allclose(mine.std(0), scales[k], rtol=0.12)
    np.testing.assert_allclose(mean, weights @ means, rtol=1e-4)
    exact = weights @ (scales**2 + means**2) - np.asarray(mean) ** 2
    np.testing.assert_allclose(variance, exact, rtol=1e-4)


def test_far_from_all_components_its_logarithm_is_finite_and_has_a_gradient():
    prior = mixture_prior(2, num_components=3)
    params, z = drawn(prior), jnp.full(2, 300.0)
    value, slope = jax.value_and_grad(lambda z: prior.dist(params).log_prob(z))(z)
    assert np.isfinite(value) and value < -1e3 and (slope < 0).all()


def test_it_starts_near_the_standard_normal():
    prior = mixture_prior(1, num_components=500)
    dist = prior.dist(prior.init(jax.random.key(0)))
    z = np.linspace(-2, 2, 9, dtype=np.float32)[:, None]
    np.testing.assert_allclose(np.exp(dist.log_prob(z)), stats.norm.pdf(z[:, 0]), atol=0.05)


def test_components_under_a_batch_of_conditions_are_mixed_for_each():
    """Components [K] of conditions [B]: as B mixtures one after the other."""
    means, shifts, z = points(3, 4), points(5, 4, seed=2), points(6, 5, 2, seed=3)
    log_weights = jnp.log(jnp.float32([0.2, 0.3, 0.5]))

    def mixture(shifts, batch_shape):
        component = lambda f: diagonal(2).dist({}, f + shifts)
        return Mixture(component, means, log_weights, batch_shape=batch_shape)

    def run(shifts, z, key):
        whole = mixture(shifts, (5,))
        one_by_one = [mixture(shifts[b], ()).log_prob(z[:, b]) for b in range(5)]
        x, log_prob = whole.sample_and_log_prob(seed=key, sample_shape=(7,))
        return whole.log_prob(z), jnp.stack(one_by_one, 1), x, log_prob, whole.mean()

    got, wanted, x, log_prob, mean = jit(run)(shifts, z, jax.random.key(0))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert x.shape == (7, 5, 2) and log_prob.shape == (7, 5) and mean.shape == (5, 2)
    np.testing.assert_allclose(
        mean, np.exp(log_weights) @ means[:, :2] + shifts[:, :2], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("num", [0, -1, 2.0, True])
def test_numbers_of_components_that_are_none_are_refused(num):
    with pytest.raises(ValueError, match="num_components must be an integer of at least 1"):
        mixture_prior(2, num_components=num)


def test_gaussians_are_scored_by_products_as_by_differences_where_they_are_narrow_and_far():
    """Scales of 0.02 at distances of 100: what cancels in the products is not lost."""
    means, z = points(5, 3) + 100, points(7, 3, seed=2) + 100
    f = jnp.concatenate([means, jnp.full((5, 3), 7 * np.arctanh(np.log(0.02) / 7))], -1)
    mixture = Mixture(lambda f: diagonal(3).dist({}, f), f, jnp.full(5, -np.log(5)))
    each = stats.norm(np.float64(means), 0.02).logpdf(np.float64(z)[:, None]).sum(-1)
    exact = np.logaddexp.reduce(each, -1) - np.log(5)
    np.testing.assert_allclose(mixture.log_prob(z), exact, rtol=1e-5)
