"""DCGAN: a noun that games are played with."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import checks, gans, learning, objectives
from tests.contracts.compiled import jit
from tests.helpers import points

SHAPE = (8, 8, 1)
TINY = {"num_latents": 3, "hidden": 2}


def test_a_step_moves_both_players_and_a_penalty_reaches_the_gradient_of_the_gradient():
    model = gans.dcgan(SHAPE, critic_norm="layer", **TINY)
    game = learning.adversaries(
        model,
        objectives.wasserstein(),
        critic=optax.sgd(0.1),
        generator=optax.sgd(0.1),
        penalty=objectives.gradient_penalty,
        penalty_weight=10.0,
    )

    @jit
    def played(key, x):
        state = game.init(key)
        after, metrics = game.step(state, jax.random.clone(key), x)
        return game.params(state)[0], game.params(after), metrics

    before, (after, state), metrics = played(jax.random.key(0), points(8, *SHAPE))
    moved = jax.tree.map(lambda a, b: (a != b).any(), before, after)
    assert all(jax.tree.leaves(moved["generator"])) and any(jax.tree.leaves(moved["critic"]))
    assert all(jnp.isfinite(value) for value in metrics.values()) and metrics["critic/penalty"] > 0
    assert state["generator"]["batch_stats"]["BatchNorm_0"]["count"] == 1


def test_a_game_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    model, adam = gans.dcgan(SHAPE, **TINY), optax.adam(1e-3)
    game = learning.adversaries(
        model, objectives.non_saturating(), critic=adam, generator=adam, ema_decay=0.9
    )

    def play(workdir, num_steps):
        rows = lambda step: np.asarray(points(4, *SHAPE, seed=step))
        options = {"num_steps": num_steps, "workdir": tmp_path / workdir, "progress": False}
        return learning.train(game, jax.random.key(0), rows, **options)

    play("stopped", 2)
    jax.tree.map(
        np.testing.assert_array_equal, play("stopped", 4).params, play("at once", 4).params
    )


def test_batch_norm_under_a_gradient_penalty_is_refused():
    model = gans.dcgan(SHAPE, **TINY)
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    with pytest.raises(checks.InputError, match="batch normalisation"):
        jax.eval_shape(
            lambda params, state, x: objectives.critic_loss(
                model,
                objectives.wasserstein(),
                params,
                jax.random.key(0),
                x,
                state=state,
                penalty=objectives.gradient_penalty,
            ),
            params,
            state,
            points(4, *SHAPE),
        )


def test_samples_do_not_depend_on_their_companions_and_lie_in_minus_one_to_one():
    model = gans.dcgan(SHAPE, **TINY)
    params, state = model.init(jax.random.key(0))
    x = objectives.generated(model, params, state, jax.random.key(1), 4)
    assert x.shape == (4, *SHAPE) and (abs(x) < 1).all()
    z = points(4, 3)
    alone = model.generator.apply(params["generator"], state["generator"], z[:1], train=False)[0]
    beside = model.generator.apply(params["generator"], state["generator"], z, train=False)[0]
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-6)
