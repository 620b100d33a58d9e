"""The continuous normalising flow of a multilayer perceptron, with the exact trace."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from .. import checks
from ..bijectors import Solver
from ..bijectors.continuous import DEFAULT_SOLVER
from ..protocol import Flow, Shape
from .neural_ode import mlp_field, neural_ode


@checks.spelled
def cnf(
    dim: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Callable = jnp.tanh,
    cond_shape: Shape | None = None,
    solver: Solver = DEFAULT_SOLVER,
) -> Flow:
    """x = z + ∫ f(x_t, t, c) dt, log-det ∫ tr ∂f/∂x dt, exact. Starts as the identity.

    f is an `mlp_field` with layers of `hidden` units, whose trace has a closed form for one or two
    layers. solver: made by `bijectors.ode_solver`. Both directions solve one ODE (errors and costs:
    `bijectors.Continuous`).
    Chen et al. (2018), "Neural ordinary differential equations", section 4.
    """
    field = mlp_field(dim, hidden=hidden, activation=activation, cond_shape=cond_shape)
    return neural_ode(field, dim, cond_shape=cond_shape, solver=solver)
