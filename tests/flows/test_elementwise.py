"""Each coordinate through a function of its own."""

import jax.numpy as jnp
import numpy as np

from dgm_jax.bijectors import affine
from dgm_jax.flows import elementwise


def test_elementwise_gives_each_coordinate_parameters_of_its_own():
    flow = elementwise(2, law=affine(bound=1e6))
    p = {"c": jnp.array([[1.0, 0.0], [0.0, jnp.log(3.0)]])}
    x, log_det = flow.bijector(p).forward_and_log_det(jnp.ones((4, 2)))
    np.testing.assert_allclose(x, jnp.tile(jnp.array([2.0, 3.0]), (4, 1)), rtol=1e-6)
    np.testing.assert_allclose(log_det, jnp.full(4, jnp.log(3.0)), rtol=1e-6)
