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
    """x = z + ∫_0^T f(x_t, t, c) dt, x_0 = z, with log|det ∂x/∂z| = ∫_0^T tr ∂f/∂x dt, exact.

    A continuous normalising flow on vectors [..., dim], which starts as the identity. The inverse
    solves the same ODE from T to 0.

    dim: the size of the vectors x
    hidden: the widths of the hidden layers of the MLP f (`flows.mlp_field`). With one or two layers
        the trace has a closed form that costs less than f; with more it costs dim derivatives of f
    activation: of f, by default tanh; it should be smooth
    cond_shape: of a condition c [..., *cond_shape]; None for none
    solver: T (by default 1), tolerances and how gradients are computed: `bijectors.ode_solver`
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: six evaluations of f
    per step of the solver. If the solver fails, it raises InputError, or under `jit` returns NaN
    (`bijectors.Continuous`). Chen et al. (2018), "Neural ordinary differential equations", section
    4.
    """
    field = mlp_field(dim, hidden=hidden, activation=activation, cond_shape=cond_shape)
    return neural_ode(field, dim, cond_shape=cond_shape, solver=solver)
