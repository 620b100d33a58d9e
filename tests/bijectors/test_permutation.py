"""A fixed permutation."""

import jax.numpy as jnp
import numpy as np

from dgm_jax.bijectors import Permutation


def test_forward_takes_the_coordinates_in_the_order_given():
    x = jnp.array([[10.0, 11.0, 12.0, 13.0], [20.0, 21.0, 22.0, 23.0]])
    y, log_det = Permutation([2, 0, 3, 1]).forward_and_log_det(x)
    np.testing.assert_array_equal(y, [[12, 10, 13, 11], [22, 20, 23, 21]])
    np.testing.assert_array_equal(log_det, [0, 0])


def test_inverse_takes_them_back():
    x = jnp.arange(4.0)
    t = Permutation([2, 0, 3, 1])
    np.testing.assert_array_equal(t.inverse(t.forward(x)), x)
    np.testing.assert_array_equal(t.forward(t.inverse(x)), x)
    assert t.inverse_log_det_jacobian(x) == 0
