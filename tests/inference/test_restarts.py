import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.inference.restarts import best_of, direction, reseeded, until_still
from dgm_jax.protocol import Algorithm
from tests.contracts.compiled import jit


def test_the_dead_become_halves_of_the_heaviest():
    weights = jnp.array([0.5, 0.0, 0.3, 0.0, 0.2])
    found = jit(reseeded)(weights, weights == 0)
    np.testing.assert_array_equal(found.source, [0, 0, 2, 2, 4])
    np.testing.assert_allclose(found.weights, [0.25, 0.25, 0.15, 0.15, 0.2])
    np.testing.assert_array_equal(found.side, [-1, 1, -1, 1, 0])


def test_more_dead_than_living_are_all_apart():
    weights = jnp.array([0.0, 1.0, 0.0, 0.0])
    found = jit(reseeded)(weights, weights == 0)
    np.testing.assert_array_equal(found.source, 1)
    np.testing.assert_allclose(found.weights, 0.25)
    np.testing.assert_array_equal(found.side, [1, -1, 2, 3])


def test_where_none_is_dead_nothing_moves():
    weights = jnp.array([0.5, 0.2, 0.3])
    found = jit(reseeded)(weights, weights == 0)
    np.testing.assert_array_equal(found.source, [0, 1, 2])
    np.testing.assert_array_equal(found.weights, weights)
    np.testing.assert_array_equal(found.side, 0)


def test_the_direction_is_of_length_one():
    np.testing.assert_allclose((direction(7, jnp.float32) ** 2).sum(), 1, rtol=1e-6)


def halving(dies=-1):
    """Rises to 1 by halves, from a start in 0..0.5; at step `dies` a component dies."""

    def step(state, key, x):
        value, t = state
        metrics = {"value": value, "reseeded": (t == dies).astype(x.dtype)}
        return ((value + 1) / 2, t + 1), metrics

    return Algorithm(lambda key: (jax.random.uniform(key) / 2, jnp.zeros((), jnp.int32)), step)


def run(algorithm, tolerance=1e-2, num_steps=50):
    x = jnp.zeros((3, 1))
    return lambda key: until_still(
        algorithm, key, x, monitor="value", num_steps=num_steps, tolerance=tolerance
    )


def test_a_run_ends_where_a_step_gains_less_than_the_tolerance():
    found = jit(run(halving()))(jax.random.key(0))
    gains = np.diff(found.history[: int(found.num_steps)])
    assert (
        gains[-1] < 1e-2 <= gains[:-1].min()
        and np.isnan(found.history[int(found.num_steps) :]).all()
    )
    assert int(jit(run(halving(), num_steps=3))(jax.random.key(0)).num_steps) == 3


def test_a_step_that_reseeds_is_not_the_last():
    plain, dying = (
        jit(run(algorithm))(jax.random.key(0)) for algorithm in (halving(), halving(dies=6))
    )
    steps = int(plain.num_steps)
    assert int(dying.num_steps) == max(steps, 8) and int(dying.num_reseeded) == 1
    assert steps == 7  # so that the death at step 6 held it up


def test_the_best_of_restarts_is_kept():
    best, ends = jit(lambda key: best_of(run(halving(), num_steps=2), key, 5))(jax.random.key(0))
    assert ends.shape == (5,) and np.ptp(ends) > 0.01
    assert best.last == ends.max() == best.history[1]
    alone, ends = jit(lambda key: best_of(run(halving()), key, 1))(jax.random.key(0))
    assert ends.shape == (1,) and alone.last == ends[0]
