"""What the numbers of an encoder are parameters of: against closed forms, and against sums."""

import numpy as np
from scipy import stats

from dgm_jax.vae import diagonal, full_rank
from tests.helpers import points


def test_diagonal_is_the_gaussian_of_means_and_log_scales():
    f, z = 0.4 * points(3, 4), points(5, 3, 2, seed=2)
    dist = diagonal(2).dist({}, f)
    exact = stats.norm(f[:, :2], np.exp(7 * np.tanh(np.asarray(f[:, 2:]) / 7)))
    np.testing.assert_allclose(dist.log_prob(z), exact.logpdf(z).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(dist.mean(), f[:, :2])
    np.testing.assert_allclose(dist.entropy(), exact.entropy().sum(-1), rtol=1e-5)


def test_full_rank_is_the_gaussian_of_its_triangular_factor():
    f, z = 0.4 * points(9), points(6, 3, seed=2)
    scale = np.diag(np.exp(7 * np.tanh(np.asarray(f[3:6]) / 7)))
    scale[[1, 2, 2], [0, 0, 1]] = f[6:]
    dist = full_rank(3).dist({}, f)
    exact = stats.multivariate_normal(f[:3], scale @ scale.T)
    np.testing.assert_allclose(dist.log_prob(z), exact.logpdf(z), rtol=1e-5)
    np.testing.assert_allclose(dist.covariance(), scale @ scale.T, rtol=1e-5, atol=1e-6)
