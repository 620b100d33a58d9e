"""Roots of increasing functions, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import increasing_root
from tests.contracts.compiled import jit

A = np.float32([0.0, 0.5, 30.0, -0.999])
Y = np.float32([2.0, -3.0, 20.0, 1e-3])


def solve(a, y):
    """x + a tanh(x) = y: flat at 0 for a near -1, steep there for a large one."""
    return increasing_root(lambda x: x + a * jnp.tanh(x) - y, y - abs(a) - 1, y + abs(a) + 1)


def test_the_root_is_found_to_rounding_where_newton_alone_would_leave():
    x = jit(solve)(A, Y)
    np.testing.assert_allclose(x + A * np.tanh(x), Y, rtol=1e-6, atol=1e-6)


def test_its_derivatives_are_those_of_the_implicit_function_in_both_modes():
    @jit
    def run(a, y):
        one, zero = jnp.ones_like(y), jnp.zeros_like(y)
        pushes = [jax.jvp(solve, (a, y), to)[1] for to in ((one, zero), (zero, one))]
        pulls = jax.grad(lambda a, y: solve(a, y).sum(), (0, 1))(a, y)
        return solve(a, y), pushes, pulls, jax.vmap(jax.grad(jax.grad(solve, 1), 1))(a, y)

    x, pushes, pulls, second = run(A, Y)
    slope = 1 + A * (1 - np.tanh(x) ** 2)
    for got in (pushes, pulls):
        np.testing.assert_allclose(got[0], -np.tanh(x) / slope, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(got[1], 1 / slope, rtol=1e-4)
    wanted = 2 * A * np.tanh(x) * (1 - np.tanh(x) ** 2) / slope**3
    np.testing.assert_allclose(second, wanted, rtol=1e-3, atol=1e-4)


def test_where_no_root_is_in_the_bracket_there_is_an_error_or_nan():
    low, high = np.float32([0, 0]), np.float32([1, 2])
    with pytest.raises(
        ValueError, match="low and high must enclose a root of f; got f = .*5"
    ) as no:
        increasing_root(lambda x: x**3 - 5, low, high)
    assert "\n" not in str(no.value)
    found = jit(lambda low, high: increasing_root(lambda x: x**3 - 5, low, high))(low, high)
    np.testing.assert_allclose(found, [np.nan, 5 ** (1 / 3)], rtol=1e-6)
    ends = increasing_root(lambda x: x - low, low, high)  # a root at an end is one
    np.testing.assert_array_equal(ends, low)
    with pytest.raises(ValueError, match="f must map"):
        increasing_root(lambda x: x.sum(), low, high)
