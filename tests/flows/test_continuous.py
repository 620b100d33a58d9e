"""CNF and FFJORD: the closed-form trace, densities that integrate to one, keys, penalties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import divergence_by_autodiff
from dgm_jax.combinators import compose, invert, pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import cnf, coupling, ffjord, mlp_field, neural_ode, regularized_nll
from dgm_jax.objectives import nll
from tests.contracts.compiled import jit
from tests.helpers import perturb

DIM = 3


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def moved(model, scale=0.5):
    init_key, move_key = jax.random.split(jax.random.key(0))
    return jit(lambda: perturb(model.init(init_key), move_key, scale))()


def points(num=5, dim=DIM, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(num, dim)), jnp.float32)


@pytest.mark.parametrize("hidden", [(7,), (7, 6), (5, 4, 6)])
@pytest.mark.parametrize("cond_shape", [0, 2])
def test_the_closed_form_of_the_trace_is_that_of_the_jacobian(float64, hidden, cond_shape):
    field = mlp_field(DIM, hidden=hidden, activation=jax.nn.softplus, cond_shape=cond_shape)
    params, x = moved(field), points()
    cond = points(dim=2, seed=1) if cond_shape else None

    @jit
    def run(params, x):
        def f(x, c):
            return field.velocity(params, x, 0.3, c)

        jacobian = jax.vmap(jax.jacfwd(f), (0, 0 if cond_shape else None))(x, cond)
        by_autodiff = divergence_by_autodiff(field.velocity)(params, x, 0.3, cond)
        return field.divergence(params, x, 0.3, cond), by_autodiff, (f(x, cond), jacobian)

    (f, trace), by_autodiff, (velocity, jacobian) = run(params, x)
    wanted = velocity, jnp.trace(jacobian, axis1=1, axis2=2)
    for got in ((f, trace), by_autodiff):
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert jnp.abs(trace).min() > 1e-3


@pytest.mark.parametrize("hidden", [(9,), (9, 8)])
def test_a_field_starts_at_rest_and_the_flow_as_the_identity(hidden):
    flow = cnf(DIM, hidden=hidden)
    start = flow.init(jax.random.key(0))
    x, log_det = jit(lambda z: flow.bijector(start).forward_and_log_det(z))(points())
    np.testing.assert_array_equal(x, points())
    np.testing.assert_array_equal(log_det, 0)


def plane_grid(limit, num):
    axis = np.linspace(-limit, limit, num)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), (axis[1] - axis[0]) ** 2


def line_grid(limit, num):
    axis = np.linspace(-limit, limit, num)
    return axis[:, None], axis[1] - axis[0]


@pytest.mark.parametrize("dim, grid", [(1, line_grid(15, 2001)), (2, plane_grid(12, 241))])
def test_the_density_integrates_to_one_and_is_converged_in_its_tolerance(dim, grid):
    """And a tolerance of a tenth moves log p by less than 1e-3."""
    x, cell = grid
    models = [
        pushforward(cnf(dim, hidden=(16, 16), rtol=tol, atol=tol), standard_normal(dim))
        for tol in (1e-5, 1e-6)
    ]
    params = moved(models[0])
    log_p, tighter = jit(lambda p, x: [m.dist(p).log_prob(x) for m in models])(
        params, jnp.asarray(x, jnp.float32)
    )
    assert abs(float(jnp.exp(log_p).sum() * cell) - 1) < 2e-3
    likely = log_p > -20
    assert jnp.abs(log_p - tighter)[likely].max() < 1e-3
    normal = standard_normal(dim).dist({}).log_prob(jnp.asarray(x, jnp.float32))
    assert jnp.abs(log_p - normal)[likely].max() > 0.5  # it is another density


def test_a_key_makes_ffjord_estimate_and_cnf_does_not_draw():
    x = points()
    exact = pushforward(cnf(DIM, hidden=(8,)), standard_normal(DIM))
    model = pushforward(ffjord(DIM, hidden=(8,)), standard_normal(DIM))
    params = moved(model)

    @jit
    def run(params):
        no_key = [nll(m, params, None, x)[0] for m in (exact, model)]
        keyed = [nll(m, params, jax.random.key(i), x)[0] for i in (0, 1) for m in (exact, model)]
        return no_key, keyed

    (one, two), (also_exact, estimate, again_exact, another) = run(params)
    assert one == two == also_exact == again_exact
    assert jnp.abs(estimate - one) > 1e-3 and jnp.abs(estimate - another) > 1e-3


def test_the_gradient_of_the_estimate_is_unbiased():
    """Over many copies of one example, each with its own noise, it is that of the exact trace."""
    dim = 2
    model = pushforward(ffjord(dim, hidden=(6,), rtol=1e-4, atol=1e-4), standard_normal(dim))
    params = moved(model)
    x = jnp.broadcast_to(points(1, dim), (4000, dim))
    grad = jit(lambda p, key, x: jax.tree.leaves(jax.grad(lambda p: nll(model, p, key, x)[0])(p)))
    blocks = [grad(params, key, x) for key in jax.random.split(jax.random.key(5), 8)]
    exact = jit(lambda p: jax.tree.leaves(jax.grad(lambda p: nll(model, p, None, x[:2])[0])(p)))
    for leaf, *estimates in zip(exact(params), *blocks, strict=True):
        mean, stderr = np.mean(estimates, 0), np.std(estimates, 0, ddof=1) / np.sqrt(8)
        assert (np.abs(mean - leaf) < 6 * stderr + 1e-3).all()


def test_a_key_reaches_every_part_of_a_flow_of_flows():
    """compose, repeat and invert give each part its own noise; parts that do not draw need none."""
    layer = compose(ffjord(DIM, hidden=(4,)), coupling(DIM, hidden=(4,)))
    models = [pushforward(f, standard_normal(DIM)) for f in (repeat(layer, 2), invert(layer))]
    params = [moved(model) for model in models]

    @jit
    def run(params):
        losses = [
            [nll(m, p, key and jax.random.key(key), points())[0] for key in (1, 1, 2, None)]
            for m, p in zip(models, params, strict=True)
        ]
        return jnp.array(losses)

    for first, again, other, exact in run(params):
        assert first == again and abs(first - other) > 1e-3 and abs(first - exact) > 1e-3


@pytest.mark.parametrize("key", [None, 1])
def test_the_penalties_add_to_the_likelihood_and_are_told(key):
    model = pushforward(ffjord(DIM, hidden=(8,)), standard_normal(DIM))
    params, x = moved(model), points()

    @jit
    def run(params):
        keys = [key and jax.random.key(key) for _ in range(2)]
        weighed = regularized_nll(model, params, keys[0], x, kinetic=0.3, frobenius=0.2)
        return *weighed, nll(model, params, keys[1], x)[0]

    loss, metrics, plain = run(params)
    np.testing.assert_allclose(metrics["nll"], plain, rtol=1e-6)
    wanted = plain + 0.3 * metrics["kinetic"] + 0.2 * metrics["frobenius"]
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    assert metrics["kinetic"] > 0.01 and metrics["frobenius"] > 0.01
    assert metrics["num_evals"] >= 13


def test_paths_are_of_one_continuous_flow():
    model = pushforward(repeat(cnf(DIM, hidden=(4,)), 2), standard_normal(DIM))
    with pytest.raises(ValueError, match="one continuous flow"):
        params = model.init(jax.random.key(0))
        jax.eval_shape(lambda: regularized_nll(model, params, None, points()))


def test_any_field_is_a_neural_ode():
    """dx/dt = -x/2 for time log 4 halves every coordinate."""
    field = mlp_field(DIM, hidden=(3,))._replace(
        init=lambda key: {},
        velocity=lambda params, x, t, cond=None: -x / 2,
        divergence=lambda params, x, t, cond=None: (-x / 2, jnp.full(x.shape[:-1], -DIM / 2)),
    )
    flow = neural_ode(field, DIM, time=float(np.log(4)))
    x, log_det = jit(lambda z: flow.bijector({}).forward_and_log_det(z))(points())
    np.testing.assert_allclose(x, points() / 2, rtol=1e-4)
    np.testing.assert_allclose(log_det, -DIM * np.log(2), rtol=1e-4)


def test_an_ensemble_under_vmap_has_gradients_in_every_leaf_and_those_of_its_members():
    model = pushforward(
        cnf(2, hidden=(5, 4), cond_shape=(1,), rtol=1e-6, atol=1e-6), standard_normal(2)
    )
    x, cond = points(4, 2), points(4, 1, seed=1)
    rng = np.random.default_rng(2)
    members = jax.tree.map(
        lambda a: jnp.asarray(rng.normal(0, 0.5, (2, *a.shape)), a.dtype),
        jax.eval_shape(model.init, jax.random.key(0)),
    )
    grad = jax.grad(lambda params: nll(model, params, None, x, cond)[0])

    @jit
    def run(members):
        return jax.vmap(grad)(members), grad(jax.tree.map(lambda a: a[1], members))

    together, one = run(members)
    for path, leaf in jax.tree.leaves_with_path(together):
        assert (jnp.abs(leaf).reshape(2, -1).max(-1) > 1e-6).all(), jax.tree_util.keystr(path)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-3, atol=1e-5), together, one
    )


def test_a_failed_path_is_a_nan_loss_that_says_why_also_without_penalties():
    model = pushforward(cnf(DIM, hidden=(8,), max_steps=1), standard_normal(DIM))
    params = moved(model)

    @jit
    def run(params):
        def loss(params):
            return regularized_nll(model, params, None, points(), kinetic=0.0, frobenius=0.0)

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, metrics), grads = run(params)
    assert jnp.isnan(loss) and jnp.isnan(metrics["nll"]) and metrics["failure"] == 1
    assert all(jnp.isnan(leaf).any() for leaf in jax.tree.leaves(grads))
    with pytest.raises(ValueError, match="the ODE is not solved"):
        regularized_nll(model, params, None, points())
