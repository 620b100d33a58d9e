"""Adam with one division is Adam: its formula in float64, that of optax, and its state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import learning
from tests.contracts.compiled import jit

# Gradients of very different size: ε decides for the smallest, and not for the others.
SIZES = np.array([1e3, 1.0, 1e-4, 1e-8])
GRADS = SIZES * np.random.default_rng(0).normal(size=(12, 3, 4))


def after(optimizer, dtype=jnp.float32):
    """θ after the twelve gradients, from a start away from zero."""
    params = {"w": jnp.full((3, 4), 2.0, dtype)}

    def step(carried, grad):
        params, state = carried
        updates, state = optimizer.update({"w": grad.astype(dtype)}, state, params)
        return (optax.apply_updates(params, updates), state), None

    run = jit(lambda params: jax.lax.scan(step, (params, optimizer.init(params)), GRADS)[0])
    return run(params)


def by_hand(rate, b1, b2, eps, weight_decay):
    theta, m, v = np.full((3, 4), 2.0), 0.0, 0.0
    for t, g in enumerate(GRADS, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        corrected = m / (1 - b1**t), v / (1 - b2**t)
        direction = corrected[0] / (np.sqrt(corrected[1]) + eps) + weight_decay * theta
        theta = theta - rate * direction
    return theta


@pytest.mark.parametrize(
    ("b1", "b2", "eps", "weight_decay"),
    [(0.9, 0.999, 1e-8, 0.0), (0.0, 0.99, 1e-3, 0.0), (0.5, 0.9, 1e-6, 0.3)],
)
def test_it_moves_as_the_published_formula_says(b1, b2, eps, weight_decay):
    adam = learning.adam(0.01, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)
    with jax.enable_x64():
        params, _ = after(adam, jnp.float64)
    np.testing.assert_allclose(params["w"], by_hand(0.01, b1, b2, eps, weight_decay), rtol=1e-6)


def test_it_is_the_adamw_of_optax_with_its_state_schedule_and_mask():
    schedule = optax.cosine_decay_schedule(0.05, 12)
    decayed = lambda params: {"w": True}
    params, state = after(learning.adam(schedule, weight_decay=0.1, decayed=decayed))
    wanted, like = after(optax.adamw(schedule, weight_decay=0.1, mask=decayed))
    np.testing.assert_allclose(params["w"], wanted["w"], rtol=1e-5)
    assert jax.tree.structure(state) == jax.tree.structure(like)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), state, like)


def test_leaves_that_do_not_decay_move_as_without_decay():
    plain, _ = after(learning.adam(0.01))
    kept, _ = after(learning.adam(0.01, weight_decay=0.5, decayed=lambda params: {"w": False}))
    pulled, _ = after(learning.adam(0.01, weight_decay=0.5))
    np.testing.assert_array_equal(kept["w"], plain["w"])
    assert np.abs(pulled["w"] - plain["w"]).min() > 0.01


def test_half_precision_stays_half_precision():
    params, state = after(learning.adam(0.01), jnp.bfloat16)
    assert {x.dtype for x in jax.tree.leaves((params, state[0].mu, state[0].nu))} == {
        jnp.dtype(jnp.bfloat16)
    }
