"""FFJORD: a continuous flow trained with a stochastic log-determinant, and its regularisation."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from .. import checks
from ..bijectors import Continuous, Solver
from ..bijectors.continuous import DEFAULT_SOLVER, NOISES
from ..distributions import Pushforward
from ..protocol import Array, Density, Flow, Key, Metrics, Params, Shape
from .neural_ode import mlp_field, neural_ode


@checks.spelled
def ffjord(
    dim: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Callable = jnp.tanh,
    noise: str = "rademacher",
    cond_shape: Shape | None = None,
    solver: Solver = DEFAULT_SOLVER,
) -> Flow:
    """A `cnf` whose log-det is Hutchinson's estimate if a key is given, and exact without one.

    So `nll(model, params, key, x)` trains with the estimate, for O(1) derivatives of a field of any
    depth, and `model.dist(params).log_prob(x)` is the exact density. noise: that of the estimate,
    "rademacher" or "gaussian". The other options are those of `cnf`.
    Grathwohl et al. (2019), "FFJORD: free-form continuous dynamics".
    """
    checks.choice(noise, NOISES, "noise")
    field = mlp_field(dim, hidden=hidden, activation=activation, cond_shape=cond_shape)
    return neural_ode(field, dim, cond_shape=cond_shape, noise=noise, solver=solver)


def regularized_nll(
    model: Density,
    params: Params,
    key: Key | None,
    x: Array,
    cond: Array | None = None,
    *,
    kinetic: float = 0.01,
    frobenius: float = 0.01,
) -> tuple[Array, Metrics]:
    """E [-log p(x) + λ_K ∫ ‖f‖² dt + λ_J ∫ ‖∂f/∂x‖² dt]: prefers short and straight paths.

    For a model `pushforward(flow, base)` with a continuous flow. kinetic, frobenius: λ_K, λ_J. The
    metrics report each term, the evaluations of f, and the `failure` of the path: if it is not 0,
    the loss and its gradient are NaN (outside of `jit` an error). Finlay et al. (2020), "How to
    train your neural ODE", section 4.
    """
    checks.noun(model, Density, "model")
    checks.parameters(params, model.init)
    if key is not None:
        checks.key(key)
    checks.rows_of(x, "x")
    kinetic = checks.not_negative(kinetic, "kinetic")
    frobenius = checks.not_negative(frobenius, "frobenius")
    dist = model.dist(params, cond, key=key)
    if not isinstance(dist, Pushforward) or not isinstance(dist.bijector, Continuous):
        raise checks.InputError(
            "model must be pushforward(flow, base) of one continuous flow, which has a path; "
            f"got a {type(dist).__name__}."
        )
    path = dist.bijector.inverse_path(x)
    nll = -(dist.distribution.log_prob(path.end) + path.log_det).mean()
    costs = {"kinetic": path.kinetic.mean(), "frobenius": path.frobenius.mean()}
    loss = nll + kinetic * costs["kinetic"] + frobenius * costs["frobenius"]
    told = {"num_evals": path.num_evals, "failure": path.failure}
    return loss, {"nll": nll, **costs, **told}
