"""The continuous normalising flow: densities that integrate to one."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.bijectors import ode_solver
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import cnf
from dgm_jax.objectives import nll
from tests.contracts.compiled import jit
from tests.helpers import drawn, points


def test_a_field_starts_at_rest_and_the_flow_as_the_identity():
    flow = cnf(3, hidden=(9, 8))
    start, z = flow.init(jax.random.key(0)), points(5, 3)
    x, log_det = jit(lambda z: flow.bijector(start).forward_and_log_det(z))(z)
    np.testing.assert_array_equal(x, z)
    np.testing.assert_array_equal(log_det, 0)


def test_the_density_integrates_to_one_and_is_converged_in_its_tolerance():
    """And a tolerance of a tenth moves log p by less than 1e-3."""
    axis = np.linspace(-12, 12, 121)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    cell = (axis[1] - axis[0]) ** 2

    @jit
    def run(params, tolerance):
        solver = ode_solver()._replace(rtol=tolerance, atol=tolerance)  # one program for both
        model = pushforward(cnf(2, hidden=(8, 8), solver=solver), standard_normal(2))
        return model.dist(params).log_prob(grid)

    params = drawn(pushforward(cnf(2, hidden=(8, 8)), standard_normal(2)), 0.5)
    log_p, tighter = (np.asarray(run(params, tolerance)) for tolerance in (ode_solver().rtol, 1e-6))
    assert abs(float(np.exp(log_p).sum() * cell) - 1) < 2e-3
    likely = log_p > -20
    assert np.abs(log_p - tighter)[likely].max() < 1e-3
    normal = -0.5 * (grid**2).sum(-1) - np.log(2 * np.pi)
    assert np.abs(log_p - normal)[likely].max() > 0.5  # it is another density


def test_an_ensemble_under_vmap_has_gradients_in_every_leaf_whatever_its_order():
    flow = cnf(2, hidden=(4, 3), cond_shape=(1,), solver=ode_solver(max_steps=30))
    model = pushforward(flow, standard_normal(2))
    x, cond = points(4, 2), points(4, 1, seed=2)
    members = jax.tree.map(lambda *a: jnp.stack(a), *(drawn(model, 0.5, seed) for seed in range(2)))
    grads = jit(jax.vmap(jax.grad(lambda params: nll(model, params, None, x, cond)[0])))
    together, swapped = grads(members), grads(jax.tree.map(lambda a: a[::-1], members))
    for path, leaf in jax.tree.leaves_with_path(together):
        assert (jnp.abs(leaf).reshape(2, -1).max(-1) > 1e-6).all(), jax.tree_util.keystr(path)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[::-1], rtol=1e-3, atol=1e-5), together, swapped
    )
