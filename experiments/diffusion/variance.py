"""How much the bound and the gradient of a step vary with the times that are drawn for it.

    python -m experiments.diffusion.variance --run runs/diffusion/digits/ddpm

loads a model of `experiments.diffusion.digits` and estimates its bound and the gradient on batches
of training rows, with times that are

    alone      drawn uniformly and independently for each row
    spread     uniform for each row, but evenly spread over the batch; ddpm learns so
    history    spread, with density p_t ∝ √E[L_t²] from a history of losses L_t; importance
               learns so

All three are unbiased. It prints the mean and the standard deviation over batches of the sum of the
bound's steps, in nats, and the noise of the gradient: the trace of its covariance divided by the
squared norm of its mean. What remains with the best choice of times is due to the rows and the
noise. chances.png shows the probability p_t of each part of the time against its log-SNR. It takes
three minutes of one CPU core.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import checks, diffusion, learning, plots, runs
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import sets
from experiments.options import Data, check

if TYPE_CHECKING:
    from dgm_jax.protocol import Key, Params, State


@dataclasses.dataclass(frozen=True)
class Config(Data, runs.RunOptions):
    class_conditional: ClassVar[bool] = False
    run: Path | None = None
    """the directory of a model that `experiments.diffusion.digits` trained by the bound"""
    batch_size: int = 128
    """rows per batch"""
    num_bins: int = 100
    """the number of parts of the time for which the history keeps losses"""
    warm_up: int = 200
    """the number of batches that fill the history first"""
    num_bounds: int = 200
    """the number of batches on which the bound is estimated"""
    num_gradients: int = 40
    """the number of batches on which the gradient is estimated"""


QUICK = {"batch_size": 16, "num_bins": 4, "warm_up": 4, "num_bounds": 3, "num_gradients": 2}


def steps_of(model: Any, loss: Callable, num_levels: int) -> dict:
    """{choice of times: (params, key, x, state) -> the mean over a batch of the bound's steps}."""

    def history(params, key, x, state):
        return loss(params, key, x, state=state)[1][0]["steps"]

    def spread(params, key, x, state):
        return diffusion.continuous_bound(model, params, key, x, num_levels=num_levels).steps.mean()

    def alone(params, key, x, state):
        keys = jax.random.split(key, len(x))
        return jax.vmap(lambda key, x: spread(params, key, x[None], state))(keys, x).mean()

    return {"alone": alone, "spread": spread, "history": history}


def noise_of(gradient: Any, params: Params, state: State, batches: Any, key: Key) -> float:
    """E‖g - E g‖² / ‖E g‖² of the gradients g of batches."""
    total, squares = np.zeros(()), 0.0
    for i, x in enumerate(batches):
        g = gradient(params, jax.random.fold_in(key, i), x, state)
        g = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]).astype(float)
        total = total + g
        squares += g @ g
    num = len(batches)
    mean = total @ total / num**2  # ‖ḡ‖², too large by the variance of the mean
    noise = (squares / num - mean) * num / (num - 1)
    return float(noise / max(mean - noise / num, 1e-12))


def main(config: Config) -> dict:
    check(config)
    if config.run is None:
        raise checks.InputError("run must name the directory of a trained model; see --help.")
    checks.positive_int(config.num_gradients, "num_gradients", least=2)
    loaded = learning.load(config.run)
    model, params = loaded.model, loaded.params
    checks.noun(model, diffusion.Denoiser, "the model of run")
    images = sets.images(config)
    (train,), num_levels = images.rows["train"], images.num_levels
    init_state, loss = diffusion.importance_bound(
        model, num_bins=config.num_bins, num_levels=num_levels
    )
    size = min(config.batch_size, len(train))
    draw = datasets.batches(train, size, seed=config.seed)
    first, second, third = jax.random.split(jax.random.key(config.seed), 3)
    state = init_state(jax.random.clone(first), params)
    learn = jax.jit(lambda params, key, x, state: loss(params, key, x, state=state)[1][1])
    for i in range(config.warm_up):
        state = learn(params, jax.random.fold_in(first, i), draw(i), state)
    found = {}
    for name, steps in steps_of(model, loss, num_levels).items():
        bound, gradient = jax.jit(steps), jax.jit(jax.grad(steps))
        nats = np.array(
            [
                bound(params, jax.random.fold_in(second, i), draw(i), state)
                for i in range(config.num_bounds)
            ]
        )
        some = [draw(i) for i in range(config.num_gradients)]
        found[name] = {
            "steps_nats": float(nats.mean()),
            "std": float(nats.std(ddof=1)),
            "gradient_noise": noise_of(gradient, params, state, some, third),
        }
    chances = np.asarray(diffusion.importance.chances(state))
    if processes.first():
        begin, end = (process := model.process(params)).ends
        t = begin + (end - begin) * (jnp.arange(config.num_bins) + 0.5) / config.num_bins
        levels = np.asarray(diffusion.process.log_snr(process, t))
        even = {"even": 1 / config.num_bins}
        series = {"history": (levels[::-1], chances[::-1])}
        figure = plots.curves(series, xlabel="log-SNR", ylabel="chance", baselines=even)
        plots.save(figure, config.directory / "chances.png")
    return {"ways": found, "seen": float(state["seen"].min())}


def show(found: dict) -> None:
    rows = [
        {
            "times": name,
            "steps, nats": f"{r['steps_nats']:.2f}",
            "deviation": f"{r['std']:.2f}",
            "noise of the gradient": f"{r['gradient_noise']:.2f}",
        }
        for name, r in found["ways"].items()
    ]
    runs.table(rows, list(rows[0]))


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
