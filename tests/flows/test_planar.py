"""The planar flow: the constraint that makes it invertible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.combinators import compose, repeat
from dgm_jax.flows import actnorm, planar
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 4


def test_planar_is_the_formula_of_the_lecture_with_the_constraint():
    """x = z + û tanh(wᵀz + b), det = 1 + h' ûᵀw, by hand; û differs from u along w only."""
    p = drawn(planar(DIM), 1.5)
    w, u = np.asarray(p["w"]), np.asarray(p["u"])
    product = np.log1p(np.exp(w @ u + np.log(np.expm1(0.999)))) - 0.999
    u_hat = u + (product - w @ u) * w / (w @ w)
    z = np.random.default_rng(0).normal(size=(7, DIM)).astype(np.float32)
    h = np.tanh(z @ w + p["b"])
    x, log_det = planar(DIM).bijector(p).forward_and_log_det(z)
    np.testing.assert_allclose(x, z + h[:, None] * u_hat, atol=1e-5)
    np.testing.assert_allclose(log_det, np.log(1 + (1 - h**2) * (u_hat @ w)), atol=1e-5)


@pytest.mark.parametrize("u", [-1.0, -5.0, -100.0])
def test_a_planar_flow_that_violates_the_constraint_is_made_increasing(u):
    """With wᵀu = u < -1 the raw map folds; along w the enforced one never has slope below 0.001."""
    flow = planar(2)
    params = {"w": jnp.array([1.0, 0.0]), "u": jnp.array([u, 2.0]), "b": jnp.array(0.3)}
    line = jnp.stack([jnp.linspace(-4, 4, 801), jnp.zeros(801)], -1)
    x, log_det = flow.bijector(params).forward_and_log_det(line)
    assert (jnp.diff(x[:, 0]) > 0).all()
    assert log_det.min() >= np.log(0.999e-3)
    np.testing.assert_allclose(flow.bijector(params).inverse(x), line, atol=2e-3)


@pytest.mark.parametrize("u", [-1e2, -1e3, -1e4, -1e5])
def test_rounding_does_not_undo_the_constraint_of_a_planar_flow(u):
    """û is 10^5 long and wᵀû almost -1, in float32: still increasing along w, and inverted."""
    flow, w = planar(2), np.array([1.0, 0.7])
    params = {"w": jnp.asarray(w, jnp.float32), "u": jnp.array([u, 0.3]), "b": jnp.array(0.3)}
    line = jnp.asarray(np.linspace(-4, 4, 801)[:, None] * w / np.linalg.norm(w), jnp.float32)
    x, log_det = flow.bijector(params).forward_and_log_det(line)
    assert (np.diff(np.asarray(x, np.float64) @ w)[::20] > 0).all()
    u_hat = (np.asarray(x, np.float64) - line)[-1]  # tanh is 1 there
    slope = 1 + w @ u_hat
    assert slope > 0
    np.testing.assert_allclose(log_det.min(), np.log(slope), atol=0.1)
    back = flow.bijector(params).inverse(x)
    np.testing.assert_allclose(back, line, atol=5e-3 * np.linalg.norm(u_hat))


def test_stacks_are_one_scan_and_compose_with_other_layers():
    flow = repeat(compose(planar(DIM), actnorm(DIM)), 8)
    params = drawn(flow)
    z = points(3, DIM)
    x = jit(lambda p, z: flow.bijector(p).forward(z))(params, z)
    back = jit(lambda p, x: flow.bijector(p).inverse(x))(params, x)
    np.testing.assert_allclose(back, z, rtol=1e-3, atol=1e-3)


def test_parameters_of_numpy_do_outside_of_jit():
    flow, x = planar(DIM), np.asarray(points(3, DIM))
    params = drawn(flow)
    of_numpy = flow.bijector(jax.tree.map(np.asarray, params))
    np.testing.assert_allclose(of_numpy.inverse(x), flow.bijector(params).inverse(x), rtol=1e-6)
