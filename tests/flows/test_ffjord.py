"""FFJORD: an estimate where a key is given, and the penalties of paths."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import ode_solver
from dgm_jax.combinators import pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import cnf, ffjord, regularized_nll
from dgm_jax.objectives import nll
from dgm_jax.protocol import again
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 2
X = points(5, DIM)
OPTIONS = {"hidden": (4,), "solver": ode_solver(max_steps=50)}
ESTIMATED, EXACT = (
    pushforward(make(DIM, **OPTIONS), standard_normal(DIM)) for make in (ffjord, cnf)
)
PARAMS = drawn(EXACT, 0.7)


@cache
def losses():
    """Of key -> (with penalties, their metrics), the estimate, that of cnf, by one program."""

    @jit
    def run(key):
        weighed = regularized_nll(ESTIMATED, PARAMS, again(key), X, kinetic=0.3, frobenius=0.2)
        plain = (nll(model, PARAMS, again(key), X)[0] for model in (ESTIMATED, EXACT))
        return *weighed, *plain

    return run


def test_a_key_makes_ffjord_estimate_and_cnf_does_not_draw():
    """Without a key the two are one."""
    keys = jax.random.key(1), jax.random.key(1), jax.random.key(2)
    (one, exact), (same, _), (other, still) = (losses()(key)[2:] for key in keys)
    without = jit(lambda: nll(ESTIMATED, PARAMS, None, X)[0])()
    np.testing.assert_allclose(without, exact, rtol=1e-6)
    assert exact == still and one == same
    assert abs(one - other) > 1e-3 and abs(one - exact) > 1e-3


def test_the_gradient_of_the_estimate_is_unbiased():
    """Over many copies of one example, each with its own noise, it is that of the exact trace."""
    flow = ffjord(2, hidden=(3,), solver=ode_solver(rtol=1e-4, atol=1e-4, max_steps=30))
    model = pushforward(flow, standard_normal(2))
    params, x = drawn(model, 0.5), jnp.broadcast_to(points(1, 2), (2000, 2))
    grad = jit(lambda p, key, x: jax.tree.leaves(jax.grad(lambda p: nll(model, p, key, x)[0])(p)))
    blocks = [grad(params, key, x) for key in jax.random.split(jax.random.key(5), 8)]
    for leaf, *estimates in zip(grad(params, None, x[:2]), *blocks, strict=True):
        mean, stderr = np.mean(estimates, 0), np.std(estimates, 0, ddof=1) / np.sqrt(8)
        assert (np.abs(mean - leaf) < 6 * stderr + 1e-3).all()


@pytest.mark.parametrize("key", [pytest.param(None, marks=pytest.mark.full), 1])
def test_the_penalties_add_to_the_likelihood_and_are_told(key):
    loss, metrics, plain, _ = losses()(key and jax.random.key(key))
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
    """Its gradients are those of a failed path, in tests/bijectors/test_continuous.py."""
    flow = cnf(DIM, hidden=(4,), solver=ode_solver(max_steps=1))
    model = pushforward(flow, standard_normal(DIM))
    nothing = {"kinetic": 0.0, "frobenius": 0.0}
    loss, metrics = jit(lambda: regularized_nll(model, PARAMS, None, X, **nothing))()
    assert jnp.isnan(loss) and jnp.isnan(metrics["nll"]) and metrics["failure"] == 1
