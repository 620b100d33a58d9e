"""`naive`, the definition of an unroll, on a causal map whose answers are known in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.nets import naive

# f_i(x) = (Σ_j L_ij x_j, 1): causal in the order 2, 0, 1. No parameters.
ORDER = [2, 0, 1]
L = np.zeros((3, 3), np.float32)
L[0, 2], L[1, 2], L[1, 0] = 2.0, -1.0, 0.5


def apply(params, x, cond=None, *, key=None):
    linear = x @ L.T
    return jnp.stack([linear, jnp.ones_like(linear)], -1)


def test_unroll_makes_each_coordinate_from_those_before_it():
    """x = L x + b, so x = (I - L)⁻¹ b, the batch shape kept."""
    b = jnp.arange(18.0).reshape(3, 2, 3)
    x, f, units = naive(lambda key: {}, apply, 3, ORDER).unroll(
        {}, lambda i, f: f[..., 0] + b[..., i] * f[..., 1], (3, 2)
    )
    np.testing.assert_allclose(x, b @ np.linalg.inv(np.eye(3) - L).T, rtol=1e-6)
    np.testing.assert_allclose(f, apply({}, x), rtol=1e-6)
    np.testing.assert_array_equal(units, f)  # what is inside the net is not known


@pytest.mark.parametrize("transpose", [False, True])
def test_linear_unrolls_solve_the_triangular_system(transpose):
    net = naive(lambda key: {}, apply, 3, ORDER)
    x, b = jnp.ones((2, 3)), jnp.arange(6.0).reshape(2, 3)
    linear = net.linearize({}, x, apply({}, x))
    right = jnp.stack([b, -b], -1)
    if transpose:  # f̄ = (b + ½ Lᵀ f̄_0, -b), v = Lᵀ f̄_0
        f_bar, v = linear.unroll_back(lambda i, v: jnp.stack([0.5 * v, 0 * v], -1), right)
        wanted = b @ np.linalg.inv(np.eye(3) - 0.5 * L.T).T
        np.testing.assert_allclose(f_bar[..., 0], wanted, rtol=1e-6)
        np.testing.assert_array_equal(f_bar[..., 1], -b)
        np.testing.assert_allclose(v, wanted @ L, rtol=1e-6)
    else:  # ẋ = 1 + ḟ_0 + ḟ_1 with ḟ = (L ẋ + b, -b): (I - L) ẋ = 1
        x_dot, f_dot = linear.unroll(lambda i, a: 1 + a.sum(-1), right)
        wanted = np.ones((2, 3)) @ np.linalg.inv(np.eye(3) - L).T
        np.testing.assert_allclose(x_dot, wanted, rtol=1e-5)
        np.testing.assert_allclose(f_dot[..., 0], wanted @ L.T + b, rtol=1e-5)
        np.testing.assert_array_equal(f_dot[..., 1], -b)


def test_a_wrong_order_is_another_map():
    """The order is part of the definition: in the order 0, 1, 2 the net is not causal."""
    b = jnp.arange(1.0, 4.0)

    def emit(i, f):
        return f[..., 0] + b[i]

    right, *_ = naive(lambda key: {}, apply, 3, ORDER).unroll({}, emit, ())
    wrong, *_ = naive(lambda key: {}, apply, 3).unroll({}, emit, ())
    assert jnp.abs(right - wrong).max() > 0.1
