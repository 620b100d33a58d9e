"""The probability-flow ODE is a density: normalised, and exact where the score is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion, nets
from dgm_jax.bijectors import ode_solver
from tests.contracts.compiled import jit
from tests.diffusion import gaussian
from tests.helpers import drawn

PROCESSES = {
    "vp": diffusion.linear_beta(),
    "sub_vp": diffusion.sub_vp(),
    "ve": diffusion.variance_exploding(),
    "straight": diffusion.straight(),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_of_gaussian_data_it_is_the_gaussian(key, name):
    """log p and samples have the variances of the data, with the noise of the first time."""
    model = gaussian.denoiser(PROCESSES[name])
    density = diffusion.ode_density(model)
    x = gaussian.draws(jax.random.key(1), 300)
    log_p = jit(lambda x: density.dist({}).log_prob(x))(x)
    variance = gaussian.VARIANCES
    wanted = -0.5 * (x**2 / variance + jnp.log(2 * jnp.pi * variance)).sum(-1)
    np.testing.assert_allclose(log_p, wanted, atol=0.05)
    z = jit(lambda key: density.dist({}).sample(seed=key, sample_shape=(4000,)))(key)
    np.testing.assert_allclose((z**2).mean(0), variance, rtol=0.1)


def test_of_any_net_it_integrates_to_one():
    net = nets.time_mlp(1, hidden=(8,), num_waves=4)
    model = diffusion.denoiser(net, (1,), diffusion.linear_log_snr(6.0, -6.0), target="v")
    density = diffusion.ode_density(model, solver=ode_solver(rtol=1e-6, atol=1e-6))
    params, grid = drawn(model), jnp.linspace(-12, 12, 4001)[:, None]
    log_p = jit(lambda params, x: density.dist(params).log_prob(x))(params, grid)
    np.testing.assert_allclose(jnp.exp(log_p).sum() * (grid[1, 0] - grid[0, 0]), 1, rtol=2e-3)
