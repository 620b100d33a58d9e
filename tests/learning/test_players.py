import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.learning import data_mesh, replicate, shard_batch
from dgm_jax.learning.players import Player, alternate


def init(key):
    first, second = jax.random.split(key)
    return {"a": jax.random.normal(first, (3,)), "b": jax.random.normal(second, (3,))}


def product(params, key, batch):
    return (params["a"] * params["b"]).sum(), {}


def minus_product(params, key, batch):
    return -(params["a"] * params["b"]).sum(), {}


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def step_of(algorithm, batch=None, **options):
    state = algorithm.init(jax.random.key(0))
    return state, *jax.jit(algorithm.step)(state, jax.random.key(1), batch, **options)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_a_bilinear_game_follows_its_recursion_in_the_order_of_the_players(backend, monkeypatch):
    """min_a max_b a·b: b moves first, twice, and a sees what b has learned.

    A turn is written out on CPUs and is a loop elsewhere; both are run here.
    """
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    players = {
        "b": Player(minus_product, optax.sgd(0.3), num_updates=2),
        "a": Player(product, optax.sgd(0.1), ema_decay=0.25),
    }
    algorithm = alternate(players, init)
    state, step = algorithm.init(jax.random.key(0)), jax.jit(algorithm.step)
    a, b = (np.asarray(state.players[name].params) for name in "ab")
    ema = a
    for t in range(5):
        state, metrics = step(state, jax.random.key(t), None)
        before = -(a * b).sum()
        b = b + 0.3 * a
        losses = [before, -(a * b).sum()]
        b = b + 0.3 * a
        np.testing.assert_allclose(metrics["b/loss"], np.mean(losses), rtol=1e-4)
        np.testing.assert_allclose(metrics["a/loss"], (a * b).sum(), rtol=1e-4)
        a = a - 0.1 * b
        decay = min(0.25, (1 + t) / (10 + t))
        ema = decay * ema + (1 - decay) * a
    np.testing.assert_allclose(state.players["a"].params, a, rtol=1e-5)
    np.testing.assert_allclose(state.players["b"].params, b, rtol=1e-5)
    selected = algorithm.params(state)
    np.testing.assert_allclose(selected["a"], ema, rtol=1e-5)
    assert selected["b"] is state.players["b"].params
    assert (state.step, state.players["b"].step, state.players["a"].step) == (5, 10, 5)


@pytest.mark.parametrize("mover", ["a", "b"])
def test_a_gradient_touches_the_parameters_of_its_own_player_only(mover):
    """Both losses depend on both; who does not learn stays as it was, bit by bit."""
    rates = {name: optax.sgd(0.1 if name == mover else 0.0) for name in "ab"}
    players = {"a": Player(product, rates["a"]), "b": Player(minus_product, rates["b"])}
    before, after, _ = step_of(alternate(players, init))
    for name in "ab":
        same = bits(after.players[name].params) == bits(before.players[name].params)
        assert same == (name != mover)


def test_every_update_has_rows_and_a_key_of_its_own():
    def loss(params, key, batch):
        metrics = {"row": batch["row"].sum(), "square": (batch["row"] ** 2).sum()}
        return params["a"].sum() * 0, metrics | {"noise": jax.random.normal(key)}

    players = {"a": Player(loss, optax.sgd(0.1), num_updates=2), "b": Player(loss, optax.sgd(0.1))}
    _, _, metrics = step_of(alternate(players, init), {"row": jnp.arange(12)})
    rows = np.arange(12).reshape(4, 3)
    assert metrics["a/row"] == rows[:, :2].sum() / 2 and metrics["b/row"] == rows[:, 2].sum()
    assert metrics["a/square"] == (rows[:, :2] ** 2).sum() / 2
    assert len({float(metrics["a/noise"]), float(metrics["b/noise"])}) == 2


def test_the_state_goes_from_update_to_update_and_weights_and_what_is_fixed_reach_every_loss():
    def loss(params, key, batch, *, state, weights, fixed):
        metrics = {"beta": weights["beta"], "fixed": fixed["w"]}
        return params["a"].sum() * 0 + params["b"].sum() * 0, (metrics, 2 * state + 1)

    players = {"a": Player(loss, optax.sgd(0.1), num_updates=2), "b": Player(loss, optax.sgd(0.1))}
    algorithm = alternate(
        players,
        init,
        init_state=lambda key, params: params["a"].size + 0 * jax.random.bits(key).astype(float),
        weights={"beta": lambda step: step / 4 + 0.5, "constant": 2.0},
    )
    state, after, metrics = step_of(algorithm, fixed={"w": jnp.float32(7)})
    assert (state.state, after.state) == (3, 2 * (2 * (2 * 3 + 1) + 1) + 1)
    assert metrics["a/beta"] == metrics["b/beta"] == 0.5 and metrics["b/fixed"] == 7
    assert jax.jit(algorithm.step)(after, jax.random.key(2), None, fixed={"w": 7.0})[1][
        "a/beta"
    ] == pytest.approx(0.75)
    params, carried = algorithm.params(after)
    assert params.keys() == {"a", "b"} and carried is after.state


