"""The base of most flows."""

import jax.numpy as jnp
import numpy as np

from dgm_jax.distributions import standard_normal


def test_standard_normal_is_the_formula():
    z = jnp.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    wanted = -0.5 * (z**2).sum(-1) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(standard_normal(3).dist({}).log_prob(z), wanted, rtol=1e-6)


def test_standard_normal_has_no_parameters(key):
    assert standard_normal(3).init(key) == {}
