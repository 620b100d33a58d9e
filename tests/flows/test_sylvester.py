"""Planar and Sylvester flows: the determinant lemma, and an inverse that always exists."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Sylvester
from dgm_jax.combinators import pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import planar, sylvester
from tests.contracts.compiled import jit
from tests.helpers import drawn, log_det_by_autodiff, points

DIM = 4
FLOWS = {
    "planar": planar(DIM),
    "orthogonal": sylvester(DIM, num_units=2),
    "orthogonal, square": sylvester(DIM, num_units=DIM),
    "householder": sylvester(DIM, form="householder"),
    "householder, few": sylvester(DIM, form="householder", num_reflections=2),
    "triangular": sylvester(DIM, form="triangular"),
}
FULL = ("orthogonal, square", "householder")  # as the others of their forms
everywhere = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.full] if n in FULL else []) for n in FLOWS]
)


@everywhere
def test_the_log_det_is_that_of_the_jacobian_and_the_flow_starts_as_the_identity(name):
    flow = FLOWS[name]
    z = points(5, DIM, seed=7)

    @jit
    def run(params, z):
        t = flow.bijector(params)
        return (
            t.forward(z),
            t.forward_log_det_jacobian(z),
            jax.vmap(lambda z: log_det_by_autodiff(t.forward, z))(z),
        )

    params = drawn(flow, 1.5)
    x, log_det, wanted = run(params, z)
    np.testing.assert_allclose(log_det, wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(x - z).max() > 0.1 and np.abs(log_det).max() > 0.05
    start, start_log_det, _ = run(flow.init(jax.random.key(0)), z)
    np.testing.assert_allclose(start, z, atol=1e-6)
    np.testing.assert_allclose(start_log_det, np.zeros(5), atol=1e-6)


@everywhere
@pytest.mark.parametrize("scale, dtype", [(1.0, jnp.float32), (60.0, jnp.float64)])
def test_the_inverse_exists_however_wild_the_parameters(name, scale, dtype):
    """Points come back to rounding times the condition number; 60 saturates every constraint."""
    flow = FLOWS[name]
    with jax.enable_x64(dtype == jnp.float64):
        params = jax.tree.map(lambda a: jnp.asarray(a, dtype), drawn(flow, scale, seed=3))
        z = jnp.asarray(np.random.default_rng(0).normal(0, 3, (200, DIM)), dtype)

        @jit
        def run(params, z):
            t = flow.bijector(params)
            x, log_det = t.forward_and_log_det(z)
            back, back_log_det = t.inverse_and_log_det(x)
            return x, log_det, back, back_log_det, t.forward(back)

        x, log_det, back, back_log_det, again = run(params, z)
    assert all(np.isfinite(a).all() for a in (x, log_det, back, back_log_det))
    rounding = 30 * jnp.finfo(dtype).eps * np.abs(x).max()
    slope = np.exp(np.minimum(np.asarray(log_det), 0).min())
    np.testing.assert_allclose(again, x, atol=rounding * scale**2)
    np.testing.assert_allclose(back, z, atol=rounding * scale**2 / slope)
    assert np.abs(x - z).max() > 0.3


@everywhere
def test_parameters_in_half_precision_keep_the_constraint(name):
    """0.999 is 1 in bfloat16: saturated constraints would have slope 0."""
    flow, z = FLOWS[name], jnp.zeros((1, DIM))
    start = jax.eval_shape(flow.init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 30, a.shape), jnp.bfloat16), start)
    params["b"] = jnp.zeros_like(params["b"])  # h' = 1 at z = 0

    @jit
    def run(params):
        x, log_det = flow.bijector(params).forward_and_log_det(z)
        return x, log_det, flow.bijector(params).inverse(x)

    x, log_det, back = run(params)
    for values in (x, log_det, back):
        assert jnp.isfinite(values).all()
    assert jnp.abs(log_det).min() > 0.1


@pytest.mark.parametrize(
    "name, dtype", [*((n, jnp.bfloat16) for n in FLOWS if n not in FULL), ("planar", jnp.float32)]
)
def test_results_have_the_dtype_of_x_and_the_parameters(name, dtype):
    """Half precision is computed as float32, and returned as it came."""
    flow = FLOWS[name]
    start = jax.eval_shape(flow.init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 1, a.shape), jnp.bfloat16), start)
    z = jnp.asarray(rng.normal(size=(5, DIM)), dtype)

    @jit
    def run(params, z):
        t = flow.bijector(params)
        wide = flow.bijector(jax.tree.map(lambda a: a.astype(jnp.float32), params))
        exact = wide.forward_and_log_det(z.astype(jnp.float32))
        return t.forward_and_log_det(z), t.inverse_and_log_det(z), exact

    results, back, exact = run(params, z)
    assert all(a.dtype == dtype for a in (*results, *back))
    for got, wanted in zip(results, exact, strict=True):
        np.testing.assert_array_equal(got, wanted.astype(dtype))


@everywhere
def test_gradients_of_the_inverse_are_those_of_the_implicit_function(name):
    """T⁻¹(T(z; θ); θ) = z, so ∂_θ T⁻¹ = -(∂_z T)⁻¹ ∂_θ T, here against fixed weights in float64."""
    flow = FLOWS[name]
    with jax.enable_x64(True):
        params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), drawn(flow, 0.7))
        z, weights = jnp.asarray(np.random.default_rng(1).normal(size=(2, DIM)))

        @jit
        def run(params, z):
            def forward(p, z):
                return flow.bijector(p).forward(z)

            x, jacobian = forward(params, z), jax.jacfwd(forward, 1)(params, z)
            multiplier = jnp.linalg.solve(jacobian.T, weights)
            got = jax.grad(lambda p, x: weights @ flow.bijector(p).inverse(x), (0, 1))(params, x)
            return got, jax.grad(lambda p: -multiplier @ forward(p, z))(params), multiplier

        (in_params, in_x), wanted, multiplier = run(params, z)
    for got, right in [(in_params, wanted), (in_x, multiplier)]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-7, 1e-9), got, right)


@pytest.mark.parametrize("name", ["planar", pytest.param("householder", marks=pytest.mark.full)])
def test_the_density_integrates_to_one(name):
    flow = {"planar": planar(2), "householder": sylvester(2, form="householder")}[name]
    model = pushforward(repeat(flow, 2), standard_normal(2))
    params = drawn(model, 1.5, seed=5)
    cells = -12 + (np.arange(600) + 0.5) * 24 / 600
    grid = jnp.asarray(np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 2), jnp.float32)
    p = jit(lambda params, x: jnp.exp(model.dist(params).log_prob(x)))(params, grid)
    np.testing.assert_allclose(p.sum() * (24 / 600) ** 2, 1, atol=5e-3)


@pytest.mark.parametrize("above", [0.0, 300.0])
def test_the_error_of_an_inverse_is_rounding_times_the_norm_of_its_jacobian(above):
    """Entries of T above the diagonal count too, beyond the least slope 1 + t_ii = 0.01."""
    t = jnp.array([[-0.99, above], [0.0, -0.99]])
    layer = Sylvester(t, jnp.eye(2), jnp.zeros(2), t)
    x = jnp.asarray(np.random.default_rng(0).normal(0, 0.1, (500, 2)), jnp.float32)
    y = layer.forward(x)
    error = np.abs(layer.inverse(y) - x).max()
    jacobian = np.eye(2) + np.asarray(t) * (1 - np.tanh(x) ** 2)[:, None, :]
    factor = np.linalg.norm(np.linalg.inv(jacobian), 2, axis=(1, 2)).max()
    rounding = np.finfo(np.float32).eps * (1 + np.abs(y).max())
    assert error < 4 * np.linalg.norm(t, 2) * rounding * factor
    assert (error > 10 * rounding / 0.01) == (above > 0)


def test_a_layer_of_an_orthogonal_basis_moves_its_subspace_only():
    flow = sylvester(DIM, num_units=1)
    params = jax.tree.map(np.asarray, drawn(flow, 1.5))
    z = np.asarray(points(6, DIM))
    moves = jit(lambda p: flow.bijector(p).forward(z))(params) - z
    assert np.linalg.matrix_rank(moves, tol=1e-4) == 1
    q = params["q"][:, 0] / np.linalg.norm(params["q"])
    np.testing.assert_allclose(moves, (moves @ q)[:, None] * q, atol=1e-5)
