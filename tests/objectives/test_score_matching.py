"""Score matching against closed forms, and the theorems that join its losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.checks import InputError
from dgm_jax.flows import mlp_field
from dgm_jax.objectives import (
    denoising_score_matching,
    implicit_score_matching,
    sliced_score_matching,
)
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

COVARIANCE = jnp.array([[2.0, 0.6], [0.6, 0.5]])
PRECISION = jnp.linalg.inv(COVARIANCE)


def data(num=40_000):
    """Rows whose second moments are the covariance to rounding."""
    x = np.random.default_rng(0).normal(size=(num, 2))
    x = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / num)).T
    return jnp.asarray(x @ np.linalg.cholesky(COVARIANCE).T, jnp.float32)


def true_score(x):
    return -x @ PRECISION


def test_at_the_true_score_the_loss_is_minus_half_the_trace_of_the_precision():
    found = implicit_score_matching(true_score, data())
    np.testing.assert_allclose(found, -jnp.trace(PRECISION) / 2, rtol=1e-4)


def test_it_is_the_fisher_divergence_up_to_a_constant():
    """Of another score, ½ E‖s - ∇ log p‖² more: of any net."""
    net = nets.mlp(2, 2, hidden=(8,), activation=jnp.tanh)
    params, x = drawn(net), data()
    score = lambda x: net.apply(params, x)
    more = implicit_score_matching(score, x) - implicit_score_matching(true_score, x)
    gap = ((score(x) - true_score(x)) ** 2).sum(-1) / 2
    np.testing.assert_allclose(more, gap.mean(), rtol=0.03)


@pytest.mark.parametrize("projections", ["rademacher", "gaussian"])
@pytest.mark.parametrize("num", [1, 3])
def test_projections_are_unbiased(key, projections, num):
    net = nets.mlp(2, 2, hidden=(8,), activation=jnp.tanh)
    params, x = drawn(net), points(50, 2)
    score = lambda x: net.apply(params, x)

    @jit
    def found(key):
        losses = jax.vmap(
            lambda key: sliced_score_matching(score, key, x, projections=projections, num=num)
        )(jax.random.split(key, 2000))
        return losses.mean(), losses.std(), implicit_score_matching(score, x)

    mean, std, exact = found(key)
    assert abs(mean - exact) < 4 * std / 2000**0.5
    assert 0 < std < 0.3


def test_the_closed_form_of_a_field_is_the_trace():
    field = mlp_field(3, hidden=(5, 4))
    params, x = drawn(field), points(6, 3)
    score = lambda x: field.velocity(params, x, 0.5)
    exact = implicit_score_matching(score, x)
    closed = implicit_score_matching(
        score, x, with_trace=lambda x: field.divergence(params, x, 0.5)
    )
    np.testing.assert_allclose(closed, exact, rtol=1e-5)


def test_an_energy_model_is_learned_by_the_gradient_of_its_scalar():
    """Of log p = -½ xᵀ A x, known up to a constant: best at A = Σ⁻¹, and there alone."""
    x = data(4000)

    @jit
    def slope(a):
        def loss(a):
            score = jax.grad(lambda x: -jnp.einsum("ni,ij,nj->", x, a, x) / 2)
            return implicit_score_matching(score, x)

        return jax.grad(loss)(a)

    np.testing.assert_allclose(slope(PRECISION), 0, atol=1e-4)
    assert jnp.abs(slope(1.1 * PRECISION)).max() > 0.05


def test_the_best_denoising_score_is_that_of_the_data_with_noise(key):
    """Of all linear scores: the gradient at -(Σ + σ²)⁻¹ is 0, and at -Σ⁻¹ it is not."""
    x, sigma = data(), 0.7

    @jit
    def slope(matrix, key):
        loss = lambda m: denoising_score_matching(lambda x: -x @ m, key, x, sigma)
        return jax.grad(loss)(matrix)

    best = jnp.linalg.inv(COVARIANCE + sigma**2 * jnp.eye(2))
    np.testing.assert_allclose(slope(best, jax.random.clone(key)), 0, atol=0.02)
    assert jnp.abs(slope(PRECISION, key)).max() > 0.1


def test_scales_of_rows_reach_the_score(key):
    """With s = -x / σ² for data at 0, the exact score of each scale, the loss is 0."""
    sigma = jnp.array([0.1, 1.0, 10.0])
    loss = denoising_score_matching(
        lambda x, s: -x / s[:, None] ** 2, key, jnp.zeros((3, 2)), sigma
    )
    np.testing.assert_allclose(loss, 0, atol=1e-10)


def test_wrong_inputs_are_refused(key):
    with pytest.raises(InputError, match="sigma must be a finite number above 0"):
        denoising_score_matching(true_score, key, points(3, 2), 0.0)
    with pytest.raises(InputError, match="one for each of 3 rows"):
        denoising_score_matching(true_score, key, points(3, 2), jnp.ones(2))
    with pytest.raises(InputError, match="projections must be"):
        sliced_score_matching(true_score, key, points(3, 2), projections="uniform")
    with pytest.raises(InputError, match="rows"):
        implicit_score_matching(true_score, points(3, 2, 2))
