"""Processes: marginals, SDEs and the chain of Ho et al. agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion
from dgm_jax.checks import InputError
from dgm_jax.diffusion.process import drift_and_diffusion, log_snr, times
from tests.contracts.compiled import jit

PROCESSES = {
    "linear_log_snr": diffusion.linear_log_snr(),
    "linear_beta": diffusion.linear_beta(),
    "sub_vp": diffusion.sub_vp(),
    "variance_exploding": diffusion.variance_exploding(),
    "cosine": diffusion.cosine(),
    "straight": diffusion.straight(),
    "from_betas": diffusion.from_betas(np.linspace(1e-4, 0.02, 1000)),
    "learned": diffusion.learned_log_snr().process(
        diffusion.learned_log_snr().init(jax.random.key(3))
    ),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_the_sde_has_the_marginals_of_the_process(name):
    """Euler's steps of dm/dt = f m and dv/dt = 2 f v + g² lead from one end to the other."""
    process = PROCESSES[name]
    first, last = process.ends
    grid = jnp.linspace(first + 0.02, last - 0.02, 20_001)  # rates of some grow at the ends

    @jit
    def ends(grid):
        middles = (grid[1:] + grid[:-1]) / 2
        f, g2 = drift_and_diffusion(process, middles)
        width = jnp.diff(grid)
        growth = jnp.exp(jnp.cumsum(f * width))
        mean = process.alpha(grid[0]) * growth[-1]
        before = growth[-1] / growth
        variance = process.sigma(grid[0]) ** 2 * growth[-1] ** 2 + (before**2 * g2 * width).sum()
        return mean, variance, process.alpha(grid[-1]), process.sigma(grid[-1]), g2.min()

    mean, variance, alpha, sigma, least = ends(grid)
    np.testing.assert_allclose(mean, alpha, rtol=1e-2)
    np.testing.assert_allclose(variance, sigma**2, rtol=1e-2)
    assert least > 0


@pytest.mark.parametrize("name", PROCESSES)
def test_noise_grows_and_the_last_time_is_noise(name):
    process = PROCESSES[name]
    grid = times(process, 200)
    levels = np.asarray(log_snr(process, grid))
    assert np.isfinite(levels).all() and (np.diff(levels) < 0).all()
    last = process.ends[1]
    np.testing.assert_allclose(process.sigma(last), process.scale, rtol=5e-2)
    assert process.alpha(last) < 0.1 * process.scale


def test_a_learned_schedule_keeps_its_ends_and_falls():
    learned = diffusion.learned_log_snr(most=7.0, least=-3.0)
    params = learned.init(jax.random.key(0))
    params = jax.tree.map(lambda a: a + 0.5 * jnp.cos(jnp.arange(a.size).reshape(a.shape)), params)
    levels = log_snr(learned.process(params), jnp.linspace(0, 1, 101))
    np.testing.assert_allclose(levels[jnp.array([0, -1])], [7.0, -3.0], atol=2e-3)
    assert (jnp.diff(levels) < 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: diffusion.from_betas(np.linspace(1e-4, 0.02, 50)), "leave less than 0.01"),
        (lambda: diffusion.from_betas([0.5, 1.5]), "between 0 and 1; got 1.5"),
        (lambda: diffusion.linear_log_snr(1.0, 2.0), "least must be below most=1.0"),
        (lambda: diffusion.linear_beta(0.0), "least must be a finite number above 0"),
        (lambda: times(diffusion.cosine(), 1), "num_steps"),
    ],
)
def test_bad_schedules_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
