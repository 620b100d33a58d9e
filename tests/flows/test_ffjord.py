"""FFJORD: an estimate where a key is given, and the penalties of paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import ode_solver
from dgm_jax.combinators import compose, invert, pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import cnf, coupling, ffjord, regularized_nll
from dgm_jax.objectives import nll
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 3
X = points(5, DIM)


def test_a_key_makes_ffjord_estimate_and_cnf_does_not_draw():
    """And it is handed through compose, repeat, invert and pushforward."""
    layer = compose(ffjord(DIM, hidden=(4,)), coupling(DIM, hidden=(4,)))
    models = [cnf(DIM, hidden=(8,)), ffjord(DIM, hidden=(8,)), invert(repeat(layer, 2))]
    models = [pushforward(flow, standard_normal(DIM)) for flow in models]
    params = [drawn(model, 0.5) for model in models]

    @jit
    def run(params, key):
        keys = [key, key, key] if key is None else jax.random.split(key, 3)
        return [nll(m, p, k, X)[0] for m, p, k in zip(models, params, keys, strict=True)]

    exact, one, again, other = (
        run(params, seed if seed is None else jax.random.key(seed)) for seed in (None, 1, 1, 2)
    )
    assert exact[0] == one[0] == other[0] and one == again
    for drawn_once, drawn_anew, true in list(zip(one, other, exact, strict=True))[1:]:
        assert abs(drawn_once - drawn_anew) > 1e-3 and abs(drawn_once - true) > 1e-3


def test_the_gradient_of_the_estimate_is_unbiased():
    """Over many copies of one example, each with its own noise, it is that of the exact trace."""
    flow = ffjord(2, hidden=(6,), solver=ode_solver(rtol=1e-4, atol=1e-4))
    model = pushforward(flow, standard_normal(2))
    params, x = drawn(model, 0.5), jnp.broadcast_to(points(1, 2), (4000, 2))
    grad = jit(lambda p, key, x: jax.tree.leaves(jax.grad(lambda p: nll(model, p, key, x)[0])(p)))
    blocks = [grad(params, key, x) for key in jax.random.split(jax.random.key(5), 8)]
    for leaf, *estimates in zip(grad(params, None, x[:2]), *blocks, strict=True):
        mean, stderr = np.mean(estimates, 0), np.std(estimates, 0, ddof=1) / np.sqrt(8)
        assert (np.abs(mean - leaf) < 6 * stderr + 1e-3).all()


@pytest.mark.parametrize("key", [None, 1])
def test_the_penalties_add_to_the_likelihood_and_are_told(key):
    model = pushforward(ffjord(DIM, hidden=(8,)), standard_normal(DIM))

    @jit
    def run(params):
        keys = [key and jax.random.key(key) for _ in range(2)]
        weighed = regularized_nll(model, params, keys[0], X, kinetic=0.3, frobenius=0.2)
        return *weighed, nll(model, params, keys[1], X)[0]

    loss, metrics, plain = run(drawn(model, 0.5))
    np.testing.assert_allclose(metrics["nll"], plain, rtol=1e-6)
    wanted = plain + 0.3 * metrics["kinetic"] + 0.2 * metrics["frobenius"]
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    assert metrics["kinetic"] > 0.01 and metrics["frobenius"] > 0.01
    assert metrics["num_evals"] >= 13


def test_paths_are_of_one_continuous_flow():
    model = pushforward(repeat(cnf(DIM, hidden=(4,)), 2), standard_normal(DIM))
    with pytest.raises(ValueError, match="one continuous flow"):
        jax.eval_shape(lambda: regularized_nll(model, drawn(model), None, X))


def test_a_failed_path_is_a_nan_loss_that_says_why_also_without_penalties():
    flow = cnf(DIM, hidden=(8,), solver=ode_solver(max_steps=1))
    model = pushforward(flow, standard_normal(DIM))
    params = drawn(model, 0.5)

    @jit
    def run(params):
        def loss(params):
            return regularized_nll(model, params, None, X, kinetic=0.0, frobenius=0.0)

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, metrics), grads = run(params)
    assert jnp.isnan(loss) and jnp.isnan(metrics["nll"]) and metrics["failure"] == 1
    assert all(jnp.isnan(leaf).any() for leaf in jax.tree.leaves(grads))
    with pytest.raises(ValueError, match="the ODE is not solved"):
        regularized_nll(model, params, None, X)
