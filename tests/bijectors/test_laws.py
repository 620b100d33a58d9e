"""Scalar laws: affine and additive. (The tests of splines and cdf flows are beside.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import additive, affine, contraction

C = jnp.array([[0.5, -1.0], [2.0, 40.0], [0.0, -40.0]])
X = jnp.array([1.5, -0.7, 2.0])


@pytest.mark.parametrize("bound", [0.5, 3.0])
def test_affine_is_the_formula_with_a_bounded_log_scale(bound):
    y, log_det = affine(bound=bound).bijector(C).forward_and_log_det(X)
    log_scale = bound * np.tanh(np.asarray(C[:, 1]) / bound)
    np.testing.assert_allclose(log_det, log_scale, rtol=1e-5)
    np.testing.assert_allclose(y, X * np.exp(log_scale) + C[:, 0], rtol=1e-5)
    assert (jnp.abs(log_det) <= bound).all() and jnp.abs(log_det).max() > 0.99 * bound


def test_a_contraction_hardly_stretches_in_the_direction_of_densities():
    """log s is that of a sigmoid moved by two, less its value at the identity."""
    x, log_det = contraction(least=0.01).bijector(C).inverse_and_log_det(X)
    s = (1 / (1 + np.exp(-np.asarray(C[:, 1], np.float64) - 2)) + 0.01) / (0.880797 + 0.01)
    np.testing.assert_allclose(log_det, np.log(s), rtol=1e-5)
    np.testing.assert_allclose(x, (X - C[:, 0]) * s, rtol=1e-5)
    assert log_det.max() < np.log(1.14) and log_det.min() > np.log(0.01)


def test_additive_is_a_shift_of_log_det_zero():
    y, log_det = additive().bijector(C[:, :1]).forward_and_log_det(X)
    np.testing.assert_array_equal(y, X + C[:, 0])
    np.testing.assert_array_equal(log_det, 0)


@pytest.mark.parametrize("law", [affine(), affine(bound=0.1), contraction(), additive()])
def test_no_parameters_are_the_identity_with_a_gradient(law):
    zero = jnp.zeros((3, law.num_params))
    y, log_det = law.bijector(zero).forward_and_log_det(X)
    np.testing.assert_array_equal(y, X)
    np.testing.assert_array_equal(log_det, 0)
    grad = jax.grad(lambda c: law.bijector(c).forward(X).sum())(zero)
    assert (grad != 0).all()


@pytest.mark.parametrize("law", [affine(), contraction()])
@pytest.mark.parametrize("value", [1e30, -1e30])
def test_samples_of_extreme_parameters_are_finite(law, value):
    c = jnp.array([0.0, value])
    y, log_det = law.bijector(c).forward_and_log_det(jnp.float32(1e3))
    assert jnp.isfinite(y) and jnp.isfinite(log_det)
    grad = jax.grad(lambda c: law.bijector(c).forward(jnp.float32(1.0)))(c)
    assert jnp.isfinite(grad).all()
