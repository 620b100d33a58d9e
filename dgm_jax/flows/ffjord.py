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
    """x = z + ∫_0^T f(x_t, t, c) dt, log-det ∫_0^T tr ∂f/∂x dt, the trace estimated: εᵀ (∂f/∂x) ε.

    The path x_t, dx_t/dt = f(x_t, t, c), leads from x_0 = z to x = x_T, and the log-det is that of
    ∂x/∂z. With `pushforward(ffjord(d), standard_normal(d))` it is the density of x for z ~ N(0, I).
    Hutchinson's estimate is used if the bijector gets a key, and the exact trace without one. So
    `nll(model, params, key, x)` trains with the estimate, for one derivative of f instead of d at
    each evaluation, and `model.dist(params).log_prob(x)` has the exact trace. It starts as the
    identity.

    dim: d, the size of the vectors x [..., d]
    hidden, activation: widths of the hidden layers of the MLP f (`flows.mlp_field`), and their
        non-linearity, by default tanh
    noise: the distribution of ε, "rademacher" (±1) or "gaussian"; each example has one ε, the same
        along the path
    cond_shape: of a condition c [..., *cond_shape]; None for none
    solver: T (by default 1), tolerances and how gradients are computed: `bijectors.ode_solver`
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: six evaluations of f
    per step of the solver. If the solver fails, it raises InputError, or under `jit` returns NaN
    (`bijectors.Continuous`). Grathwohl et al. (2019), "FFJORD: free-form continuous dynamics".
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
    """E[-log p(x) + λ_K ∫ ‖f‖² dt + λ_J ∫ ‖∂f/∂x‖² dt]: prefers short and straight paths.

    A loss for the training of a continuous flow dx/dt = f(x, t), whose ODE then takes fewer steps.
    The integrals are over the path from x to the noise; ‖∂f/∂x‖ is the Frobenius norm.

    model: `pushforward(flow, base)` of one continuous flow, such as `ffjord`; else InputError
    params, key: with a key, trace and norm are estimated by one ε per example, tr by εᵀ (∂f/∂x) ε
        and the norm by ‖εᵀ ∂f/∂x‖²; with None they are exact, for d derivatives of f
    x, cond: a batch [n, d], and its conditions, if the model has any
    kinetic, frobenius: λ_K, λ_J
    Returns (loss, metrics), the loss in nats per example, averaged over the batch. The metrics are
    "nll", "kinetic", "frobenius" (the means of the three terms, without λ), "num_evals"
    (evaluations of f) and "failure": 0 if the ODE was solved, 1 if it takes more than `max_steps`,
    2 if a step vanishes. If it is not 0, loss and gradient are NaN (outside of `jit` an error).
    Finlay et al. (2020), "How to train your neural ODE", section 4.
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
