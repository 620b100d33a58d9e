"""The two views of time: what a step remembers, attention, dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.measure.flops import products
from dgm_jax.nets.causal.time import AllSteps, OneStep
from tests.contracts.compiled import jit

STEPS = 7


def test_memory_is_as_long_as_the_longest_look_back():
    view = OneStep(STEPS, 0)
    view.past(jnp.zeros((2, 3)), (0, 4, 1))
    view.attend(*[jnp.zeros((2, 1, 3))] * 3, window=2)
    assert [a.shape for a in view.memory] == [(5, 2, 3), (2, 2, 3), (2, 2, 3)]
    assert AllSteps(2).past(jnp.ones((1, 2, 1)), (5,))[0].sum() == 0


def test_dropout_is_drawn_for_each_step_and_call_and_equal_in_both_views():
    h = jnp.ones((3, STEPS, 4, 50))

    def calls(view, h):
        return view.dropout(h, 0.3), view.dropout(h, 0.3)

    @jit
    def run(key):
        def step(_, t):
            return None, calls(OneStep(STEPS, t, key=jax.random.clone(key)), h[:, 0])

        _, alone = jax.lax.scan(step, None, jnp.arange(STEPS))
        return calls(AllSteps(STEPS, jax.random.clone(key)), h), alone

    (first, second), alone = run(jax.random.key(0))
    for together, one in zip((first, second), alone):
        np.testing.assert_array_equal(together, jnp.moveaxis(one, 0, 1))
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.7], rtol=1e-6)
    assert abs(float((first == 0).mean()) - 0.3) < 0.03
    for other in (second, jnp.roll(first, 1, 1), jnp.roll(first, 1, 0), jnp.roll(first, 1, 2)):
        assert abs(float(((first == 0) & (other == 0)).mean()) - 0.09) < 0.02  # independent
    for view in (AllSteps(STEPS), OneStep(STEPS, 0)):
        assert view.dropout(h, 0.3) is h
    assert AllSteps(STEPS, jax.random.key(0)).dropout(h, 0.0) is h


LOOKS_BACK = [(1, None), (7, None), (7, 9), (7, 4), (9, 3), (8, 3), (5, 1)]


@pytest.mark.parametrize("steps, window", LOOKS_BACK)
def test_attention_is_the_masked_definition_in_float64_in_both_views(steps, window):
    """Blocks where they pay, with a last one that is not full; and no softmax in float32."""
    with jax.enable_x64(True):
        q, k, v = np.random.default_rng(0).normal(size=(3, 2, steps, 3, 4))
        t, s = np.arange(steps)[:, None], np.arange(steps)
        seen = (s <= t) & (t - s < (window or steps))
        scores = np.einsum("bthc,bshc->bhts", q, k) / 2
        weights = np.exp(scores) * seen
        weights /= weights.sum(-1, keepdims=True)
        y = np.einsum("bhts,bshc->bthc", weights, v)
        together = jit(lambda *a: AllSteps(steps).attend(*a, window=window))(q, k, v)
        np.testing.assert_allclose(together, y, atol=1e-14)
        memory = None
        for i in range(steps):
            view = OneStep(steps, i, memory)
            alone = view.attend(*(jnp.asarray(a[:, i]) for a in (q, k, v)), window=window)
            np.testing.assert_allclose(alone, y[:, i], atol=1e-14)
            memory = view.memory


def test_attention_to_a_window_costs_in_proportion_to_the_length():
    def cost(steps):
        a = jnp.zeros((1, steps, 2, 4))
        return products(lambda a: AllSteps(steps).attend(a, a, a, window=8), a)

    assert cost(512) == 8 * cost(64) == 512 * (2 * 8) * (2 * 2 * 2 * 4)
