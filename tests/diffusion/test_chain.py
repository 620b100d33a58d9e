"""The reverse chain against the published formulas, and against the rule of products."""

import jax.numpy as jnp
import numpy as np

from dgm_jax import diffusion
from dgm_jax.diffusion import chain
from dgm_jax.diffusion.process import times


def test_betas_are_the_chain_of_the_paper():
    """ᾱ_i = ∏ (1 - β_j) at t = i / T, and β̃_i, β_i of the published posterior."""
    betas = np.linspace(1e-4, 0.02, 1000)
    process = diffusion.from_betas(betas)
    grid = times(process, 1000)
    bars = np.cumprod(1 - betas)
    np.testing.assert_allclose(process.alpha(grid) ** 2, bars, rtol=2e-3)
    i = 500
    s, t = (chain.level(process, grid[k]) for k in (i - 1, i))
    found = chain.step(s, t)
    np.testing.assert_allclose(found.upper, betas[i], rtol=2e-3)
    lower = betas[i] * (1 - bars[i - 1]) / (1 - bars[i])
    np.testing.assert_allclose(found.lower, lower, rtol=2e-3)
    by_data = np.sqrt(bars[i - 1]) * betas[i] / (1 - bars[i])
    np.testing.assert_allclose(found.by_data, by_data, rtol=2e-3)


def test_the_posterior_is_the_product_of_two_gaussians():
    """q(x_s | x_t, x) ∝ q(x_t | x_s) q(x_s | x), by precisions."""
    process = diffusion.sub_vp()
    s, t = (chain.level(process, jnp.asarray(a)) for a in (0.3, 0.6))
    ratio = t.alpha / s.alpha
    between = t.sigma**2 - ratio**2 * s.sigma**2
    precision = 1 / s.sigma**2 + ratio**2 / between
    found = chain.step(s, t)
    np.testing.assert_allclose(found.upper, between, rtol=1e-5)
    np.testing.assert_allclose(found.lower, 1 / precision, rtol=1e-5)
    np.testing.assert_allclose(found.by_data, s.alpha / s.sigma**2 / precision, rtol=1e-5)


def test_the_datum_is_the_level_below_the_first():
    """There the mean is the predicted x, and the variance β, or a multiple of it."""
    t = chain.level(diffusion.cosine(), jnp.asarray(0.1))
    clean = chain.Level(jnp.ones(()), jnp.zeros(()))
    found = chain.step(clean, t)
    np.testing.assert_allclose([found.by_data, found.lower], [1, 0], atol=1e-6)
    for kind in ("posterior", "upper"):
        np.testing.assert_allclose(chain.variance(kind, clean, t), t.sigma**2, rtol=1e-6)


def test_learned_variances_lie_between_the_two_in_logarithms():
    s, t = (chain.level(diffusion.cosine(), jnp.full(3, a)) for a in (0.3, 0.4))
    found = chain.step(s, t)
    middle = chain.variance("learned", s, t, jnp.array([0.0, 0.5, 1.0]))
    wanted = [found.lower[0], jnp.sqrt(found.lower[1] * found.upper[1]), found.upper[2]]
    np.testing.assert_allclose(middle, wanted, rtol=1e-5)
