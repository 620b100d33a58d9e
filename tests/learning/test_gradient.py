import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import flows
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.learning.descent import averaged
from dgm_jax.learning.gradient import gradient_descent
from dgm_jax.objectives import nll


def init(key):
    return {"w": jax.random.normal(key, (3,)), "b": jnp.ones(())}


def quadratic(params, key, batch):
    """Its gradient is params - batch, so every step has a closed form."""
    loss = 0.5 * sum(((leaf - batch) ** 2).sum() for leaf in jax.tree.leaves(params))
    return loss, {}


def run(algorithm, batches):
    state, metrics = algorithm.init(jax.random.key(0)), []
    for t, batch in enumerate(batches):
        state, now = jax.jit(algorithm.step)(state, jax.random.key(t), jnp.float32(batch))
        metrics.append(now)
    return state, metrics


def equal(a, b):
    return all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def test_the_norm_told_is_that_of_numbers_vectors_and_matrices_together():
    """Gradients 2 (6 entries), -3 (4), and 1: 24 + 36 + 1."""
    slopes = {"matrix": jnp.full((2, 3), 2.0), "vector": jnp.full(4, -3.0), "number": jnp.ones(())}
    total = lambda params: sum((slopes[k] * params[k]).sum() for k in slopes)
    loss = lambda params, key, batch: (total(params) + 0 * batch, {})
    algorithm = gradient_descent(
        lambda key: jax.tree.map(jnp.zeros_like, slopes), loss, optax.sgd(0.1)
    )
    _, metrics = run(algorithm, [0.0])
    np.testing.assert_allclose(metrics[0]["grad_norm"], np.sqrt(61), rtol=1e-6)


def test_sgd_on_a_quadratic_contracts_by_its_closed_form():
    algorithm = gradient_descent(init, quadratic, optax.sgd(0.1))
    start = algorithm.init(jax.random.key(0))
    state, metrics = run(algorithm, [2.0] * 5)
    wanted = jax.tree.map(lambda p: 2.0 + 0.9**5 * (p - 2.0), start.params)
    np.testing.assert_allclose(state.params["w"], wanted["w"], rtol=1e-5)
    np.testing.assert_allclose(state.params["b"], wanted["b"], rtol=1e-5)
    norm = jnp.sqrt(((start.params["w"] - 2) ** 2).sum() + (start.params["b"] - 2) ** 2)
    np.testing.assert_allclose(metrics[0]["grad_norm"], norm, rtol=1e-5)
    np.testing.assert_allclose(metrics[0]["loss"], norm**2 / 2, rtol=1e-5)
    assert state.step == 5 and state.ema is None and averaged(state) is state.params


def test_the_loss_keeps_a_metric_of_its_own():
    def loss(params, key, batch):
        return quadratic(params, key, batch)[0], {"loss": jnp.float32(7), "kl": jnp.float32(8)}

    _, metrics = run(gradient_descent(init, loss, optax.sgd(0.1)), [2.0])
    assert metrics[0]["loss"] == 7 and metrics[0]["kl"] == 8


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_without_a_finite_gradient_changes_nothing_but_the_count(bad):
    algorithm = gradient_descent(init, quadratic, optax.adam(0.1), ema_decay=0.9)
    before, _ = run(algorithm, [2.0, 3.0])
    after, metrics = run(algorithm, [2.0, 3.0, bad])
    assert equal(
        (before.params, before.opt_state, before.ema), (after.params, after.opt_state, after.ema)
    )
    assert after.step == 3 and [int(m["skipped"]) for m in metrics] == [0, 0, 1]
    last, metrics = run(algorithm, [2.0, 3.0, bad, 2.0])
    assert not equal(last.params, before.params) and metrics[-1]["skipped"] == 0


def test_the_average_follows_its_recursion():
    algorithm = gradient_descent(init, quadratic, optax.sgd(0.3), ema_decay=0.25)
    state = algorithm.init(jax.random.key(0))
    ema = state.params["w"]
    for t in range(6):
        state, _ = algorithm.step(state, jax.random.key(t), jnp.float32(2.0))
        decay = min(0.25, (1 + t) / (10 + t))
        ema = decay * ema + (1 - decay) * state.params["w"]
        np.testing.assert_allclose(averaged(state)["w"], ema, rtol=1e-5)


def test_states_keep_their_dtypes():
    def half(key):
        return {"w": jnp.ones((3,), jnp.bfloat16)}

    algorithm = gradient_descent(half, quadratic, optax.adam(0.1), ema_decay=0.9)
    start = algorithm.init(jax.random.key(0))
    state, _ = algorithm.step(start, jax.random.key(0), jnp.bfloat16(2))
    assert jax.eval_shape(lambda: state) == jax.eval_shape(lambda: start)


def stateful(params, key, batch, *, state, weights, fixed):
    """Its gradient is β fixed; the state sums the batches."""
    loss = weights["beta"] * fixed * params["b"] + 0 * weights["half"]
    return loss, ({"half": weights["half"], "state": state}, state + batch)


