"""The largest singular value of weights, and weights divided by it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.nets import from_linen, operator_norm, power_iteration
from dgm_jax.nets.spectral import SpectralNorm
from tests.contracts.compiled import jit
from tests.helpers import points


def test_power_iteration_finds_the_largest_singular_value_and_its_vector():
    w, u = points(7, 5), points(5, seed=2)
    sigma, found = jit(lambda w, u: power_iteration(w, u, num_steps=60))(w, u)
    values, vectors = np.linalg.svd(w)[1:]
    np.testing.assert_allclose(sigma, values[0], rtol=1e-5)
    np.testing.assert_allclose(abs(found @ vectors[0]), 1, rtol=1e-5)


def test_weights_divided_by_it_have_the_norm_one_after_n_updates_and_each_moves_u_once():
    w = points(3, 3, 4, 6)
    module = SpectralNorm()
    state = {"spectral": {"u": jnp.ones(6) / jnp.sqrt(6.0)}}
    one_step = jit(lambda w, s: module.apply(s, w, True, mutable=["spectral"]))
    normed, moved = one_step(w, state)
    matrix = np.asarray(w).reshape(-1, 6)
    by_hand = matrix.T @ (matrix @ np.ones(6))
    np.testing.assert_allclose(moved["spectral"]["u"], by_hand / np.linalg.norm(by_hand), rtol=1e-5)
    for _ in range(100):
        normed, moved = one_step(w, moved)
    sigma = np.linalg.svd(np.asarray(normed).reshape(-1, 6), compute_uv=False)[0]
    np.testing.assert_allclose(sigma, 1, rtol=1e-5)


def test_evaluation_leaves_u_where_it_is_and_the_first_u_is_near_its_end():
    w, module = points(8, 4), SpectralNorm()
    state = module.init(jax.random.key(0), w, False)
    evaluated, after = module.apply(state, w, False, mutable=["spectral"])
    np.testing.assert_array_equal(after["spectral"]["u"], state["spectral"]["u"])
    assert 0.95 < np.linalg.svd(evaluated, compute_uv=False)[0] < 1.001


def test_the_gradient_passes_through_sigma_and_not_through_u_and_v():
    """∂/∂W of ⟨C, W / σ̂⟩ = (C - ⟨C, W/σ̂⟩ v uᵀ) / σ̂, equation 12 of Miyato et al."""
    with jax.enable_x64(True):
        w, c = points(6, 4).astype(float), points(6, 4, seed=2).astype(float)
        module, state = SpectralNorm(), {"spectral": {"u": points(4, seed=3).astype(float)}}

        def loss(w):
            normed, moved = module.apply(state, w, True, mutable=["spectral"])
            return (c * normed).sum(), moved["spectral"]["u"]

        gradient, u = jit(jax.grad(loss, has_aux=True))(w)
        v = w @ u / jnp.linalg.norm(w @ u)
        sigma = v @ w @ u
        wanted = (c - (c * w).sum() / sigma * jnp.outer(v, u)) / sigma
        np.testing.assert_allclose(gradient, wanted, rtol=1e-10)


def test_weights_of_zero_stay_zero_with_a_finite_gradient():
    module, w = SpectralNorm(), jnp.zeros((3, 2))
    state = {"spectral": {"u": jnp.ones(2)}}
    value, gradient = jax.value_and_grad(lambda w: module.apply(state, w, False).sum())(w)
    assert value == 0 and jnp.isfinite(gradient).all()


def circular_matrix(kernel, size):
    """The convolution of images of this size, as the matrix that it is."""
    inputs = kernel.shape[2]
    unit = np.eye(size[0] * size[1] * inputs).reshape(-1, *size, inputs)
    out = sum(
        np.roll(unit, (-i, -j), (1, 2)) @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )
    return out.reshape(len(unit), -1)


@pytest.mark.parametrize("size", [(5, 4), (3, 3)])
def test_the_norm_of_a_convolution_is_that_of_its_matrix_and_within_the_bound(size):
    kernel = np.asarray(points(3, 3, 2, 3))
    found = jit(lambda k: operator_norm(k, size))(kernel)
    np.testing.assert_allclose(found, np.linalg.norm(circular_matrix(kernel, size), 2), rtol=1e-5)
    reshaped = np.linalg.norm(kernel.reshape(-1, 3), 2)
    assert found <= 3 * reshaped  # √(3 · 3)


def test_the_bound_is_reached_by_a_kernel_of_equal_numbers():
    kernel = jnp.ones((3, 3, 1, 1))
    reshaped = jnp.linalg.norm(kernel)  # 3
    np.testing.assert_allclose(operator_norm(kernel, (6, 6)), 3 * reshaped, rtol=1e-6)


def test_zeros_around_the_image_are_a_part_of_a_larger_circle():
    kernel = np.asarray(points(3, 3, 2, 2))
    inputs = np.eye(4 * 4 * 2, dtype=np.float32).reshape(-1, 4, 4, 2)
    layout = ("NHWC", "HWIO", "NHWC")
    conv = jit(
        lambda x: jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
    )
    padded = np.linalg.norm(np.asarray(conv(inputs)).reshape(32, -1), 2)
    assert padded <= operator_norm(kernel, (6, 6)) * (1 + 1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(checks.InputError, match=r"u must have shape \[4\]"):
        power_iteration(points(3, 4), points(3))
    with pytest.raises(checks.InputError, match="size must be .* at least those of the kernel"):
        operator_norm(points(3, 3, 1, 1), (2, 5))
    with pytest.raises(checks.InputError, match="keeps state .'spectral'"):
        from_linen(Stateful(), (2,)).init(jax.random.key(0))


class Stateful(SpectralNorm):
    def __call__(self, x):
        return super().__call__(x[:, None], False)
