"""A small experiment to be killed, filled up and lied to.

    python -m tests.reliability.job --workdir DIR

learns w from noisy targets; each step takes milliseconds, and its state is large enough that many
kills fall into the writing of a checkpoint.
"""

import dataclasses
import time
from typing import Literal

import jax
import numpy as np
import optax

from dgm_jax import learning, runs
from tests.learning import algorithms


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    num_steps: int = 200
    size: int = 20_000  # parameters: a checkpoint has three times as many numbers
    checkpoint_every: int = 5
    log_every: int = 3
    bad_from: int = -1  # the first step whose batch is NaN
    bad_until: int = -1  # the first step after it whose batch is not
    pause: float = 0.0  # seconds a step
    algorithm: Literal["descent", "players", "em", "langevin"] = "descent"


def algorithm(config):
    """The one of this file, or one of another kind; the state has about 5 `size` numbers."""
    if config.algorithm == "descent":
        return descent(config.size)
    return algorithms.KINDS[config.algorithm](config.size // 4)


def descent(size):
    def loss(params, key, batch):
        noise = jax.random.normal(key, (size,))
        return ((params["w"] - batch["x"].mean() - 0.1 * noise) ** 2).mean(), {}

    def init(key):
        return {"w": jax.random.normal(key, (size,)), "b": {}}

    return learning.gradient_descent(init, loss, optax.adam(0.01), ema_decay=0.99)


def batches(config):
    def batch(step):
        time.sleep(config.pause)
        bad = config.bad_from <= step < config.bad_until
        if config.algorithm != "descent":
            return algorithms.batch(step, config.seed) * np.float32(np.nan if bad else 1)
        x = np.random.default_rng([config.seed, step]).normal(size=16).astype(np.float32)
        return {"x": x * (np.nan if bad else 1)}

    return batch


def learn(config, batch):
    return learning.train(
        algorithm(config),
        jax.random.key(config.seed),
        batch,
        num_steps=config.num_steps,
        evaluate=lambda params, key: {"distance": algorithms.distance(params)},
        monitor="distance",
        eval_every=20,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        workdir=config.workdir,
        progress=False,
    )


def main(config):
    trained = learn(config, batches(config))
    return {"final": trained.history[-1], "steps": trained.history[-1]["step"]}


def live(config, first, reached):
    """A life of a run, in a process of its own; `first` and `reached` are its steps."""
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", str(config.cache_dir))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    batch = batches(config)

    def told(step):
        if step == 0:  # every life asks for it, to tell its run from others
            return batch(step)
        if first.value < 0:
            first.value = step
        reached.value = step
        return batch(step)

    learn(config, told)


if __name__ == "__main__":
    runs.experiment(Config, main, quick={})
