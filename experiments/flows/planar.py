"""Planar and Sylvester flows on the lecture's densities of the plane, learned from log p̃ alone.

    python -m experiments.flows.planar

trains x = T_K ∘ ... ∘ T_1(s ⊙ z + m), K planar layers on a diagonal Gaussian, to four unnormalised
densities p̃ by minimising the reverse KL, for K = 2, 8, 32. It prints KL(flow ‖ target) in nats
with its standard error over new samples; log Z of the target is found by quadrature.
densities-TARGET-FLOW.png shows target and flows on one colour scale. It takes one minute on two
CPU cores. Expect 0.2 to 0.5 nats with 2 layers, 0.02 to 0.3 with 8 (u2 may come out worse than with
2: a local optimum) and 0.005 to 0.05 with 32.

    python -m experiments.flows.planar --flows planar householder

trains Sylvester flows with as many layers too, each with two hidden units. orthogonal, householder
and triangular are the three forms of their paper.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
import optax

from dgm_jax import (
    bijectors,
    combinators,
    distributions,
    flows,
    learning,
    objectives,
    plots,
    protocol,
    runs,
)
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import fitting
from experiments.options import check

if TYPE_CHECKING:
    from dgm_jax.protocol import Array, Density, Flow, Key, Params

Target = Literal["u1", "u2", "u3", "u4"]
FlowName = Literal["planar", "orthogonal", "householder", "triangular"]


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    targets: tuple[Target, ...] = ("u1", "u2", "u3", "u4")
    """which densities to learn, the rows of table 1 of Rezende and Mohamed (2015)"""
    flows: tuple[FlowName, ...] = ("planar",)
    """which flows to train: planar, or a form of Sylvester flow with two hidden units per layer"""
    depths: tuple[int, ...] = (2, 8, 32)
    """the numbers of layers K to compare"""
    num_steps: int = 8000
    """training steps of each flow"""
    batch_size: int = 256
    """samples of the flow per step"""
    learning_rate: float = 5e-3
    """the initial learning rate of Adam; it decays to 0 by a cosine"""
    anneal: float = 0.4
    """the fraction of the steps in which β of the target p̃^β rises from 0.01 to 1, as in the
    paper"""
    num_test: int = 20000
    """the number of new samples by which the KL is estimated"""


QUICK = {"num_steps": 50, "targets": ("u2",), "depths": (2, 4), "num_test": 500}


def layer_of(name: str) -> Flow:
    """A layer of the plane; Sylvester's have two units, triangular swaps the coordinates too."""
    if name == "planar":
        return flows.planar(2)
    units: dict[str, Any] = {"num_units": 2} if name == "orthogonal" else {}
    layer = flows.sylvester(2, form=name, **units)
    if name == "triangular":  # Q = I: the order of the coordinates alternates
        return combinators.compose(
            combinators.fixed(bijectors.Permutation(np.array([1, 0]))), layer
        )
    return layer


@runs.builder
def build(name: str, depth: int) -> protocol.Density:
    """x = T_K ∘ ... ∘ T_1(s ⊙ z + m), z ~ N(0, I) on the plane, with K = depth equal layers."""
    flow = combinators.compose(combinators.repeat(layer_of(name), depth), flows.diagonal(2))
    return combinators.pushforward(flow, distributions.standard_normal(2))


def learn(config: Config, model: Density, log_density: Callable, key: Key) -> tuple[Params, Array]:
    """(parameters, norms [num_steps] of the gradients) of training, one compiled function."""

    def loss(params, key, beta):
        target = lambda x: beta * log_density(x)
        return objectives.reverse_kl(model, params, key, target, num_samples=config.batch_size)

    rate = optax.cosine_decay_schedule(config.learning_rate, config.num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(fitting.CLIP), optax.adam(rate))
    descent = learning.gradient_descent(model.init, loss, optimizer)
    warm_up = max(1, round(config.anneal * config.num_steps))
    betas = np.minimum(1.0, 0.01 + np.arange(config.num_steps) / warm_up).astype(np.float32)

    def step(state, key_and_beta):
        state, told = descent.step(state, *key_and_beta)
        return state, told["grad_norm"]

    @jax.jit
    def run(key):
        init_key, loop_key = jax.random.split(key)
        keys = jax.random.split(loop_key, config.num_steps)
        state, norms = jax.lax.scan(step, descent.init(init_key), (keys, betas))
        return state.params, norms

    return run(key)


