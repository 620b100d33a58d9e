"""The variational autoencoder where the truth is known."""

import pytest

from dgm_jax.likelihoods import bernoulli
from dgm_jax.nets import mlp
from dgm_jax.vae import vae


def test_an_encoder_that_does_not_fit_its_posterior_is_refused():
    with pytest.raises(ValueError, match=r"encoder must give \(4,\) for an x of shape \(3,\).*5"):
        vae(mlp(3, 5, hidden=()), mlp(2, 3, hidden=()), bernoulli(), 3, num_latents=2)
