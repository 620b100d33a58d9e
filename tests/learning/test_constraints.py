"""Clipped weights stay in their box, and an average of the past stops players that run around."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.learning import clip_weights, historical_averaging
from tests.contracts.compiled import jit


def test_no_weight_leaves_the_box_and_those_inside_move_as_without_it():
    optimizer = optax.chain(optax.sgd(1.0), clip_weights(0.1))
    params = {"w": jnp.array([0.05, -0.05, 0.0])}
    grads = {"w": jnp.array([-1.0, 1.0, 0.02])}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    moved = optax.apply_updates(params, updates)["w"]
    np.testing.assert_allclose(moved, [0.1, -0.1, -0.02], rtol=1e-6)


def test_the_pull_is_the_gradient_of_the_squared_distance_to_the_mean_of_the_past():
    pull = historical_averaging(0.5)
    state, past = pull.init(jnp.zeros(2)), []
    for x in np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32):
        past.append(x)
        updates, state = pull.update(jnp.zeros(2), state, jnp.asarray(x))
        np.testing.assert_allclose(updates, 2 * 0.5 * (x - np.mean(past, 0)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("weight", "ends"), [(0.0, "out"), (0.2, "in")])
def test_on_min_max_x_y_it_ends_at_the_equilibrium_and_without_it_runs_away(weight, ends):
    optimizer = optax.chain(historical_averaging(weight), optax.sgd(0.1))

    def step(_, carried):
        point, state = carried
        slopes = jnp.array([point[1], -point[0]])  # of x y for x, of -x y for y
        updates, state = optimizer.update(slopes, state, point)
        return point + updates, state

    start = jnp.array([1.0, 0.0])
    end, _ = jit(lambda: jax.lax.fori_loop(0, 500, step, (start, optimizer.init(start))))()
    distance = np.linalg.norm(end)
    assert distance > 2 if ends == "out" else distance < 0.2
