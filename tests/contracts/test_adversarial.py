"""What every adversarial model promises, each a line of the cases of a chapter.

Its two nets have the shapes that they state; a state moves with train=True only; the loss of a
player has a gradient for it and moves its state alone; samples in evaluation do not depend on those
drawn beside them. All of a case comes out of one program.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.objectives import critic_loss, generated, generator_loss, non_saturating
from dgm_jax.protocol import Adversarial
from tests.contracts.compiled import jit
from tests.disentangled import cases as disentangled
from tests.gans import cases as gans
from tests.helpers import perturb, points
from tests.quantized import cases as quantized

NUM = 4
MODELS = gans.MODELS | disentangled.MODELS | quantized.GAMES
cases = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.full] if case.full else [])
        for name, case in MODELS.items()
    ],
)


@cache
def built(name):
    """(model, x, conditions of x): a batch of four, with conditions where it has some."""
    case = MODELS[name]
    x = points(NUM, *case.shape)
    if case.cond_shape is None:
        return case.make(), x, None
    if case.num_classes is not None:
        return case.make(), x, jnp.arange(NUM) % case.num_classes
    return case.make(), x, points(NUM, *case.cond_shape, seed=3)


@cache
def found(name):
    """All that is looked at, in one program."""
    model, x, cond = built(name)
    seen = () if cond is None else (cond,)
    game = non_saturating()

    def compute(init_key, spread_key, key):
        params, state = model.init(init_key)
        params = perturb(params, spread_key, 0.1)
        z_key, noise_key, *keys = jax.random.split(key, 6)
        conditional = model.prior.cond_shape is not None
        prior = model.prior.dist({}, *seen) if conditional else model.prior.dist({})
        z = prior.sample(seed=z_key, sample_shape=() if conditional else (NUM,))

        def make(z, *seen):
            again = jax.random.clone(noise_key)
            return model.generator.apply(
                params["generator"], state["generator"], z, *seen, train=False, key=again
            )

        def turn(loss, key):
            at = lambda params: loss(model, game, params, key, x, *seen, state=state)
            (_, (_, moved)), slopes = jax.value_and_grad(at, has_aux=True)(params)
            return slopes, moved

        others = (z.at[1:].set(-z[1:]), *seen)
        alone, after = make(z, *seen)
        values, critic_after = model.critic.apply(
            params["critic"], state["critic"], x, *seen, train=False
        )
        return {
            "state": state,
            "x": alone,
            "beside others": make(*others)[0],
            "values": values,
            "evaluated": {"generator": after, "critic": critic_after},
            "critic": turn(critic_loss, keys[0]),
            "generator": turn(generator_loss, keys[1]),
            "generated": generated(model, params, state, keys[2], NUM, *seen),
        }

    keys = jax.random.split(jax.random.key(0), 3)
    with jax.debug_key_reuse(False):  # the noise of two calls is to be the same
        return jit(compute)(*keys)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@cases
def test_it_is_the_noun_with_its_condition_and_its_shapes(name):
    model, x, _ = built(name)
    assert isinstance(model, Adversarial) and model.cond_shape == MODELS[name].cond_shape
    assert found(name)["x"].shape == found(name)["generated"].shape == x.shape
    assert found(name)["values"].shape == (NUM,)
    assert all(np.isfinite(found(name)[what]).all() for what in ("x", "values", "generated"))


@cases
def test_evaluation_moves_no_state(name):
    same(found(name)["evaluated"], found(name)["state"])


@cases
@pytest.mark.parametrize(("mine", "other"), [("critic", "generator"), ("generator", "critic")])
def test_a_turn_has_gradients_and_moves_states_of_its_player_only(name, mine, other):
    slopes, moved = found(name)[mine]
    same(moved[other], found(name)["state"][other])
    assert not any(np.any(slope) for slope in jax.tree.leaves(slopes[other]))
    own = jax.tree.leaves(slopes[mine])
    assert any(np.any(slope) for slope in own) and all(np.isfinite(slope).all() for slope in own)
    before = jax.tree.leaves(found(name)["state"][mine])
    if before:
        assert any(np.any(a != b) for a, b in zip(before, jax.tree.leaves(moved[mine])))


@cases
def test_a_sample_in_evaluation_does_not_depend_on_those_beside_it(name):
    x, other = found(name)["x"], found(name)["beside others"]
    np.testing.assert_allclose(x[0], other[0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(x[1:], other[1:])