def test_a_loss_is_given_its_state_its_weights_and_what_is_fixed():
    algorithm = gradient_descent(
        init,
        stateful,
        optax.sgd(1.0),
        init_state=lambda key, params: params["b"] + 0 * jax.random.normal(key),
        weights={"beta": lambda step: step + 1, "half": 0.5},
        ema_decay=0.25,
    )
    start = state = algorithm.init(jax.random.key(0))
    step = jax.jit(chex.assert_max_traces(algorithm.step, 1))
    for t, (batch, fixed) in enumerate([(2, 1), (5, np.nan), (np.nan, 1), (3, 10)]):  # β = t + 1
        given = jnp.float32(batch), jnp.float32(fixed)
        state, metrics = step(state, jax.random.key(t), given[0], fixed=given[1])
        skipped = t in (1, 2)  # a gradient, and then a new state, that is not finite
        assert metrics["half"] == 0.5 and metrics["skipped"] == skipped
    assert state.params["b"] == start.params["b"] - 1 * 1 - 4 * 10
    assert (start.state, state.state, metrics["state"]) == (1, 1 + 2 + 3, 1 + 2)
    params, carried = algorithm.params(state)
    assert params is state.ema and carried is state.state


def test_under_pmap_the_floating_state_is_averaged_and_counts_stay():
    def loss(params, key, x, state):
        new = {"mean": 0.5 * state["mean"] + 0.5 * x.mean(0), "count": state["count"] + 1}
        return quadratic(params, key, x.mean())[0], ({}, new)

    def make(**options):
        begin = lambda key, params: {"mean": jnp.ones(2), "count": jnp.int32(3)}
        return gradient_descent(init, loss, optax.sgd(0.1), init_state=begin, **options)

    x = np.random.default_rng(0).normal(size=(8, 4, 2)).astype(np.float32)
    start = make().init(jax.random.key(0))
    step = make(axis_name="data").step
    step = jax.pmap(step, "data", in_axes=(None, None, 0), out_axes=None)
    state, _ = step(start, jax.random.key(1), x)
    np.testing.assert_allclose(state.state["mean"], 0.5 + 0.5 * x.mean((0, 1)), rtol=1e-5)
    assert state.state["count"] == 4 and state.state["count"].dtype == jnp.int32


@pytest.mark.parametrize(
    ("argument", "build"),
    [
        ("init", lambda: gradient_descent({"w": 0}, quadratic, optax.sgd(0.1))),
        ("loss", lambda: gradient_descent(init, jnp.ones(()), optax.sgd(0.1))),
        ("optimizer", lambda: gradient_descent(init, quadratic, 1e-3)),
        ("init_state", lambda: gradient_descent(init, quadratic, optax.sgd(1.0), init_state={})),
        ("weights", lambda: gradient_descent(init, quadratic, optax.sgd(1.0), weights={"b": None})),
        ("ema_decay", lambda: gradient_descent(init, quadratic, optax.sgd(0.1), ema_decay=1.0)),
    ],
)
def test_a_wrong_argument_is_named(argument, build):
    with pytest.raises(ValueError, match=argument):
        build()


# ------------------------------------------- bfloat16 in the loss, float32 in the state
DIM = 8


@pytest.mark.parametrize("make", [flows.maf, flows.realnvp])
def test_bfloat16_losses_are_near_those_of_float32_and_the_state_stays_float32(make):
    model = pushforward(make(DIM, num_layers=2, hidden=(16,)), standard_normal(DIM))
    mixing = np.random.default_rng(0).normal(size=(DIM, DIM)).astype(np.float32) / 2
    x = np.random.default_rng(1).normal(size=(256, DIM)).astype(np.float32) @ mixing
    losses = {}
    for dtype in (None, jnp.bfloat16):
        algorithm = gradient_descent(
            model.init,
            functools.partial(nll, model),
            optax.adam(1e-2),
            ema_decay=0.9,
            compute_dtype=dtype,
        )
        state, step = algorithm.init(jax.random.key(0)), jax.jit(algorithm.step)
        before = jax.tree.map(lambda leaf: leaf.dtype, state)
        for t in range(30):
            state, metrics = step(state, jax.random.key(t), x)
        assert jax.tree.map(lambda leaf: leaf.dtype, state) == before
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
        assert all(value.dtype == jnp.float32 for n, value in metrics.items() if n != "skipped")
        losses[dtype] = float(nll(model, state.params, None, x)[0])  # both in float32
    start = float(nll(model, algorithm.init(jax.random.key(0)).params, None, x)[0])
    assert losses[None] < start - 0.1
    assert abs(losses[jnp.bfloat16] - losses[None]) < 0.01


def test_the_loss_does_see_bfloat16():
    seen = []

    def loss(params, key, batch):
        seen.extend((params.dtype, batch["x"].dtype, batch["n"].dtype))
        return (params * batch["x"]).sum(), {}

    algorithm = gradient_descent(
        lambda key: jnp.ones(3), loss, optax.sgd(0.1), compute_dtype=jnp.bfloat16
    )
    batch = {"x": jnp.ones(3), "n": jnp.arange(3)}
    algorithm.step(algorithm.init(jax.random.key(0)), jax.random.key(0), batch)
    assert seen[:3] == [jnp.bfloat16, jnp.bfloat16, jnp.int32]


def test_an_integer_precision_is_refused():
    with pytest.raises(ValueError, match="compute_dtype must be floating"):
        gradient_descent(lambda key: 0, lambda *a: 0, optax.sgd(0.1), compute_dtype=jnp.int8)
