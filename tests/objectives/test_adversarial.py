"""Games against the critics and the values that are best in closed form, and how players see them.

A critic of a discrete x in {0, 1, 2} is one number for each value of x, so its best loss is found
by gradient descent and known: π(x) and p(x) are the shares of rows.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import checks, combinators
from dgm_jax.distributions import standard_normal
from dgm_jax.nets import mlp
from dgm_jax.objectives import (
    critic_loss,
    feature_matching,
    generated,
    generator_loss,
    gradient_penalty,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    relativistic,
    wasserstein,
)
from dgm_jax.protocol import StatefulNet
from tests.contracts.compiled import jit
from tests.gans.cases import value_of
from tests.helpers import points

REAL = np.repeat([0, 1, 2], [5, 3, 2])  # π = 0.5, 0.3, 0.2
FAKE = np.repeat([0, 1, 2], [1, 3, 6])  # p = 0.1, 0.3, 0.6
PI, P = np.bincount(REAL) / 10, np.bincount(FAKE) / 10
JSD = sum(0.5 * a * np.log(a / ((PI + P) / 2)) for a in (PI, P)).sum()
GAMES = {
    "minimax": minimax(),
    "non-saturating": non_saturating(),
    "smoothed": non_saturating(smoothing=0.8),
    "least squares": least_squares(fake=-1, real=1.5, wanted=0.5),
    "hinge": hinge(),
    "wasserstein": wasserstein(),
    "relativistic": relativistic(),
}


def best(game):
    """(D* at the three values, the critic's loss there)."""
    loss = lambda values: game.critic(values[np.repeat(REAL, 10)], values[np.tile(FAKE, 10)])
    adam = optax.adam(optax.cosine_decay_schedule(0.1, 2000))

    def step(_, carried):
        values, state = carried
        updates, state = adam.update(jax.grad(loss)(values), state)
        return values + updates, state

    start = jnp.array([0.3, 0.1, -0.2])
    found = jax.lax.fori_loop(0, 2000, step, (start, adam.init(start)))[0]
    return found, loss(found)


def test_the_best_logit_is_that_of_the_ratio_and_the_value_is_twice_jsd_minus_log_4():
    values, loss = jit(lambda: best(minimax()))()
    np.testing.assert_allclose(values, np.log(PI / P), atol=1e-3)
    np.testing.assert_allclose(-loss, 2 * JSD - np.log(4), atol=1e-5)
    even = minimax().critic(jnp.zeros(4), jnp.zeros(4))
    np.testing.assert_allclose(-even, -np.log(4), rtol=1e-6)


def test_smoothing_shrinks_the_best_critic_on_one_side():
    values, _ = jit(lambda: best(non_saturating(smoothing=0.8)))()
    np.testing.assert_allclose(jax.nn.sigmoid(values), 0.8 * PI / (PI + P), atol=1e-3)


def test_the_best_critic_of_least_squares_is_a_mean_of_the_labels_and_the_game_is_a_chi_square():
    game = least_squares(fake=-1, real=1, wanted=0)
    values, _ = jit(lambda: best(game))()
    np.testing.assert_allclose(values, (PI - P) / (PI + P), atol=1e-3)
    both = (game.generator(values[FAKE], None) + game.generator(values[REAL], None)) * 2
    chi_square = ((2 * P - (PI + P)) ** 2 / (PI + P)).sum()
    np.testing.assert_allclose(both, chi_square, atol=1e-4)


def test_the_best_hinge_loss_is_2_minus_twice_the_total_variation():
    _, loss = jit(lambda: best(hinge()))()
    np.testing.assert_allclose(loss, 2 - np.abs(PI - P).sum(), atol=1e-3)


def test_the_best_relativistic_critic_is_the_log_ratio_up_to_a_constant():
    values, _ = jit(lambda: best(relativistic()))()
    np.testing.assert_allclose(values - values[1], np.log(PI / P), atol=2e-3)


def test_the_best_wasserstein_critic_on_a_line_tells_the_mean_difference_of_sorted_points():
    """D' = sign(F_p - F_π) has slope 1, and E D(x) - E D(y) = ∫ |F_p - F_π| = W_1."""
    x, y = np.sort(points(50)), np.sort(1.5 * points(50, seed=2) - 0.5)
    knots = np.sort(np.concatenate([x, y]))
    shares = (np.searchsorted(of, knots[:-1], side="right") / 50 for of in (y, x))
    slopes = np.sign(np.subtract(*shares))
    potential = np.concatenate([[0.0], np.cumsum(slopes * np.diff(knots))])
    values = (potential[np.searchsorted(knots, of)] for of in (x, y))
    told = -wasserstein().critic(*values)
    np.testing.assert_allclose(told, np.abs(x - y).mean(), rtol=1e-5)


@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_of_two_point_masses_w_is_their_distance_and_jsd_log_2_without_a_gradient(shift):
    """Data at 0, samples at θ; the best critics are x ↦ -x, and one that is sure."""

    def w(at):
        return -wasserstein().critic(jnp.zeros(1), -at[None])

    def jsd(at):
        sure = lambda x: 80.0 * jnp.sign(shift / 2 - x)
        return (-minimax().critic(sure(jnp.zeros(1)), sure(at[None])) + np.log(4)) / 2

    for told, value, slope in ((w, shift, 1.0), (jsd, np.log(2), 0.0)):
        found = jax.value_and_grad(told)(jnp.asarray(shift))
        np.testing.assert_allclose(found, (value, slope), rtol=1e-6)


@pytest.mark.parametrize("name", GAMES)
def test_it_is_finite_with_its_gradients_at_logits_of_80(name):
    game, sure = GAMES[name], jnp.array([80.0, -80.0, 0.0])
    for loss in game:
        for a, b in ((sure, sure), (sure[:1], sure[1:2]), (sure[1:2], sure[:1])):
            value, slopes = jax.value_and_grad(loss, argnums=(0, 1))(a, b)
            assert np.isfinite(value)
            assert all(np.isfinite(slope).all() for slope in slopes)


def test_only_the_saturating_generator_is_left_without_a_gradient_by_a_sure_critic():
    slopes = {
        name: jax.grad(GAMES[name].generator)(jnp.array([-80.0]), jnp.array([80.0]))[0]
        for name in ("minimax", "non-saturating", "hinge", "wasserstein", "relativistic")
    }
    assert abs(slopes.pop("minimax")) < 1e-30
    np.testing.assert_allclose(list(slopes.values()), -1, rtol=1e-5)


def test_feature_matching_is_the_squared_distance_of_mean_features():
    real, fake = points(4, 2), points(6, 2, seed=2)
    features = lambda x: jnp.stack([x[:, 0], x[:, 1] ** 2], -1)
    wanted = np.sum((features(real).mean(0) - features(fake).mean(0)) ** 2)
    np.testing.assert_allclose(feature_matching(features, real, fake), wanted, rtol=1e-5)


# --------------------------------------------------------------------------------------- models
def counting(net):
    """A net whose state counts in which passes of training it moved, and sees batch means."""

    def apply(params, state, *inputs, train, key=None):
        moved = {"passes": state["passes"] + 1, "mean": inputs[0].mean()}
        return net.apply(params, *inputs, key=key), moved if train else state

    state = {"passes": np.float32(0), "mean": np.float32(0)}
    return StatefulNet(lambda key: (net.init(key), state), apply)


MODEL = combinators.adversarial(
    standard_normal(2),
    counting(mlp(2, 3, hidden=(4,))),
    counting(value_of(mlp(3, 1, hidden=(4,)))),
)
X = points(6, 3)


def turn(loss, **options):
    """(gradients, the state after) of a player's loss."""
    params, state = MODEL.init(jax.random.key(0))
    game = non_saturating()

    def both(params):
        return loss(MODEL, game, params, jax.random.key(1), X, state=state, **options)

    (_, (_, moved)), slopes = jit(jax.value_and_grad(both, has_aux=True))(params)
    return slopes, moved


@pytest.mark.parametrize(
    ("loss", "mine", "other", "options"),
    [
        (critic_loss, "critic", "generator", {"penalty": gradient_penalty}),
        (generator_loss, "generator", "critic", {}),
    ],
)
def test_a_player_has_no_gradient_and_moves_no_state_of_the_other(loss, mine, other, options):
    slopes, state = turn(loss, **options)
    assert all(np.any(slope) for slope in jax.tree.leaves(slopes[mine])[1:])
    assert not any(np.any(slope) for slope in jax.tree.leaves(slopes[other]))
    assert state[other] == {"passes": 0, "mean": 0}
    assert state[mine]["passes"] == 1  # also that of a critic, which sees two batches


def test_statistics_of_the_critic_are_those_of_data_and_samples():
    params, state = MODEL.init(jax.random.key(0))
    _, moved = turn(critic_loss)
    z_key = jax.random.split(jax.random.key(1), 4)[0]
    fake = generated(MODEL, params, state, z_key, 6, train=True)
    np.testing.assert_allclose(moved["critic"]["mean"], (X.mean() + fake.mean()) / 2, rtol=1e-4)


def test_samples_do_not_depend_on_how_they_are_drawn_together():
    params, state = MODEL.init(jax.random.key(0))
    x = generated(MODEL, params, state, jax.random.key(2), 5)
    assert x.shape == (5, 3) and len(np.unique(x[:, 0])) == 5


def test_bad_inputs_are_refused_in_a_line():
    params, state = MODEL.init(jax.random.key(0))
    lose = lambda model, x, **options: critic_loss(
        model, hinge(), params, jax.random.key(0), x, state=state, **options
    )
    column = combinators.adversarial(
        standard_normal(2), mlp(2, 3, hidden=(4,)), mlp(3, 1, hidden=(4,))
    )
    normed = MODEL._replace(init=lambda key: None)
    for message, call in (
        (r"one value for each sample, \[batch\]; got shape \(6, 1\)", lambda: lose(column, X)),
        (
            "x must be floating",
            lambda: lose(MODEL, np.ones((6, 3), int), penalty=gradient_penalty),
        ),
        (
            "real must be floating",
            lambda: gradient_penalty(
                lambda x: x[:, 0], jax.random.key(0), *np.ones((2, 6, 3), int)
            ),
        ),
        ("x must be rows", lambda: lose(MODEL, X[:, 0])),
        ("smoothing must be the label", lambda: non_saturating(smoothing=1.5)),
        (
            "batch normalisation, which mixes",
            lambda: critic_loss(
                normed,
                hinge(),
                params,
                jax.random.key(0),
                X,
                state=state | {"critic": state["critic"] | {"batch_stats": {}}},
                penalty=gradient_penalty,
            ),
        ),
        ("cond c|cond of shape", lambda: generated(MODEL, params, state, jax.random.key(0), 2, X)),
    ):
        with pytest.raises(checks.InputError, match=message):
            call()
