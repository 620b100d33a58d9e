"""A state with leaves of many types, and checkpoints of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax.learning import Checkpoints, TrainState


def make_state(step=0):
    params = {"w": jnp.full((2, 3), step, jnp.bfloat16), "empty": {}, "stack": [jnp.arange(4.0)]}
    optimizer = optax.chain(optax.clip(1.0), optax.adam(1e-3))
    state = TrainState(jnp.int32(step), params, optimizer.init(params), None)
    return {"state": state, "key": jax.random.key(step)}


def bits(tree):
    def plain(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    leaves = [np.asarray(plain(x)) for x in jax.tree.leaves(tree)]
    return [(leaf.dtype, leaf.tobytes()) for leaf in leaves]


def written(directory, *steps):
    with Checkpoints(directory) as checkpoints:
        for step in steps:
            checkpoints.save(step, make_state(step), note={"best": 0.1 * step})


def restored(directory):
    with Checkpoints(directory) as checkpoints:
        return checkpoints.restore(make_state())
