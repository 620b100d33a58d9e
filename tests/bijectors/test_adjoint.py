"""The adjoint method as on the blackboard: three ODEs, solved together backward in time.

A state moves by dx/dt = f(x, t; θ) from x(0) = z, and a loss L looks at where it is at T. Wanted
are dL/dz and dL/dθ, without the steps that the solver made on the way.

The adjoint a(t) = dL/dx(t) says how the loss would feel a push of the state at time t. A push of
δ at t is a push of δ + ε (∂f/∂x) δ at t + ε, so that a(t)ᵀ δ = a(t + ε)ᵀ (δ + ε (∂f/∂x) δ). Hence

    (1)   dx/dt = f(x, t; θ)              from x(T), back along the path
    (2)   da/dt = -(∂f/∂x)ᵀ a             from a(T) = ∂L/∂x(T)
    (3)   dg/dt = -(∂f/∂θ)ᵀ a             from g(T) = 0: at each moment θ pushes by (∂f/∂θ) δθ

and at the other end dL/dz = a(0), dL/dθ = g(0). For a flow the state has one coordinate more, the
log-determinant ℓ with dℓ/dt = tr ∂f/∂x. Nothing depends on ℓ, so its adjoint stays what it is at T,

    (2')  da/dt = -(∂f/∂x)ᵀ a - a_ℓ ∂(tr ∂f/∂x)/∂x,      (3')  likewise with ∂θ,      da_ℓ/dt = 0,

which is what (1)-(3) say of the state (x, ℓ). Pontryagin et al. (1962); Chen et al. (2018), "Neural
ordinary differential equations", appendix B.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import expm

from dgm_jax.bijectors import Continuous, Field, divergence_by_autodiff, ode_solver
from tests.contracts.compiled import jit

T, DIM, STEPS = 1.3, 2, 200


def f(theta, x, t, cond=None):
    """A field without a closed form."""
    return jnp.tanh(x @ theta["inner"] + t) @ theta["outer"]


def rate(theta, state, t):
    """d/dt (x, ℓ) = (f, tr ∂f/∂x)."""
    x, _ = state
    return f(theta, x, t), jnp.trace(jax.jacfwd(f, argnums=1)(theta, x, t))


def runge_kutta(right_hand_side, state, start, stop):
    """The classical method of order four, equal steps, forward (start < stop) or backward."""
    step = (stop - start) / STEPS

    def moved(state, slope, by):
        return jax.tree.map(lambda s, k: s + by * k, state, slope)

    def body(state, t):
        k1 = right_hand_side(state, t)
        k2 = right_hand_side(moved(state, k1, step / 2), t + step / 2)
        k3 = right_hand_side(moved(state, k2, step / 2), t + step / 2)
        k4 = right_hand_side(moved(state, k3, step), t + step)
        mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4)
        return moved(state, mean, step), None

    return jax.lax.scan(body, state, start + step * jnp.arange(STEPS))[0]


def solve(theta, z):
    """(x(T), ℓ(T)) from x(0) = z, ℓ(0) = 0."""
    return runge_kutta(lambda state, t: rate(theta, state, t), (z, jnp.zeros(())), 0.0, T)


def adjoint(theta, end, loss):
    """dL/dz and dL/dθ from the end of the path alone: (1), (2), (3) backward from T to 0."""

    def backward(joint, t):
        state, a, _ = joint
        slope, pull = jax.vjp(lambda theta, state: rate(theta, state, t), theta, state)
        for_theta, for_state = pull(a)  # (∂f/∂θ)ᵀ a and (∂f/∂x)ᵀ a
        return slope, negative(for_state), negative(for_theta)

    def negative(tree):
        return jax.tree.map(jnp.negative, tree)

    nothing = jax.tree.map(jnp.zeros_like, theta)
    _, a, g = runge_kutta(backward, (end, jax.grad(loss)(end), nothing), T, 0.0)
    return a[0], g


def loss(end):
    x, log_det = end
    return jnp.sin(x[0]) * x[1] + 0.5 * (x**2).sum() - log_det  # like -log p, and more


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def example():
    rng = np.random.default_rng(0)
    inner, outer, z = (jnp.asarray(rng.normal(size=s)) for s in ((DIM, 3), (3, DIM), DIM))
    return {"inner": inner, "outer": outer}, z


def close(got, wanted, tol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tol, atol=tol), got, wanted)


@cache
def by_hand_and_by_autodiff():
    @jit
    def run(theta, z):
        by_autodiff = jax.grad(lambda theta, z: loss(solve(theta, z)), argnums=(1, 0))(theta, z)
        return adjoint(theta, solve(theta, z), loss), by_autodiff

    return run(*example())


def test_the_equations_give_the_gradients_of_autodiff(float64):
    close(*by_hand_and_by_autodiff(), 1e-8)


@pytest.mark.parametrize("how", ["backsolve", pytest.param("recursive", marks=pytest.mark.full)])
def test_they_are_the_gradients_of_a_continuous_flow(how, float64):
    """By both ways in which the library takes them, and for the same loss of x and the log-det."""
    field = Field(None, f, divergence_by_autodiff(f))

    def solved(theta, z):
        solver = ode_solver(time=T, rtol=1e-9, atol=1e-9, adjoint=how)
        return loss(Continuous(field, theta, DIM, solver=solver).forward_and_log_det(z))

    close(jit(jax.grad(solved, argnums=(1, 0)))(*example()), by_hand_and_by_autodiff()[0], 1e-6)


@pytest.mark.full
def test_of_a_linear_ode_the_adjoint_is_the_transposed_matrix_exponential(float64):
    """dx/dt = A x and L = gᵀ x(T): a(0) = e^{Aᵀ T} g, and of L = ℓ(T) = T tr A: dL/dA = T I."""
    rng = np.random.default_rng(1)
    A, g, z = (jnp.asarray(rng.normal(size=s)) for s in ((DIM, DIM), DIM, DIM))
    field = Field(None, lambda a, x, t, cond=None: x @ a.T, None)
    field = field._replace(divergence=divergence_by_autodiff(field.velocity))

    @jit
    def run(A, z):
        solver = ode_solver(time=T, rtol=1e-9, atol=1e-9, adjoint="backsolve")

        def end(A, z):
            return Continuous(field, A, DIM, solver=solver).forward_and_log_det(z)

        a_0 = jax.grad(lambda z: g @ end(A, z)[0])(z)
        return a_0, jax.grad(lambda A: end(A, z)[1])(A)

    close(run(A, z), (expm(A.T * T) @ g, T * jnp.eye(DIM)), 1e-7)


def test_the_path_back_is_not_quite_the_path_there():
    """Why backsolve has an error of its own: a field that contracts, expands on the way back.

    dx/dt = -x forgets its start by e^{-T}; an error of 1e-7 in x(T) is one of 1e-7 e^T in the start
    that (1) finds. At T = 20 the path is lost, which the steps made on the way there still have.
    """

    @jit
    def start_found_again(z):
        end = runge_kutta(lambda x, t: -x, z, 0.0, 20.0)
        return runge_kutta(lambda x, t: -x, end + 1e-7, 20.0, 0.0)

    assert abs(start_found_again(jnp.float32(1.0)) - 1.0) > 1.0
