"""Linear flows against dense matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.combinators import repeat
from dgm_jax.flows import diagonal, plu, qr, triangular
from tests.contracts.compiled import jit
from tests.helpers import perturb

DIM = 5
LINEAR = {
    "diagonal": diagonal(DIM),
    "lower": triangular(DIM),
    "upper": triangular(DIM, lower=False),
    "plu": plu(DIM),
    "qr": qr(DIM),
    "qr, few reflections": qr(DIM, num_reflections=2),
}


def matrix(flow, params):
    """W with x = W z: the images of the unit vectors, as columns."""
    return flow.bijector(params).forward(jnp.eye(DIM)).T


@pytest.mark.parametrize("name", LINEAR)
def test_the_log_det_read_from_the_diagonal_is_that_of_the_dense_matrix(name):
    flow = LINEAR[name]

    @jit
    def run(key):
        start = flow.init(key)
        params = perturb(start, jax.random.key(1))
        log_det = flow.bijector(params).forward_log_det_jacobian(jnp.ones(DIM))
        return matrix(flow, start), matrix(flow, params), log_det

    start, w, log_det = run(jax.random.key(0))
    np.testing.assert_allclose(start.T @ start, np.eye(DIM), atol=1e-5)  # N(0, I) stays itself
    np.testing.assert_allclose(log_det, np.linalg.slogdet(w).logabsdet, rtol=1e-4, atol=1e-5)
    assert np.abs(w - start).max() > 0.1


@pytest.mark.parametrize("make", [plu, qr])
def test_a_rotation_is_drawn_for_each_key_and_each_layer(make):
    flow = repeat(make(DIM), 2)
    run = jit(lambda key: jax.vmap(lambda p: matrix(make(DIM), p))(flow.init(key)))
    first, second = np.asarray(run(jax.random.key(0)))
    assert np.abs(first - second).max() > 0.1
    assert np.abs(first - np.diag(np.diag(first))).max() > 0.1


def test_plu_keeps_the_permutation_of_its_seed_and_is_triangular_but_for_it():
    flow = plu(DIM, seed=3)
    params = flow.init(jax.random.key(0))
    order = np.random.default_rng(3).permutation(DIM)
    lower_upper = matrix(flow, params)[np.argsort(order)]  # P⁻¹ W = L U
    lower = jnp.tril(params["lower"], -1) + jnp.eye(DIM)
    upper = jnp.triu(params["upper"], 1) + jnp.diag(jnp.exp(params["log_diagonal"]))
    np.testing.assert_allclose(lower_upper, lower @ upper, atol=1e-5)
