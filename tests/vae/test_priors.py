"""Learned priors against closed forms."""

import numpy as np
from scipy import stats

from dgm_jax.vae import mixture_prior
from tests.helpers import drawn, points


def test_a_mixture_is_the_weighted_sum_of_its_gaussians():
    prior, z = mixture_prior(2, num_components=3), points(4, 2)
    params = drawn(prior, 0.7)
    weights = np.exp(params["logits"]) / np.exp(params["logits"]).sum()
    scales = np.exp(7 * np.tanh(np.asarray(params["log_scales"]) / 7))
    each = stats.norm(params["means"], scales).pdf(np.asarray(z)[:, None]).prod(-1)
    np.testing.assert_allclose(prior.dist(params).log_prob(z), np.log(each @ weights), rtol=1e-5)
