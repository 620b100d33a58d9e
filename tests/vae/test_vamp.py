"""The VampPrior against what it is made of."""

import numpy as np

from dgm_jax.likelihoods import bernoulli
from dgm_jax.nets import mlp
from dgm_jax.vae import vae, vamp
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

BITS = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]])


def model():
    return vae(mlp(3, 4, hidden=(5,)), mlp(2, 3, hidden=(5,)), bernoulli(), 3, num_latents=2)


def test_with_the_data_as_inputs_the_prior_is_the_average_of_their_posteriors():
    plain = model()
    params = {"model": drawn(plain, 0.7), "pseudo_inputs": BITS.astype(np.float32)}
    prior = vamp(plain, 3, num_pseudo_inputs=4, low=0, high=1).prior
    z = points(6, 2)
    got = jit(lambda params: prior(params).log_prob(z))(params)
    of_each = jit(lambda p: plain.posterior(p, BITS).log_prob(z[:, None]))(params["model"])
    np.testing.assert_allclose(got, np.log(np.exp(of_each).mean(-1)), rtol=1e-5)
