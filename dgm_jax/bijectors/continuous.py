"""Continuous flows: the solution of an ordinary differential equation and its log-determinant."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import distrax
import jax
import jax.numpy as jnp
from jax.core import Tracer

from .. import checks
from ..arrays import wide
from ..protocol import Array, Key, Params, Shape, again, described

ADJOINTS = ("recursive", "backsolve", "direct")
NOISES = {"rademacher": jax.random.rademacher, "gaussian": jax.random.normal}
STAGES = 6  # evaluations of f in a step of Tsit5: the first of seven is the last of the step before


class Field(NamedTuple):
    """θ ↦ f_θ: the velocity dx/dt = f_θ(x, t, c) of an ODE, with the trace of its Jacobian.

    init: init(key) -> params, θ
    velocity: velocity(params, x, t, cond=None) -> f [..., d], for x [..., d] and a number t
    divergence: divergence(params, x, t, cond=None) -> (f [..., d], tr ∂f/∂x [...]), exact; use
        `divergence_by_autodiff(velocity)` if there is no cheaper formula
    """

    init: Callable[[Key], Params]
    velocity: Callable[..., Array]
    divergence: Callable[..., tuple[Array, Array]]

    __repr__ = described


def divergence_by_autodiff(velocity: Callable[..., Array]) -> Callable[..., tuple[Array, Array]]:
    """(f, tr ∂f/∂x) with tr ∂f/∂x = Σ_i e_iᵀ (∂f/∂x) e_i, for any velocity f; exact.

        field = Field(init, velocity, divergence_by_autodiff(velocity))

    velocity: velocity(params, x, t, cond) -> f [..., d], for x [..., d]; the f of one x must not
        depend on the other rows of its batch
    Returns divergence(params, x, t, cond=None) -> (f [..., d], trace [...]). Cost: d derivatives of
    f, in forward mode, and memory for the whole Jacobian [d, ..., d].
    """
    checks.function(velocity, "velocity")

    def divergence(params, x, t, cond=None):
        f, jacobian = _jacobian(lambda x: velocity(params, x, t, cond), x)
        return f, jnp.trace(jacobian, axis1=0, axis2=-1)

    return divergence


class Solver(NamedTuple):
    """The options of an ODE solver, made and explained by `bijectors.ode_solver`.

    time: the end T of the interval [0, T]
    rtol, atol: relative and absolute tolerance of a step
    max_steps: the largest number of steps
    adjoint: "recursive", "backsolve" or "direct", how gradients are computed
    """

    time: float
    rtol: float
    atol: float
    max_steps: int
    adjoint: str


@checks.spelled
def ode_solver(
    *,
    time: float = 1.0,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 500,
    adjoint: str = "recursive",
) -> Solver:
    """How dx/dt = f(x, t) is solved on [0, T]: by Tsit5, a Runge-Kutta method of order 5.

    time: T
    rtol, atol: relative and absolute tolerance, which set the size of a step. The estimated error
        e_i of each coordinate x_i is divided by atol + rtol |x_i|, and so is that of the
        log-determinant by atol + rtol |log det|. A step is accepted if for all examples the root
        mean square over i of the former, and the latter, are below 1; else it is repeated with a
        smaller step
    max_steps: the largest number of steps, accepted and rejected ones. An ODE that needs more
        raises InputError, as does one whose steps fall below 10⁻⁶ T (f is not finite, or too
        steep); in traced code, such as `jit`, results and gradients are NaN instead
    adjoint: how gradients are computed

    - "recursive", the default: reverse mode through the steps of the solver, with checkpoints
      (memory O(√max_steps) states). It is the exact gradient of the computed numbers.
    - "backsolve": the lecture's adjoint ODE, solved backwards in time, with the memory of one
      state. It has an additional error, because the path found backwards is not quite the one found
      forwards. Chen et al. (2018), "Neural ordinary differential equations", alg. 1.
    - "direct": supports forward mode too (`jax.jvp`, `jax.jacfwd`); reverse mode is several times
      more expensive.

    Returns a `Solver`, which holds these options: the argument `solver` of `flows.cnf`,
    `flows.ffjord`, `flows.neural_ode` and of the bijector `Continuous`. Numbers that are not
    positive, and another adjoint, raise InputError. Cost: six evaluations of f per step. Tsitouras
    (2011), "Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying
    assumption".
    """
    time = checks.positive(time, "time")
    rtol, atol = checks.positive(rtol, "rtol"), checks.positive(atol, "atol")
    max_steps = checks.positive_int(max_steps, "max_steps")
    checks.choice(adjoint, ADJOINTS, "adjoint")
    return Solver(time, rtol, atol, max_steps, adjoint)


DEFAULT_SOLVER = ode_solver()


class Path(NamedTuple):
    """The end point of a solved ODE, with its log-determinant, regularisers and costs."""

    end: Array  # [..., d]
    log_det: Array  # [...]
    kinetic: Array  # ∫ ‖f‖² dt [...]
    frobenius: Array  # ∫ ‖∂f/∂x‖² dt [...], or its estimate ∫ ‖εᵀ ∂f/∂x‖² dt
    num_evals: Array  # of f: six per step, rejected ones too (one more, uncounted, if the first is)
    failure: Array  # 0 solved; 1 max_steps reached; 2 steps vanish: f is not finite, or too steep


class Continuous(distrax.Bijector):
    """x = z + ∫_0^T f(x_t, t) dt, log|det ∂x/∂z| = ∫_0^T tr ∂f/∂x dt; the inverse goes T to 0.

    field, params: f with its trace, a `Field`, and its parameters
    dim: the size of the vectors x [..., dim]
    solver: T, tolerances and how gradients are computed, by `ode_solver`
    cond, cond_shape: the condition c [..., *cond_shape] of f, and its shape; None for none
    key: with a key, the trace is Hutchinson's unbiased estimate εᵀ (∂f/∂x) ε, which costs one
        derivative of f instead of d. ε is drawn once per example and kept along the path and in all
        methods, so that two calls give the same number. None for the exact trace
    noise: the distribution of ε, "rademacher" or "gaussian"

    The batch is one ODE with common steps, so that each evaluation of f is a matrix product. The
    result for an example thus depends on its batch, within the tolerance. Half precision is solved
    in float32. If the solver fails (`max_steps`, NaN in f) it raises InputError with the reason.
    Traced code (`jit`, `vmap`) cannot raise: there all results and gradients are NaN, training
    skips the step and reports it, and `forward_path(x).failure` is the reason.

    Cost: six evaluations of f per step of the solver; `forward` and `inverse` alone need no trace.
    Chen et al. (2018), "Neural ordinary differential equations", theorem 1; Grathwohl et al.
    (2019), "FFJORD", section 3.
    """

    same_as = checks.same_bijector

    def __init__(
        self,
        field: Field,
        params: Params,
        dim: int,
        *,
        solver: Solver = DEFAULT_SOLVER,
        cond: Array | None = None,
        cond_shape: Shape | None = None,
        key: Key | None = None,
        noise: str = "rademacher",
    ):
        super().__init__(event_ndims_in=1)
        if key is not None:
            checks.key(key)
        checks.choice(noise, NOISES, "noise")
        checks.noun(field, Field, "field")
        checks.noun(solver, Solver, "solver")
        dim, cond_shape = checks.positive_int(dim, "dim"), checks.cond_shape(cond_shape)
        self._field, self._params, self._dim, self._cond = field, params, dim, cond
        self._cond_batch = checks.condition(cond, cond_shape)
        self._solver = solver
        self._key, self._noise = key, noise

    def forward(self, x: Array) -> Array:
        return self._solve(x, self._velocity, 0, backward=False)[0][0]

    def inverse(self, y: Array) -> Array:
        return self._solve(y, self._velocity, 0, backward=True)[0][0]

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return self._solve(x, self._with_trace, 1, backward=False)[0]

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return self._solve(y, self._with_trace, 1, backward=True)[0]

    def forward_path(self, x: Array) -> Path:
        """x and its log-determinant, with the regularisers of the path and its cost.

        x: [..., dim], here the noise z at t = 0
        Returns a tuple (end, log_det, kinetic, frobenius, num_evals, failure): end [..., dim] and
        log_det [...] as `forward_and_log_det`; kinetic [...], ∫ ‖f‖² dt along the path; frobenius
        [...], ∫ ‖∂f/∂x‖² dt, or with a key its estimate; num_evals, how often f was evaluated; and
        failure, 0 if the ODE was solved, 1 if it takes more than max_steps, 2 if steps vanish.
        """
        return self._path(x, backward=False)

    def inverse_path(self, y: Array) -> Path:
        """z and its log-determinant, with ∫ ‖f‖² dt, ∫ ‖∂f/∂x‖² dt and the cost of the solution.

        y: [..., dim], the data at t = T
        Returns a tuple with the fields end [..., dim] and log_det [...], as `inverse_and_log_det`;
        kinetic [...], ∫ ‖f‖² dt along the path; frobenius [...], ∫ ‖∂f/∂x‖² dt, or with a key its
        estimate ∫ ‖εᵀ ∂f/∂x‖² dt; num_evals, how often f was evaluated; and failure, 0 if the ODE
        was solved, 1 if it takes more than max_steps, 2 if steps vanish.

        Without a key the whole Jacobian ∂f/∂x is computed, for d derivatives of f. Finlay et al.
        (2020), "How to train your neural ODE", section 4.
        """
        return self._path(y, backward=True)

    def _path(self, x, backward):
        (end, log_det, kinetic, frobenius), *told = self._solve(
            x, self._with_costs, 3, backward=backward
        )
        return Path(end, log_det, jnp.abs(kinetic), jnp.abs(frobenius), *told)

    # What is integrated: functions of (params, cond, eps), x and t.
    def _velocity(self, args, x, t):
        params, cond, _ = args
        return (self._field.velocity(params, x, t, cond),)

    def _with_trace(self, args, x, t):
        params, cond, eps = args
        if eps is None:
            return self._field.divergence(params, x, t, cond)
        f, row = self._row(args, x, t)
        return f, (row * eps).sum(-1)

    def _with_costs(self, args, x, t):
        params, cond, eps = args
        if eps is None:
            f, jacobian = _jacobian(lambda x: self._field.velocity(params, x, t, cond), x)
            trace = jnp.trace(jacobian, axis1=0, axis2=-1)
            frobenius = (jacobian**2).sum((0, -1))
        else:
            f, row = self._row(args, x, t)
            trace, frobenius = (row * eps).sum(-1), (row**2).sum(-1)
        return f, trace, (f**2).sum(-1), frobenius

    def _row(self, args, x, t):
        """f and εᵀ ∂f/∂x."""
        params, cond, eps = args
        f, pull = jax.vjp(lambda x: self._field.velocity(params, x, t, cond), x)
        return f, pull(eps)[0]

    def _solve(self, x, rates, num_integrals, *, backward):
        """(x, *integrals) at the other end, the evaluations of f, and the failure of a `Path`."""
        checks.events(x, self._dim)
        shape = checks.common_batch({"x": x.shape[:-1], "cond": self._cond_batch})
        dtype = wide(x, *jax.tree.leaves(self._params))
        x = jnp.broadcast_to(x, (*shape, self._dim)).astype(dtype)
        eps = None
        if self._key is not None and num_integrals:  # the same ε for every method
            eps = NOISES[self._noise](again(self._key), x.shape, dtype)

        args, time = (self._params, self._cond, eps), self._solver.time

        def dynamics(t, state, args):
            return tuple(rates(args, state[0], jnp.asarray(t, dtype)))

        # All that is differentiated goes through args: the adjoint ODE knows no closures.
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(dynamics),
            diffrax.Tsit5(),
            *((time, 0.0) if backward else (0.0, time)),
            dt0=-time / 10 if backward else time / 10,  # a first guess
            y0=(x, *(jnp.zeros(shape, dtype) for _ in range(num_integrals))),
            args=args,
            stepsize_controller=_controller(self._solver, _worst_example),
            adjoint=_adjoint(self._solver),
            max_steps=self._solver.max_steps,
            throw=False,
        )
        num_evals = STAGES * solution.stats["num_steps"] + 1  # the first stage of the first step
        failure = _failure(solution.result, self._solver)
        ends = _nan_where(failure > 0, (x, args), tuple(part[0] for part in solution.ys))
        return ends, num_evals, failure


def _jacobian(function, x):
    """f [..., d] and ∂f/∂x [d, ..., d], the coordinate of x first."""
    f, push = jax.linearize(function, x)
    basis = jnp.eye(x.shape[-1], dtype=x.dtype)
    return f, jax.vmap(lambda e: push(jnp.broadcast_to(e, x.shape)))(basis)


def _failure(result, solver):
    """0, 1 or 2 as in `Path`; where the number is known, outside of `jit`, an error instead."""
    out_of_steps = result == diffrax.RESULTS.max_steps_reached
    failure = jnp.where(result == diffrax.RESULTS.successful, 0, jnp.where(out_of_steps, 1, 2))
    if not isinstance(failure, Tracer) and failure:
        why, remedy = (
            (f"it needs more than max_steps={solver.max_steps}", "raise max_steps, rtol or atol")
            if failure == 1
            else ("its steps became too short", "look for NaN in x and in the parameters")
        )
        raise checks.InputError(
            f"the ODE is not solved at rtol={solver.rtol}, atol={solver.atol}: {why}; {remedy}, "
            "or make the field smaller (weight decay, the penalties of regularized_nll)."
        )
    return failure


def _nan_where(failed, inputs, outputs):
    """outputs, or NaN of which the gradient in all inputs is NaN too."""
    dtype = outputs[0].dtype
    total = sum(jnp.sum(leaf, dtype=dtype) for leaf in jax.tree.leaves(inputs))
    nothing = jnp.where(failed, jnp.nan, 0.0).astype(dtype) * total
    return tuple(part + nothing for part in outputs)


def _worst_example(scaled):
    """The largest error of an example: of x as a root mean square, of the log-det as it is.

    What a loss may penalise takes no part, so that asking for it changes no other number.
    """
    x, *rest = jax.lax.stop_gradient(scaled)
    worst = jnp.sqrt((x**2).mean(-1)).max(initial=0.0)
    return jnp.maximum(worst, jnp.abs(rest[0]).max(initial=0.0)) if rest else worst


def _worst_of_adjoint(scaled):
    """The error of the state and of its adjoint. The gradient of the parameters is an integral of
    both that nothing depends on: Kidger et al. (2021), "Hey, that's not an ODE"."""
    state, adjoint, *_ = scaled
    return jnp.maximum(_worst_example(state), _worst_example(adjoint))


def _controller(solver, norm):
    return diffrax.PIDController(
        rtol=solver.rtol, atol=solver.atol, norm=norm, dtmin=1e-6 * solver.time, force_dtmin=False
    )


def _adjoint(solver):
    if solver.adjoint == "recursive":
        return diffrax.RecursiveCheckpointAdjoint()
    if solver.adjoint == "direct":
        return diffrax.DirectAdjoint()
    return diffrax.BacksolveAdjoint(
        solver=diffrax.Tsit5(), stepsize_controller=_controller(solver, _worst_of_adjoint)
    )
