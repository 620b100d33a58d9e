"""The noise that turns levels into numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.distributions import uniform_noise
from tests.contracts.compiled import jit


def test_uniform_noise_has_density_one_on_the_cells_of_its_levels():
    """One number for each entry of x, of the shape of x; batch axes stay axes of the batch."""
    x = jnp.zeros((5, 2, 3), jnp.int32)

    @jit
    def run(key):
        dist = uniform_noise((2, 3)).dist({}, x)
        u, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=400)
        return u, log_prob, dist.log_prob(u[0] + 1)

    u, log_prob, outside = run(jax.random.key(0))
    assert u.shape == (400, 5, 2, 3) and log_prob.shape == (400, 5)
    assert u.min() >= 0 and u.max() < 1 and (log_prob == 0).all() and (outside == -np.inf).all()
    np.testing.assert_allclose(u.mean(), 0.5, atol=4.5 / np.sqrt(12 * u.size))


def test_noise_of_no_levels_is_refused():
    assert uniform_noise((2, 3)).init(jax.random.key(0)) == {}
    with pytest.raises(ValueError, match="cond is missing"):
        uniform_noise((2, 3)).dist({})
    with pytest.raises(ValueError, match="shape must be the shape of one condition.*; got 2"):
        uniform_noise(2)
