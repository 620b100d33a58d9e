"""Flows on toy densities of the plane: the learned density beside the true one.

    python -m experiments.flows.toy

trains MAF, IAF and RealNVP on six toy densities. It prints KL(truth ‖ flow) in nats with its
standard error over new samples, and the entropy of the truth, which is the negative log-likelihood
of a perfect flow: log 32 = 3.466 nats for the checkerboard. densities-TOY.png shows truth and
flows on one colour scale. It takes five to eight minutes on two CPU cores. Expect about 0.01 nats
for the moons, 0.1 for gaussians and pinwheel, 0.1 to 0.3 for the spirals, 0.5 for the checkerboard
and 0.6 for the rings, to which affine maps fit poorly.

    python -m experiments.flows.toy --models maf nice nsf mixture qr --num-layers 4

uses other scalar maps: additive couplings (NICE), autoregressive rational-quadratic splines (nsf)
and CDFs of a mixture of logistics (mixture). Linear flows (diagonal, triangular, plu, qr) can only
learn one Gaussian.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
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
    from dgm_jax.protocol import Array, Density, Flow, Key

ToyName = Literal["checkerboard", "gaussians", "moons", "pinwheel", "rings", "spirals"]
ModelName = Literal[
    "maf", "iaf", "realnvp", "nice", "nsf", "mixture", "diagonal", "triangular", "plu", "qr"
]
LINEAR = ("diagonal", "triangular", "plu", "qr")


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    toys: tuple[ToyName, ...] = (
        "checkerboard",
        "gaussians",
        "moons",
        "pinwheel",
        "rings",
        "spirals",
    )
    """which densities to learn"""
    models: tuple[ModelName, ...] = ("maf", "iaf", "realnvp")
    """which flows to train; nice, nsf and mixture have other scalar maps, the last four are
    linear"""
    num_layers: int = 12
    """autoregressive layers of MAF and IAF, couplings of RealNVP and NICE; linear flows have one"""
    hidden: tuple[int, ...] = (64, 64)
    """widths of the hidden layers of each conditioner"""
    num_steps: int = 3000
    """training steps of each flow on each density"""
    batch_size: int = 256
    """new draws of the density per step"""
    learning_rate: float = 3e-3
    """the initial learning rate of Adam; it decays to 0 by a cosine"""
    num_test: int = 20000
    """the number of new samples by which the KL is estimated"""


def flow_of(config: Config, name: str) -> Flow:
    """The flow `name` of the plane; NICE has a diagonal layer too, and linear flows an actnorm."""
    options: dict[str, Any] = {"num_layers": config.num_layers, "hidden": config.hidden}
    if name in LINEAR:  # actnorm has the shift: one Gaussian
        return combinators.compose(flows.actnorm(2), getattr(flows, name)(2))
    if name == "nice":  # volumes change in a last diagonal layer alone
        return combinators.compose(
            flows.realnvp(2, law=bijectors.additive(), **options), flows.diagonal(2)
        )
    if name == "nsf":
        return flows.maf(2, law=bijectors.rational_quadratic_spline(bound=5.0), **options)
    if name == "mixture":
        return flows.maf(2, law=bijectors.mixture_logistic_cdf(), **options)
    return getattr(flows, name)(2, **options)


@runs.builder
def build(config: Config, name: str) -> protocol.Density:
    """p(x) on the plane: `flow_of` applied to N(0, I)."""
    return combinators.pushforward(flow_of(config, name), distributions.standard_normal(2))


def learn(config: Config, model: Density, toy: datasets.Toy, key: Key) -> tuple[dict, Array]:
    """(parameters, norms [num_steps] of the gradients) of training, one compiled function."""
    rate = optax.cosine_decay_schedule(config.learning_rate, config.num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(fitting.CLIP), optax.adam(rate))
    algorithm = learning.gradient_descent(model.init, partial(objectives.nll, model), optimizer)
    draw = lambda key, t: toy.sample(key, config.batch_size)
    run = jax.jit(partial(learning.fit, algorithm, draw=draw, num_steps=config.num_steps))
    state, told = run(key)
    return state.params, told["grad_norm"]


def show(found: dict[str, dict]) -> None:
    rows = []
    for toy, result in found["toys"].items():
        row = {"toy": toy, "entropy": f"{result['entropy']:.3f}"}
        for name, r in result["models"].items():
            row[f"KL {name}"] = f"{r['kl']:.3f} ± {r['kl_stderr']:.3f}"
        rows.append(row)
    runs.table(rows, list(rows[0]))
    print("Nats. KL is from the truth to the flow; 0 is a perfect fit.")


def main(config: Config) -> dict:
    check(config, "toys", "models")
    results = {}
    for toy_name in config.toys:
        toy = datasets.TOYS[toy_name]()
        train_key, test_key = jax.random.split(jax.random.key(config.seed))
        x = toy.sample(test_key, config.num_test)
        truth, learned = toy.log_prob(x), {}
        panels = {"truth": jax.jit(toy.log_prob)}
        for name in config.models:
            recipe = learning.Recipe(build, {"config": config, "name": name})
            model = recipe.model()
            start = time.perf_counter()
            params, norms = jax.block_until_ready(learn(config, model, toy, train_key))
            log_prob = jax.jit(lambda x, model=model, params=params: model.dist(params).log_prob(x))
            seconds = time.perf_counter() - start
            history = fitting.rows_of_norms(norms)
            fitting.tell_clipped(f"{toy_name}, {name}", history, fitting.CLIP)
            learning.save(config.directory / f"{toy_name}-{name}", params, recipe=recipe)
            kl, stderr = objectives.mean_and_stderr(truth - log_prob(x))
            learned[name] = {"kl": kl, "kl_stderr": stderr, "train_seconds": seconds}
            panels[f"{name}: KL {kl:.3f}"] = log_prob
        results[toy_name] = {"entropy": toy.entropy, "models": learned}
        print(f"{toy_name}: " + ", ".join(f"{n} {r['kl']:.3f}" for n, r in learned.items()))
        figure = plots.densities(panels, title=f"{toy_name}, entropy {toy.entropy:.3f} nats")
        if processes.first():
            plots.save(figure, config.directory / f"densities-{toy_name}.png")
    return {"toys": results}


if __name__ == "__main__":
    runs.experiment(Config, main, quick={"num_steps": 20, "toys": ("moons",)}, show=show, minutes=6)
