"""Data N(0, S), whose best denoiser is linear: what chains, bounds and samplers must agree with."""

import jax
import jax.numpy as jnp

from dgm_jax import diffusion
from dgm_jax.diffusion import chain
from dgm_jax.protocol import Net

VARIANCES = jnp.array([2.0, 0.3])


def net():
    """E[x | x_t] as a net that sees x_t / r and λ: S snr / (S snr + 1) x_t / α."""

    def apply(params, x, level, key=None):
        snr = jnp.exp(level)[:, None]
        return VARIANCES * jnp.sqrt(snr * (snr + 1)) / (VARIANCES * snr + 1) * x

    return Net(lambda key: {}, apply)


def denoiser(process):
    return diffusion.denoiser(net(), (2,), process, target="data")


def exact_variance(s, t):
    """Var[x_s | x_t] = β̃ + c² Var[x | x_t], entry by entry: [batch, 2]."""
    found = chain.step(s, t)
    alpha, sigma = (jnp.asarray(a)[..., None] for a in t)
    left = VARIANCES * sigma**2 / (alpha**2 * VARIANCES + sigma**2)
    lower, by_data = (jnp.asarray(a)[..., None] for a in (found.lower, found.by_data))
    return lower + by_data**2 * left


def draws(key, num):
    """Rows of exactly these second moments."""
    x = jax.random.normal(key, (num, 2))
    x = x / jnp.sqrt((x**2).mean(0))
    return x * jnp.sqrt(VARIANCES)


def entropy():
    return 0.5 * jnp.log(2 * jnp.pi * jnp.e * VARIANCES).sum()
