"""Continuous flows against the linear ODE, of which everything is known in closed form."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import expm, expm_frechet

from dgm_jax.bijectors import Continuous, Field, divergence_by_autodiff, ode_solver
from dgm_jax.learning import gradient_descent
from tests.contracts.compiled import jit

DIM, TIME = 3, 0.7
TIGHT = {"rtol": 1e-9, "atol": 1e-9}
rng = np.random.default_rng(0)
A, Z = rng.normal(size=(DIM, DIM)), rng.normal(size=(4, DIM))
G, H = rng.normal(size=(4, DIM)), rng.normal(size=4)  # weights of a scalar loss


def linear_velocity(a, x, t, cond=None):
    return x @ a.T


LINEAR = Field(lambda key: jnp.eye(DIM), linear_velocity, divergence_by_autodiff(linear_velocity))


def linear(a, *, key=None, noise="rademacher", **options):
    """dx/dt = a x, with x(T) = e^{aT} z and log|det ∂x/∂z| = T tr a."""
    solver = ode_solver(**{"time": TIME, **TIGHT, **options})
    return Continuous(LINEAR, a, DIM, solver=solver, key=key, noise=noise)


def close(got, wanted, tol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tol, atol=tol), got, wanted)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def closed_form(a, z, sign):
    """The ends, and the gradients of `scalar` in a and z, on the host.

    The adjoint of the derivative of e^{a t} at W is t times the derivative of e^{aᵀ t} along W.
    """
    t = sign * TIME
    ends = z @ expm(t * a).T, np.full(len(z), t * np.trace(a))
    in_a = t * expm_frechet(t * a.T, G.T @ z, compute_expm=False) + H.sum() * t * np.eye(DIM)
    return (scalar(ends), ends), (in_a, G @ expm(t * a))


def scalar(ends):
    """A loss of the end and of the log-det, each example with a weight of its own."""
    x, log_det = ends
    return (G * x).sum() + (H * log_det).sum()


@pytest.mark.parametrize(
    "adjoint, sign",
    [
        ("recursive", 1),
        ("backsolve", -1),
        pytest.param("recursive", -1, marks=pytest.mark.full),
        pytest.param("backsolve", 1, marks=pytest.mark.full),
        pytest.param("direct", -1, marks=pytest.mark.full),
    ],
)
def test_a_linear_ode_is_the_matrix_exponential_with_log_det_t_trace_a(float64, adjoint, sign):
    """Values, and gradients in a and z, in both directions of time and by every adjoint."""

    def solved(a, z):
        t = linear(a, adjoint=adjoint)
        return t.forward_and_log_det(z) if sign > 0 else t.inverse_and_log_det(z)

    def loss(a, z):
        ends = solved(a, z)
        return scalar(ends), ends

    got = jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(A, Z)
    close(got, closed_form(A, Z, sign), 1e-6 if adjoint == "backsolve" else 1e-7)


@pytest.mark.parametrize(
    "adjoint", ["backsolve", pytest.param("recursive", marks=pytest.mark.full)]
)
def test_a_gradient_is_the_finite_difference_of_the_numbers_computed(float64, adjoint):
    """dx/dt = tanh(a x) sin t: no closed form, a field of time."""

    def velocity(a, x, t, cond=None):
        return jnp.tanh(x @ a.T) * jnp.sin(t)

    field = Field(None, velocity, divergence_by_autodiff(velocity))
    direction, step = jnp.asarray(rng.normal(size=A.shape)), 1e-5

    def loss(size):
        solver = ode_solver(time=2.0, **TIGHT, adjoint=adjoint)
        t = Continuous(field, A + size * direction, DIM, solver=solver)
        return scalar(t.inverse_and_log_det(jnp.asarray(Z)))

    slope, (above, below) = jit(lambda: (jax.grad(loss)(0.0), (loss(step), loss(-step))))()
    close(slope, (above - below) / (2 * step), 1e-6)


def test_forward_mode_is_there_with_the_direct_adjoint(float64):
    jacobian = jit(jax.jacfwd(lambda z: linear(A, adjoint="direct").forward(z)))(Z[0])
    close(jacobian, expm(TIME * A), 1e-7)


@cache
def estimated(noise):
    """20000 paths from 0, each with noise of its own."""
    options = {"key": jax.random.key(0), "noise": noise, "rtol": 1e-3, "atol": 1e-3}
    return jit(lambda z: linear(A, **options).forward_path(z))(jnp.zeros((20_000, DIM)))


@pytest.mark.parametrize("noise, diagonal", [("rademacher", 1.0), ("gaussian", 0.0)])
def test_hutchinson_is_unbiased_with_the_variance_of_its_noise(noise, diagonal):
    """log-det = T εᵀ a ε: Var = 2 T² (‖a_s‖² - Σ a_ii²) with signs and 2 T² ‖a_s‖² with normals."""
    log_det = estimated(noise).log_det
    symmetric = (A + A.T) / 2
    variance = 2 * TIME**2 * ((symmetric**2).sum() - diagonal * (np.diag(A) ** 2).sum())
    stderr = np.sqrt(variance / len(log_det))
    assert abs(log_det.mean() - TIME * np.trace(A)) < 4 * stderr
    np.testing.assert_allclose(log_det.var(), variance, rtol=0.05)


def test_the_estimated_jacobian_penalty_is_that_of_the_noise():
    """T ‖εᵀ a‖²: its mean over ε is T ‖a‖², and its noise is that of the trace."""
    frobenius = np.asarray(estimated("rademacher").frobenius)
    signs = np.array(np.meshgrid(*[[-1, 1]] * DIM)).reshape(DIM, -1).T
    values = TIME * ((signs @ A) ** 2).sum(-1)
    stderr = values.std() / np.sqrt(len(frobenius))
    assert abs(frobenius.mean() - TIME * (A**2).sum()) < 4 * stderr
    assert np.abs(frobenius[:, None] - values).min(1).max() < 1e-3


def curved(key=None, **options):
    """A field whose trace depends on where the path is."""

    def velocity(a, x, t, cond=None):
        return jnp.tanh(x @ a.T) * (1 + t)

    field = Field(None, velocity, divergence_by_autodiff(velocity))
    return Continuous(field, jnp.asarray(A), DIM, key=key, solver=ode_solver(**options))


def test_the_noise_stays_along_the_path_and_from_call_to_call(float64):
    """One key is one ODE: the same number twice, and the way back has minus its log-det."""

    @jit
    def run(key, z):
        t = curved(key, **TIGHT)
        x, log_det = t.forward_and_log_det(z)
        path = t.inverse_path(x)
        return log_det, path.end, path.log_det

    z = jnp.asarray(Z)
    log_det, back, back_log_det = run(jax.random.key(1), z)
    np.testing.assert_array_equal(run(jax.random.key(1), z)[0], log_det)
    close((back, back_log_det), (z, -log_det), 1e-7)
    assert jnp.abs(run(jax.random.key(2), z)[0] - log_det).max() > 1e-3
    exact = jit(lambda z: curved(None, **TIGHT).forward_and_log_det(z)[1])(z)
    assert jnp.abs(exact - log_det).max() > 1e-3


def test_what_a_loss_may_penalise_is_the_integral_along_the_path(float64):
    """∫ ‖a e^{at} z‖² dt on a fine grid, and T ‖a‖²; asking for them changes nothing else."""

    @jit
    def run(z):
        t = linear(A)
        return t.forward_path(z), t.inverse_path(z), t.forward_and_log_det(z)

    there, back, alone = run(jnp.asarray(Z))
    np.testing.assert_array_equal(there.end, alone[0])
    np.testing.assert_array_equal(there.log_det, alone[1])
    assert there.failure == back.failure == 0
    times = (np.arange(100) + 0.5) * TIME / 100  # the midpoint rule
    for path, sign in ((there, 1), (back, -1)):
        moves = [expm(sign * s * A) for s in times]
        speed = np.array([((Z @ m.T @ A.T) ** 2).sum(-1) for m in moves])
        close(path.kinetic, TIME * speed.mean(0), 1e-4)
        close(path.frobenius, np.full(4, TIME * (A**2).sum()), 1e-7)


def test_the_evaluations_told_are_those_made():
    made = []

    def velocity(a, x, t, cond=None):
        jax.debug.callback(lambda t: made.append(t), t)
        return 0.1 * jnp.sin(x + 9 * t**3) @ a.T

    field = Field(None, velocity, None)
    t = Continuous(field, jnp.asarray(A), DIM, key=jax.random.key(0), solver=ode_solver(rtol=1e-4))
    path = jit(t.forward_path)(jnp.asarray(Z, jnp.float32))
    jax.effects_barrier()
    assert len(made) == path.num_evals > 40


def test_a_smaller_tolerance_costs_more_evaluations_and_moves_little():
    @jit
    def run(z):
        return [curved(rtol=tol, atol=tol).forward_path(z) for tol in (1e-3, 1e-6)]

    loose, tight = run(jnp.asarray(Z, jnp.float32))
    assert loose.num_evals < tight.num_evals
    close((loose.end, loose.log_det), (tight.end, tight.log_det), 1e-2)


def failing(how):
    """A solver without enough steps; a field that is NaN."""

    def velocity(a, x, t, cond=None):
        return x * (jnp.nan if how == "nan" else 1.0) * a[0, 0] + jnp.sin(50 * x)

    field = Field(None, velocity, divergence_by_autodiff(velocity))
    solver = ode_solver(max_steps=2 if how == "max_steps" else 500)
    return lambda a: Continuous(field, a, DIM, solver=solver)


@pytest.mark.full
def test_training_skips_a_step_whose_path_fails():
    make, z = failing("nan"), jnp.asarray(Z, jnp.float32)

    def loss(a, key, z):
        x, log_det = make(a).inverse_and_log_det(z)
        return (x**2).sum() - log_det.sum(), {}

    descent = gradient_descent(lambda key: jnp.eye(DIM), loss, optax.adam(1e-3))
    state = descent.init(jax.random.key(0))
    state, metrics = jit(descent.step)(state, jax.random.key(1), z)
    assert jnp.isnan(metrics["loss"]) and metrics["skipped"] == 1
    np.testing.assert_array_equal(state.params, jnp.eye(DIM))


@pytest.mark.parametrize("how", ["max_steps", "nan"])
def test_a_failed_path_is_nan_and_says_why(how):
    path = jit(lambda z: failing(how)(jnp.eye(DIM)).forward_path(z))(jnp.asarray(Z, jnp.float32))
    assert all(jnp.isnan(part).all() for part in path[:4])
    assert path.num_evals < 100  # a field that is NaN is given up at once
    assert path.failure == {"max_steps": 1, "nan": 2}[how]


@pytest.mark.parametrize(
    "how, words",
    [
        ("max_steps", "max_steps=2; raise"),
        pytest.param("nan", "too short; look for NaN", marks=pytest.mark.full),
    ],
)
def test_a_failure_outside_of_jit_is_an_error_that_says_why(how, words):
    t, z = failing(how)(jnp.eye(DIM)), jnp.asarray(Z, jnp.float32)
    for call in (t.forward, jax.grad(lambda z: t.inverse_and_log_det(z)[1].sum())):
        with pytest.raises(ValueError, match=words):
            call(z)


def test_every_example_meets_the_tolerance_whatever_its_batch(float64):
    """One example that moves fast among 500 at rest, where a mean over the batch would hide it."""
    z = jnp.zeros((501, DIM)).at[7].set(4.0)

    @jit
    def run(z):
        return curved(rtol=1e-5, atol=1e-5).forward(z), curved(rtol=1e-11, atol=1e-11).forward(z)

    got, exact = run(z)
    alone, _ = run(jnp.broadcast_to(z[7], z.shape))  # a batch of its like
    assert jnp.abs(got - exact)[7].max() < 2 * jnp.abs(alone - exact)[7].max() < 1e-4
