"""Any field is a flow; that of a perceptron has a trace in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import divergence_by_autodiff, ode_solver
from dgm_jax.flows import mlp_field, neural_ode
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 3


@pytest.mark.parametrize(
    "hidden, cond_shape", [((7,), (2,)), ((7, 6), None), ((7, 6), (2, 2)), ((5, 4, 6), None)]
)
def test_the_closed_form_of_the_trace_is_that_of_the_jacobian(hidden, cond_shape):
    field = mlp_field(DIM, hidden=hidden, activation=jax.nn.softplus, cond_shape=cond_shape)
    with jax.enable_x64(True):
        to_float64 = lambda a: jnp.asarray(a, jnp.float64)
        params, x = jax.tree.map(to_float64, (drawn(field, 0.5), points(5, DIM)))
        cond = None if cond_shape is None else to_float64(points(5, *cond_shape, seed=2))

        @jit
        def run(params, x, cond):
            def f(x, c):
                return field.velocity(params, x, 0.3, c)

            jacobian = jax.vmap(jax.jacfwd(f), (0, 0 if cond_shape else None))(x, cond)
            by_autodiff = divergence_by_autodiff(field.velocity)(params, x, 0.3, cond)
            return field.divergence(params, x, 0.3, cond), by_autodiff, (f(x, cond), jacobian)

        closed, by_autodiff, (velocity, jacobian) = run(params, x, cond)
    wanted = velocity, np.trace(jacobian, axis1=1, axis2=2)
    for got in (closed, by_autodiff):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), got, wanted
        )
    assert np.abs(closed[1]).min() > 1e-3


def test_any_field_is_a_neural_ode():
    """dx/dt = -x/2 for time log 4 halves every coordinate."""
    field = mlp_field(DIM, hidden=(3,))._replace(
        init=lambda key: {},
        velocity=lambda params, x, t, cond=None: -x / 2,
        divergence=lambda params, x, t, cond=None: (-x / 2, jnp.full(x.shape[:-1], -DIM / 2)),
    )
    flow = neural_ode(field, DIM, solver=ode_solver(time=float(np.log(4))))
    z = points(5, DIM)
    x, log_det = jit(lambda z: flow.bijector({}).forward_and_log_det(z))(z)
    np.testing.assert_allclose(x, z / 2, rtol=1e-4)
    np.testing.assert_allclose(log_det, -DIM * np.log(2), rtol=1e-4)
