"""Small models and data of this chapter's tests."""

import numpy as np

from dgm_jax.likelihoods import bernoulli
from dgm_jax.nets import mlp
from dgm_jax.vae import vae


def small_vae(num_latents: int = 3, dim: int = 4):
    encoder, decoder = mlp(dim, 2 * num_latents, hidden=(6,)), mlp(num_latents, dim, hidden=(6,))
    return vae(encoder, decoder, bernoulli(), dim, num_latents=num_latents)


def bits(num: int, dim: int = 4) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 2, (num, dim))
