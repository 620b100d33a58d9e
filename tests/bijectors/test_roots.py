"""Roots of increasing functions, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.bijectors import NormalLogitCDF, increasing_root
from tests.contracts.compiled import jit

A = jnp.array([0.0, 0.5, 30.0, -0.999])
Y = jnp.array([2.0, -3.0, 20.0, 1e-3])


def solve(a, y):
    """x + a tanh(x) = y: flat at 0 for a near -1, steep there for a large one."""
    return increasing_root(lambda x: x + a * jnp.tanh(x) - y, y - abs(a) - 1, y + abs(a) + 1)


def test_the_root_is_found_to_rounding_where_newton_alone_would_leave():
    x = jit(solve)(A, Y)
    np.testing.assert_allclose(x + A * jnp.tanh(x), Y, rtol=1e-6, atol=1e-6)


def test_its_derivatives_are_those_of_the_implicit_function_in_both_modes():
    x = solve(A, Y)
    slope = 1 + A * (1 - jnp.tanh(x) ** 2)
    pushes = [
        jit(lambda d: jax.jvp(solve, (A, Y), (d, 0 * d))[1])(jnp.ones(4)),
        jit(lambda d: jax.jvp(solve, (A, Y), (0 * d, d))[1])(jnp.ones(4)),
    ]
    pulls = jit(jax.grad(lambda a, y: solve(a, y).sum(), (0, 1)))(A, Y)
    for got in (pushes, pulls):
        np.testing.assert_allclose(got[0], -jnp.tanh(x) / slope, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(got[1], 1 / slope, rtol=1e-4)
    second = jit(jax.vmap(jax.grad(jax.grad(solve, 1), 1)))(A, Y)
    wanted = 2 * A * jnp.tanh(x) * (1 - jnp.tanh(x) ** 2) / slope**3
    np.testing.assert_allclose(second, wanted, rtol=1e-3, atol=1e-4)


def test_logit_cdf_of_the_normal_and_its_inverse_keep_their_digits_far_in_the_tails():
    z = jnp.array([-40.0, -12.0, -1e-3, 0.0, 0.5, 6.0, 13.0, 40.0])

    @jit
    def run(z):
        t = NormalLogitCDF()
        y, log_det = t.forward_and_log_det(z)
        back, back_log_det = t.inverse_and_log_det(y)
        slopes = jax.vmap(jax.grad(t.forward))(z), jax.vmap(jax.grad(t.inverse))(y)
        return y, log_det, back, back_log_det, slopes

    y, log_det, back, back_log_det, (up, down) = run(z)
    np.testing.assert_allclose(back, z, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(back_log_det, -log_det, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jnp.log(up), log_det, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(jnp.log(down), -log_det, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(jax.nn.sigmoid(y[2:5]), jax.scipy.stats.norm.cdf(z[2:5]), rtol=1e-6)
