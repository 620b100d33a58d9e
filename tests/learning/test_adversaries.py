"""A step of the game is the two turns that its parts say."""

import functools

import jax
import numpy as np
import optax
import pytest

from dgm_jax import checks
from dgm_jax.learning import adversaries
from dgm_jax.objectives import critic_loss, generator_loss, gradient_penalty, non_saturating
from tests.contracts.compiled import jit
from tests.gans.cases import plain
from tests.helpers import points

GAME, RATE = non_saturating(), 0.1


def play(model, batch, **options):
    sgd = optax.sgd(RATE)
    algorithm = adversaries(model, GAME, critic=sgd, generator=sgd, **options)
    start = algorithm.init(jax.random.key(0))
    end, metrics = jit(algorithm.step)(start, jax.random.key(1), batch)
    return algorithm, start, end, metrics


def test_a_step_is_the_turn_of_the_critic_and_that_of_the_generator_against_it():
    model, x = plain(), points(4, 3)
    algorithm, start, end, metrics = play(model, x, penalty=gradient_penalty, penalty_weight=3.0)
    params, state = algorithm.params(start)
    keys = jax.random.split(jax.random.key(1), 2)
    of_critic = functools.partial(critic_loss, penalty=gradient_penalty, penalty_weight=3.0)
    for loss, mine, key, rows in (
        (of_critic, "critic", keys[0], x[0::2]),
        (generator_loss, "generator", keys[1], x[1::2]),
    ):
        whole = lambda params, state: loss(model, GAME, params, key, rows, state=state)
        (value, _), slopes = jit(jax.value_and_grad(whole, has_aux=True))(params, state)
        params |= {mine: jax.tree.map(lambda p, g: p - RATE * g, params[mine], slopes[mine])}
        np.testing.assert_allclose(metrics[f"{mine}/loss"], value, rtol=1e-5)
    moved, _ = algorithm.params(end)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), moved, params)


def test_conditions_are_dealt_out_with_their_rows():
    model = plain(cond_shape=(2,))
    batch = points(6, 3), points(6, 2)
    *_, metrics = play(model, batch, num_critic_updates=2, ema_decay=0.9)
    assert np.isfinite(metrics["critic/loss"]) and "generator/fake" in metrics
    with pytest.raises(checks.InputError, match="cond is missing"):
        play(model, points(6, 3))


def test_seeds_under_vmap_play_the_games_they_play_alone():
    model, x = plain(), points(4, 3)
    sgd = optax.sgd(RATE)
    algorithm = adversaries(model, GAME, critic=sgd, generator=sgd)
    keys = jax.random.split(jax.random.key(0), 3)

    def one(key):
        init_key, step_key = jax.random.split(key)
        return algorithm.params(algorithm.step(algorithm.init(init_key), step_key, x)[0])

    with jax.debug_key_reuse(False):  # under vmap it takes parts of one split for the whole
        together, alone = jit(jax.vmap(one))(keys), jit(one)(keys[1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-6), together, alone
    )
    kernels = together[0]["critic"]["Dense_0"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1])
