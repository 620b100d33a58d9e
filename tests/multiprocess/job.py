"""A small experiment on several processes.

python -m tests.multiprocess.job --workdir DIR --coordinator HOST:PORT --num-processes 2 ...
"""

import dataclasses
import functools
import hashlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import runs
from dgm_jax.learning import data_mesh, gradient_descent, train
from dgm_jax.learning.checkpoints import fingerprints


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    num_steps: int = 80
    checkpoint_every: int = 10
    pause: float = 0.0  # seconds a step
    width: int = 16  # of the hidden layer; a checkpoint has 40 times as many numbers
    fails: int = -1  # the process in which the batch of step 30 is a mistake


def init(key, width):
    first, second = jax.random.split(key)
    return {
        "a": 0.3 * jax.random.normal(first, (4, width)),
        "b": jax.random.normal(second, (width,)) / width**0.5,
    }


def loss(params, key, x):
    noisy = x + 0.1 * jax.random.normal(key, x.shape)
    return ((jnp.tanh(noisy @ params["a"]) @ params["b"] - x.sum(-1)) ** 2).mean(), {}


def main(config):
    def batch(step):
        time.sleep(config.pause)
        if step == 30 and config.fails == jax.process_index():
            step = step / 0
        return np.random.default_rng([config.seed, step]).normal(size=(32, 4)).astype(np.float32)

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    trained = train(
        gradient_descent(
            functools.partial(init, width=config.width), loss, optimizer, ema_decay=0.99
        ),
        jax.random.key(config.seed),
        batch,
        num_steps=config.num_steps,
        evaluate=lambda params, key: {"distance": (params["a"] ** 2).sum()},
        monitor="distance",
        eval_every=10,
        log_every=5,
        checkpoint_every=config.checkpoint_every,
        workdir=config.workdir,
        mesh=data_mesh() if jax.device_count() > 1 else None,
        progress=False,
    )
    spread = jax.sharding.NamedSharding(data_mesh(), jax.sharding.PartitionSpec("data"))
    draw = jax.jit(lambda key: jax.random.bits(key, (32, 4)), out_shardings=spread)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(trained.state)]
    return {
        "devices": jax.device_count(),
        "rows": len(trained.history),
        "noise": fingerprints({"noise": draw(jax.random.key(config.seed))})["noise"],
        "sha256": hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest(),
        "params": {name: leaf for name, leaf in trained.state.params.items()},
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick={}, show=lambda found: print(found["sha256"]))
