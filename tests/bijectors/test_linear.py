"""The factors of linear maps against dense matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Diagonal, Orthogonal, Permutation, Triangular, householder
from tests.contracts.compiled import jit

DIM = 4
RNG = np.random.default_rng(0)
MATRIX = jnp.asarray(RNG.normal(size=(DIM, DIM)), jnp.float32)
VECTOR = jnp.asarray(RNG.normal(0, 0.5, DIM), jnp.float32)
Q = jit(householder)(MATRIX)
FACTORS = {
    "diagonal": (lambda n: Diagonal(VECTOR, event_ndims=n), jnp.diag(jnp.exp(VECTOR))),
    "lower": (
        lambda n: Triangular(MATRIX, VECTOR, lower=True, event_ndims=n),
        jnp.tril(MATRIX, -1) + jnp.diag(jnp.exp(VECTOR)),
    ),
    "upper": (
        lambda n: Triangular(MATRIX, VECTOR, lower=False, event_ndims=n),
        jnp.triu(MATRIX, 1) + jnp.diag(jnp.exp(VECTOR)),
    ),
    "orthogonal": (lambda n: Orthogonal(Q, event_ndims=n), Q),
    "permutation": (
        lambda n: Permutation([2, 0, 3, 1], event_ndims=n),
        jnp.eye(DIM)[jnp.array([2, 0, 3, 1])],
    ),
}


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("event_ndims, shape", [(1, (5,)), (1, (2, 3)), (3, (2, 3, 5))])
def test_a_factor_is_its_matrix_at_every_pixel(name, event_ndims, shape):
    """y = M x and log|det M|, for images H·W times: the dense matrix as the oracle."""
    make, matrix = FACTORS[name]
    x = jnp.asarray(RNG.normal(size=(*shape, DIM)), jnp.float32)

    @jit
    def run(x):
        t = make(event_ndims)
        return t.forward_and_log_det(x), t.inverse_and_log_det(t.forward(x))

    (y, log_det), (back, back_log_det) = run(x)
    np.testing.assert_allclose(y, x @ matrix.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-4)
    pixels = 1 if event_ndims == 1 else shape[-2] * shape[-1]
    wanted = pixels * jnp.linalg.slogdet(matrix).logabsdet
    assert log_det.shape == back_log_det.shape == x.shape[: x.ndim - event_ndims]
    wanted = jnp.broadcast_to(wanted, log_det.shape)  # Q is orthogonal to rounding only
    np.testing.assert_allclose(log_det, wanted, rtol=1e-5, atol=pixels * 1e-6)
    np.testing.assert_allclose(back_log_det, -log_det, rtol=1e-6)


@pytest.mark.parametrize("num", [1, 3, DIM, 9])
def test_householder_is_the_product_of_its_reflections(num):
    vectors = jnp.asarray(RNG.normal(size=(num, DIM)), jnp.float32)
    wanted = np.eye(DIM)
    for v in np.asarray(vectors, np.float64):
        wanted = wanted @ (np.eye(DIM) - 2 * np.outer(v, v) / (v @ v))
    got = np.asarray(jit(householder)(vectors))
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    np.testing.assert_allclose(got.T @ got, np.eye(DIM), atol=2e-6)
    np.testing.assert_allclose(np.linalg.det(got), (-1.0) ** num, rtol=1e-5)


def test_a_reflection_of_zeros_is_the_identity_with_finite_gradients():
    vectors = jnp.zeros((2, DIM)).at[1].set(VECTOR)
    q, one, grad = jit(lambda v: (householder(v), householder(v[1:]), jax.jacrev(householder)(v)))(
        vectors
    )
    np.testing.assert_allclose(q, one, atol=1e-6)
    assert np.isfinite(grad).all()


def test_many_reflections_stay_orthogonal():
    vectors = jax.random.normal(jax.random.key(0), (64, 32)).at[10:20].set(1.0)
    q = np.asarray(jit(householder)(vectors))
    np.testing.assert_allclose(q.T @ q, np.eye(32), atol=5e-5)
