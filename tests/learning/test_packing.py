"""Optimisers of joined arrays: the numbers of those of single ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.learning import packing


def after(optimizer, params, num_steps=3):
    """Parameters after steps along gradients that are drawn."""
    state = optimizer.init(params)
    for t in range(num_steps):
        grads = jax.tree.map(lambda p: jnp.sin(7.0 * t + jnp.arange(p.size, dtype=p.dtype)), params)
        grads = jax.tree.map(lambda g, p: g.reshape(p.shape), grads, params)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("small", [0, 4, 100], ids=["none", "some", "all"])
def test_adam_on_joined_arrays_moves_each_as_it_would_alone(small, monkeypatch):
    monkeypatch.setattr(packing, "SMALL", small)
    params = {
        "w": jnp.arange(6.0).reshape(2, 3),
        "half": jnp.ones(2, jnp.bfloat16),
        "b": [jnp.ones(3), jnp.zeros(()), jnp.full((1, 4), 0.5)],
    }
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1, weight_decay=0.5))
    wanted, _ = after(optimizer, params)
    got, state = after(packing.packed(optimizer), params)
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    assert all(a.dtype == b.dtype for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-6), got, wanted)
    exact = {name: (got[name], wanted[name]) for name in ("w", "b")}
    for mine, alone in exact.values():
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), mine, alone)
    counts = {0: 5, 4: 3, 100: 2}
    assert len(optax.tree.get(state, "mu")) == counts[small]