def test_an_update_without_a_finite_gradient_changes_nothing_but_the_count():
    """The second of the three updates: the other two are made, and so is that of the other."""

    def loss(params, key, batch, state):
        bad = jnp.where(batch.sum() == 1, jnp.nan, 1.0)
        return ((params["a"] + params["b"]) * bad).sum(), ({}, state + 1)

    players = {"a": Player(loss, optax.sgd(1.0), num_updates=3), "b": Player(loss, optax.sgd(1.0))}
    algorithm = alternate(players, init, init_state=lambda key, params: jnp.zeros(()))
    before, after, metrics = step_of(algorithm, jnp.arange(4))
    moved = {name: before.players[name].params - after.players[name].params for name in "ab"}
    np.testing.assert_allclose(moved["a"], 2.0, rtol=1e-5)
    np.testing.assert_allclose(moved["b"], 1.0, rtol=1e-5)
    assert (metrics["a/skipped"], metrics["b/skipped"], after.state) == (1, 0, 3)


def test_statistics_are_those_of_the_whole_batch_and_its_rows_stay_where_they_are():
    """On 8 devices by a mesh: the running variance is that of all rows that an update gets."""

    def loss(params, key, x, state):
        value = (((x - x.mean(0)) / x.std(0)) @ (params["a"] - params["b"])) ** 2
        return value.mean(), ({}, 0.9 * state + 0.1 * x.var(0))

    players = {"a": Player(loss, optax.sgd(0.1), num_updates=2), "b": Player(loss, optax.sgd(0.1))}
    algorithm = alternate(players, init, init_state=lambda key, params: jnp.ones(3))
    x = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
    x += np.linspace(0, 9, 48, dtype=np.float32)[:, None]
    mesh = data_mesh(8)
    before, alone, _ = step_of(algorithm, x)
    placed = replicate(before, mesh), jax.random.key(1), shard_batch(x, mesh)
    compiled = jax.jit(algorithm.step).lower(*placed).compile()
    spread, _ = compiled(*placed)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(spread)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    variance = np.ones(3)
    for update in range(3):
        variance = 0.9 * variance + 0.1 * x[update::3].var(0)
    np.testing.assert_allclose(spread.state, variance, rtol=1e-5)
    moves = re.findall(r"all-to-all|all-gather|collective-permute", compiled.as_text())
    assert moves == [] and "all-reduce" in compiled.as_text()


def test_pmap_gives_what_one_device_gives():
    def loss(name, sign):
        def of_batch(params, key, x, state):
            value = (x @ (sign * params["a"] * params["b"])).mean() + (params[name] ** 2).sum()
            return value, (
                {},
                {"mean": 0.9 * state["mean"] + x.mean(0), "count": state["count"] + 1},
            )

        return of_batch

    def make(**options):
        players = {
            "a": Player(loss("a", 1), optax.adam(0.1), num_updates=2),
            "b": Player(loss("b", -1), optax.adam(0.1)),
        }
        init_state = lambda key, params: {"mean": jnp.zeros(3), "count": jnp.int32(0)}
        return alternate(players, init, init_state=init_state, **options)

    x = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
    before, alone, one = step_of(make(), x)
    step = jax.pmap(make(axis_name="data").step, "data", in_axes=(None, None, 0), out_axes=None)
    spread, many = step(before, jax.random.key(1), x.reshape(8, 6, 3))
    for a, b in zip(jax.tree.leaves((alone, one)), jax.tree.leaves((spread, many))):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert a.dtype == b.dtype


PLAYER = Player(product, optax.sgd(0.1))


@pytest.mark.parametrize(
    ("said", "build"),
    [
        ("players must be a dict", lambda: alternate([PLAYER], init)),
        ("name of a player must be .* got 'a/b'", lambda: alternate({"a/b": PLAYER}, init)),
        (r"players\['a'\] must be a Player", lambda: alternate({"a": product}, init)),
        ("num_updates of 'a'", lambda: alternate({"a": PLAYER._replace(num_updates=0)}, init)),
        ("optimizer must", lambda: alternate({"a": PLAYER._replace(optimizer=0.1)}, init)),
        ("the loss of 'a'", lambda: alternate({"a": PLAYER._replace(loss=1)}, init)),
        ("weights must be a dict", lambda: alternate({"a": PLAYER}, init, weights=1.0)),
        (
            r"weights\['beta'\] must be a schedule",
            lambda: alternate({"a": PLAYER}, init, weights={"beta": "up"}),
        ),
        (
            r"an entry for each of \['a'\]; got \['a', 'b'\]",
            lambda: alternate({"a": PLAYER}, init).init(jax.random.key(0)),
        ),
        (
            r"3 updates a step \(a 2, b 1\); got 10. Use 9 or 12",
            lambda: jax.eval_shape(
                lambda: step_of(
                    alternate({"a": PLAYER._replace(num_updates=2), "b": PLAYER}, init),
                    np.zeros(10),
                )
            ),
        ),
    ],
)
def test_a_wrong_argument_is_named(said, build):
    with pytest.raises(ValueError, match=said):
        build()
