"""A small experiment on several processes.

python -m tests.multiprocess.job --workdir DIR --coordinator HOST:PORT --num-processes 2 ...
"""

import dataclasses
import hashlib
import time
from typing import Literal

import jax
import numpy as np

from dgm_jax import learning, runs
from tests.learning import algorithms


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    num_steps: int = 80
    checkpoint_every: int = 10
    eval_every: int = 10
    rows: int = 32  # of a batch
    pause: float = 0.0  # seconds a step
    width: int = 16  # of the hidden layer; a checkpoint has 40 times as many numbers
    algorithm: Literal["descent", "players", "em", "langevin"] = "descent"
    fails: int = -1  # the process in which the batch of step 30 is a mistake
    own_data: bool = False  # whether each process has other data


def main(config):
    def batch(step):
        time.sleep(config.pause)
        if step == 30 and config.fails == jax.process_index():
            step = step / 0
        seed = config.seed + config.own_data * jax.process_index()
        return algorithms.batch(step, seed)[: config.rows]

    algorithm = algorithms.KINDS[config.algorithm](config.width)
    trained = learning.train(
        algorithm,
        jax.random.key(config.seed),
        batch,
        num_steps=config.num_steps,
        evaluate=lambda params, key: {"distance": algorithms.distance(params)},
        monitor="distance",
        eval_every=config.eval_every,
        log_every=5,
        checkpoint_every=config.checkpoint_every,
        workdir=config.workdir,
        mesh=learning.data_mesh() if jax.device_count() > 1 else None,
        progress=False,
    )
    spread = jax.sharding.NamedSharding(learning.data_mesh(), jax.sharding.PartitionSpec("data"))
    draw = jax.jit(lambda key: jax.random.bits(key, (32, 4)), out_shardings=spread)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(trained.state)]
    return {
        "devices": jax.device_count(),
        "rows": len(trained.history),
        "noise": learning.checkpoints.fingerprints({"noise": draw(jax.random.key(config.seed))})[
            "noise"
        ],
        "sha256": hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest(),
        "params": [leaf.tolist() for leaf in jax.tree.leaves(algorithm.params(trained.state))],
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick={}, show=lambda found: print(found["sha256"]))
