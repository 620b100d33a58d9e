"""The reverse SDE has the law of the data, and one path for each sample."""

import jax
import numpy as np
import pytest

from dgm_jax import diffusion
from dgm_jax.checks import InputError
from tests.contracts.compiled import jit
from tests.diffusion import gaussian

PROCESSES = {"vp": diffusion.linear_beta(), "sub_vp": diffusion.sub_vp()}


@pytest.mark.parametrize("name", PROCESSES)
def test_samples_have_the_variances_of_the_data(key, name):
    """As those of the ODE do: with the exact score both have the marginals of the process."""
    model = gaussian.denoiser(PROCESSES[name])
    x = jit(lambda key: diffusion.reverse_sde(model, {}, key, 2000, num_steps=120))(key)
    np.testing.assert_allclose((x**2).mean(0), gaussian.VARIANCES, rtol=0.15)


def test_a_sample_does_not_depend_on_the_others_and_hardly_on_the_steps(key):
    """One Brownian motion: with finer steps the same sample, but for their error."""
    model = gaussian.denoiser(PROCESSES["vp"])

    def draw(num, num_steps):
        again = jax.random.clone(key)
        return jit(lambda key: diffusion.reverse_sde(model, {}, key, num, num_steps=num_steps))(
            again
        )

    few = draw(2, 100)
    np.testing.assert_allclose(few, draw(3, 100)[:2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(few, draw(2, 400), atol=0.4)


def test_bad_numbers_are_refused(key):
    with pytest.raises(InputError, match="num_steps"):
        diffusion.reverse_sde(gaussian.denoiser(PROCESSES["vp"]), {}, key, 3, num_steps=0)
