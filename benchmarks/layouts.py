"""One device for all cores of a CPU, or one for each core: which is faster for each kind of work.

    python -m benchmarks.layouts

times training steps (the gradient and Adam) of dense, convolutional and other nets, samples and
densities, with the batch on one device and shared by two. One device shares each large operation
among the cores; two devices each compute their half of the rows from beginning to end, but both
hold and update all parameters. *FLOPs per parameter* tells what a step computes for each of them.
`learning.training_mesh` and `learning.over_devices` follow these times. The cores must be free. It
takes three minutes on two CPU cores, most of it compilation.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import passes, sampling, times
from dgm_jax import autoregressive as ar
from dgm_jax import checks, learning, likelihoods, measure, nets, objectives, plots, protocol, runs
from dgm_jax.measure import flops, timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Algorithm, Density, Key, Net, State


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    devices: tuple[int, ...] = (1, 2)
    """the numbers of devices that share a batch, each of which must divide it; ratios are to the
    first"""
    only: tuple[str, ...] = ()
    """the kinds of work, such as sampling; by default all"""
    repeats: int = 10
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 1.0
    """the least duration of all rounds, in seconds, for each work"""


class Step(NamedTuple):
    """A loss(params, key, batch) that is minimised, and a batch."""

    init: Callable
    loss: Callable
    batch: Any


class Call(NamedTuple):
    """A function(params, x, key) of rows x, such as a density."""

    init: Callable
    function: Callable
    batch: Any


def numbers(*shape: int) -> np.ndarray:
    """Normal draws of this shape, the same in every call."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def bits(*shape: int) -> np.ndarray:
    """Fair coins of this shape, the same in every call."""
    return np.random.default_rng(0).integers(0, 2, shape)


def likelihood(model: Density, x: np.ndarray) -> Step:
    """A step of a density, by maximum likelihood of x."""
    return Step(model.init, lambda params, key, x: objectives.nll(model, params, None, x), x)


def through(net: Net, x: np.ndarray) -> Step:
    """A step of any net, by a simple loss of its outputs at x."""
    loss = lambda params, key, x: (jnp.logaddexp(0.0, net.apply(params, x)).mean(), {})
    return Step(net.init, loss, x)


def denoised(net: Net, x: np.ndarray) -> Step:
    """A step of a net of images and times, by its squared outputs at x and time 1."""
    loss = lambda params, key, x: ((net.apply(params, x, jnp.ones(len(x))) ** 2).mean(), {})
    return Step(net.init, loss, x)


def flow(name: str, dim: int, width: int = 512) -> Density:
    """A flow of `benchmarks.passes` with 5 layers, with two hidden layers of `width` in each."""
    return passes.build(name, dim, "unit_once", num_layers=5, hidden=(width, width))


def levels(name: str, dim: int) -> Density:
    """A model of `benchmarks.sampling` with 32 channels: 256 levels in `dim` places."""
    net, conditional = sampling.build(sampling.Config(hidden=32), name, dim)
    return ar.density(net, conditional, dim)


def call(model: Density, way: str, batch: int, x: Any) -> Call:
    """A call that `passes.function` names: of rows x, or a sample of `batch` rows."""
    return Call(model.init, passes.function(model, way, batch), x)


