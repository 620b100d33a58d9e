"""bfloat16 in the loss, float32 in the state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import flows
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.learning import gradient_descent
from dgm_jax.objectives import nll

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