def log_normaliser(log_density: Callable) -> float:
    """log Z = log ∫ p̃ dx by a sum over a grid, outside of which these densities have no mass."""
    axis = np.linspace(-8, 8, 1601, dtype=np.float32)
    log_p = jax.jit(log_density)(np.stack(np.meshgrid(axis, axis), -1))
    return float(jax.scipy.special.logsumexp(log_p) + 2 * np.log(axis[1] - axis[0]))


def kl(
    config: Config, model: Density, params: Params, log_density: Callable, log_z: float, key: Key
) -> tuple[Array, Array]:
    """KL(flow ‖ target) in nats and its standard error, from new samples."""

    @jax.jit
    def differences(params, key):
        dist = model.dist(params)
        x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=config.num_test)
        return log_prob - log_density(x) + log_z

    return objectives.mean_and_stderr(differences(params, key))


def fit(
    config: Config, recipe: learning.Recipe, log_density: Callable, log_z: float, folder: str
) -> tuple[dict, Callable]:
    """The row of results.json of one flow, and its log-density; saves its parameters too."""
    model = recipe.model()
    train_key, test_key = jax.random.split(jax.random.key(config.seed))
    start = time.perf_counter()
    params, norms = jax.block_until_ready(learn(config, model, log_density, train_key))
    seconds = time.perf_counter() - start
    fitting.tell_clipped(folder, fitting.rows_of_norms(norms), fitting.CLIP)
    learning.save(config.directory / folder, params, recipe=recipe)
    value, stderr = kl(config, model, params, log_density, log_z, test_key)
    row = {"kl": value, "kl_stderr": stderr, "train_seconds": seconds}
    log_prob = jax.jit(lambda x: model.dist(params).log_prob(x))
    return row | {"num_params": protocol.num_params(params)}, log_prob


def show(found: dict[str, dict]) -> None:
    rows = []
    for name, result in found["targets"].items():
        row = {"target": name, "log Z": f"{result['log_normaliser']:.3f}"}
        for depth, r in result["depths"].items():
            row[f"KL, {depth}"] = f"{r['kl']:.3f} ± {r['kl_stderr']:.3f}"
        rows.append(row)
    runs.table(rows, list(rows[0]))
    print("Nats. KL is from the flow to the target; 0 is a perfect fit, log 2 = 0.69 half of one.")


def main(config: Config) -> dict:
    check(config, "targets", "flows", "depths")
    results = {}
    for name in config.targets:
        log_density = datasets.ENERGIES[name]
        log_z, learned = log_normaliser(log_density), {}
        target = {"target": jax.jit(lambda x, f=log_density, log_z=log_z: f(x) - log_z)}
        for flow in config.flows:
            panels: dict[str, Callable] = dict(target)
            for depth in config.depths:
                recipe = learning.Recipe(build, {"name": flow, "depth": depth})
                folder = f"{name}-{flow}-{depth}"
                row, log_prob = fit(config, recipe, log_density, log_z, folder)
                learned[f"{flow} {depth}"] = row
                panels[f"{depth} layers: KL {row['kl']:.2f}"] = log_prob
            figure = plots.densities(panels, title=f"{name}, {flow} flows by reverse KL")
            if processes.first():
                plots.save(figure, config.directory / f"densities-{name}-{flow}.png")
        results[name] = {"log_normaliser": log_z, "depths": learned}
        print(f"{name}: " + ", ".join(f"{k} {r['kl']:.3f}" for k, r in learned.items()))
    return {"targets": results}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=1)