# {kind of work: {what: its step or call}}; each is built where it is timed
WORKS: dict[str, dict[str, Callable[[], Step | Call]]] = {
    "dense training": {
        "MADE 784, 500, batch 128": lambda: likelihood(
            ar.made(784, likelihoods.bernoulli(), hidden=(500,)), bits(128, 784)
        ),
        "MAF 43, 128x2, batch 128": lambda: likelihood(flow("maf", 43, 128), numbers(128, 43)),
        "MAF 64, 512x2, batch 256": lambda: likelihood(flow("maf", 64), numbers(256, 64)),
        "RealNVP 64, 512x2, batch 256": lambda: likelihood(flow("realnvp", 64), numbers(256, 64)),
        "MLP 784, 200x2, batch 128": lambda: through(
            nets.mlp(784, 784, hidden=(200, 200)), numbers(128, 784)
        ),
    },
    "convolutional training": {
        "Gated PixelCNN 28x28, batch 32": lambda: likelihood(
            ar.gated_pixelcnn((28, 28, 1), likelihoods.bernoulli(), hidden=32, num_layers=5),
            bits(32, 28, 28, 1),
        ),
        "encoder 28x28, batch 64": lambda: through(
            nets.conv_encoder((28, 28, 1), 64), numbers(64, 28, 28, 1)
        ),
        "decoder 28x28, batch 64": lambda: through(
            nets.conv_decoder(64, (28, 28, 1), 1), numbers(64, 64)
        ),
        "U-Net 8x8, batch 128": lambda: denoised(
            nets.unet((8, 8, 1), hidden=32), numbers(128, 8, 8, 1)
        ),
    },
    "other training": {
        "WaveNet 784, batch 16": lambda: likelihood(
            ar.wavenet(784, likelihoods.bernoulli(), hidden=32, dilations=sampling.DILATIONS[:8]),
            bits(16, 784),
        ),
        "GRU 64, batch 128": lambda: likelihood(
            ar.rnn(64, likelihoods.bernoulli(), hidden=64), bits(128, 64)
        ),
        "transformer 64, batch 64": lambda: likelihood(
            ar.transformer(64, likelihoods.bernoulli(), hidden=64, num_layers=4, num_heads=4),
            bits(64, 64),
        ),
    },
    "sampling": {
        "MAF 64, batch 256": lambda: call(flow("maf", 64), "sample", 256, None),
        "spline MAF 64, batch 256": lambda: call(flow("nsf_ar", 64, 256), "sample", 256, None),
        "Gated PixelCNN 8x8, batch 64": lambda: call(
            levels("gated_pixelcnn", 64), "sample", 64, None
        ),
        "transformer 64, batch 64": lambda: call(levels("transformer", 64), "sample", 64, None),
    },
    "scoring": {
        "MAF 64, batch 256": lambda: call(flow("maf", 64), "density", 256, numbers(256, 64)),
        "RealNVP 64, batch 256": lambda: call(
            flow("realnvp", 64), "density", 256, numbers(256, 64)
        ),
        "Gated PixelCNN 8x8, batch 64": lambda: call(
            levels("gated_pixelcnn", 64), "density", 64, bits(64, 64)
        ),
    },
}


def programs(config: Config, work: Call | Step) -> tuple:
    """{devices: call of no arguments}, and the FLOPs of one and the number of parameters."""
    key = jax.random.key(0)
    if isinstance(work, Call):
        params = passes.parameters(work, key)
        args = params, work.batch, key
        count = flops.products(work.function, *args)
        made = {n: times.program(work.function, n, *args).run for n in config.devices}
        return made, count, protocol.num_params(params)
    algorithm = learning.gradient_descent(work.init, work.loss, optax.adam(1e-3))
    state = algorithm.init(key)
    count = flops.products(algorithm.step, state, key, work.batch)
    made = {n: step_of(algorithm, state, key, work.batch, n) for n in config.devices}
    return made, count, protocol.num_params(algorithm.params(state))


def step_of(
    algorithm: Algorithm, state: State, key: Key, batch: np.ndarray, devices: int
) -> Callable:
    """A call of a compiled step, whose batch so many devices share."""
    mesh = learning.data_mesh(devices)
    args = *learning.replicate((state, key), mesh), learning.shard_batch(batch, mesh)
    with jax.set_mesh(mesh):
        return timing.program(algorithm.step, *args).run


def main(config: Config) -> dict:
    for count in config.devices:
        checks.positive_int(count, "each of devices")
    for kind in config.only:
        checks.choice(kind, tuple(WORKS), "each of only")
    rows, machine = [], measure.machine()
    for kind in config.only or WORKS:
        for what, build in WORKS[kind].items():
            made, count, num_params = programs(config, build())
            timed = timing.compare(made, repeats=config.repeats, min_seconds=config.min_seconds)
            first = timed[config.devices[0]].median_ms
            for devices, found in timed.items():
                row = {"work": kind, "what": what, "devices": devices, **times.measured(found)}
                row |= {"relative": found.median_ms / first, "first_call_s": found.first_call_s}
                rows.append(row | {"flops": count, "num_params": num_params})
        print(f"{kind} is done")
    return {"rows": rows, "machine": machine}


def tables(found: dict) -> list[list]:
    """Milliseconds, and how many times as fast as on the first number of devices."""

    def line(r):
        return {
            **{name: r[name] for name in ("work", "what", "devices")},
            "FLOPs per parameter": r["flops"] and round(r["flops"] / r["num_params"]),
            **times.cells(r),
            "speed-up": f"{1 / r['relative']:.2f}",
        }

    return [[line(r) for r in found["rows"]]]


def draw(config: Config, found: dict) -> Figure:
    """The speed-up of each work by the last number of devices, a group of bars for each kind."""
    values = {}
    for r in found["rows"]:
        if r["devices"] == config.devices[-1]:
            values.setdefault(r["what"].replace(", batch", "\nbatch"), {})[r["work"]] = (
                1 / r["relative"]
            )
    title = f"{config.devices[-1]} devices of one CPU, beside {config.devices[0]}"
    return plots.bars(values, ylabel="times as fast", title=title)


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=3)
