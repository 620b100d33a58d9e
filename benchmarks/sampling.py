"""Autoregressive models: a sample against a density pass, in arithmetic and in time.

    python -m benchmarks.sampling

The lecture says that a sample of d values takes d passes of the network. Every model here has a
sampler that computes each activation once. This counts its arithmetic and times it, beside one
density pass and beside the d passes of the lecture; if d is large, only the first `naive_passes` of
these are timed, and the time is multiplied by d / naive_passes.

d = 64, 784 and 3072 are images of 8×8, 28×28 and 32×32×3 pixels, 16000 is two seconds of sound; all
have 256 levels and discretised mixtures of logistics. What remains of the lecture's claim is that
the steps are small and must follow one another: `us a step` is the time of each, in microseconds.
FLOPs are those of the matrix products and convolutions of the program as it is written, including
loops, and milliseconds are those of a call, both for `batch` examples. At d = 3072 and 16000 a
transformer has a window of 64 values, which makes its cost linear in the length; without a window,
as at 64 and 784, the cost of attention grows with the square of the length, both for a density pass
and for a sample.

It takes seven minutes on two CPU cores.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp

from benchmarks import passes, times
from dgm_jax import autoregressive as ar
from dgm_jax import (
    checks,
    likelihoods,
    measure,
    nets,
    plots,
    protocol,
    runs,
)
from dgm_jax.measure import flops, timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import CausalNet

Model = Literal[
    "made",
    "markov",
    "gru",
    "wavenet",
    "transformer",
    "pixelcnn",
    "gated_pixelcnn",
    "pixelcnn_pp",
    "pixelsnail",
]


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    models: tuple[Model, ...] = (
        "made",
        "markov",
        "gru",
        "wavenet",
        "transformer",
        "pixelcnn",
        "gated_pixelcnn",
        "pixelcnn_pp",
        "pixelsnail",
    )
    """which models to time, each at those of --dims that it fits"""
    dims: tuple[int, ...] = (64, 784, 3072, 16000)
    """the numbers of values d"""
    batch: int = 8
    """examples per call"""
    devices: int = 1
    """devices, also of a CPU, that share the batch of a sample; passes have one"""
    hidden: int = 64
    """channels of the nets; hidden layers of MADE and Markov models have 4 times as many units"""
    naive_limit: int = 64
    """the largest d at which all d passes of the naive sampler are timed"""
    naive_passes: int = 4
    """how many of them are timed at larger d"""
    repeats: int = 3
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 1.0
    """the least duration of all rounds, in seconds, for each model and d"""


LEVELS = 256
SHAPES = {64: (8, 8, 1), 784: (28, 28, 1), 3072: (32, 32, 3)}
DILATIONS = tuple(2**n for n in range(8)) * 2
WINDOW = 64  # of Markov models, and of transformers from d = 3072 on


def made(shape: tuple[int, int, int], hidden: int, outputs: dict) -> CausalNet:
    """A MADE with one hidden layer of 4 · hidden units."""
    return nets.made(math.prod(shape), hidden=(4 * hidden,), **outputs)


def markov(shape: tuple[int, int, int], hidden: int, outputs: dict) -> CausalNet:
    """An MLP of the last WINDOW values, with one hidden layer of 4 · hidden units."""
    return nets.markov(math.prod(shape), window=WINDOW, hidden=(4 * hidden,), **outputs)


def gru(shape: tuple[int, int, int], hidden: int, outputs: dict) -> CausalNet:
    """A GRU with a state of `hidden` units."""
    return nets.rnn(math.prod(shape), cell="gru", hidden=hidden, **outputs)


def wavenet(shape: tuple[int, int, int], hidden: int, outputs: dict) -> CausalNet:
    """A WaveNet with two cycles of the dilations 1, 2, ..., 128."""
    return nets.wavenet(math.prod(shape), hidden=hidden, dilations=DILATIONS, **outputs)


def transformer(shape: tuple[int, int, int], hidden: int, outputs: dict) -> CausalNet:
    """Four layers of four heads; from d = 3072 on with a window and rotary positions."""
    dim = math.prod(shape)
    window: dict[str, Any] = {"window": WINDOW, "positions": "rotary"} if dim >= 3072 else {}
    return nets.transformer(dim, hidden=hidden, num_layers=4, num_heads=4, **window, **outputs)


def of_pixels(name: str) -> Callable:
    """make(shape, hidden, outputs) of the net `nets.<name>`, with four layers."""

    def make(shape, hidden, outputs):
        return getattr(nets, name)(shape, hidden=hidden, num_layers=4, **outputs)

    return make


LINES = {"made": made, "markov": markov, "gru": gru, "wavenet": wavenet, "transformer": transformer}
PICTURES = {n: of_pixels(n) for n in ("pixelcnn", "gated_pixelcnn", "pixelcnn_pp", "pixelsnail")}


def fits(name: str, dim: int) -> bool:
    """Whether a model is timed at this d.

    Nets on pictures need a picture; a MADE of d = 16000 would have a billion weights.
    """
    if name in PICTURES:
        return dim in SHAPES
    return name != "made" or dim <= 3072


def build(config: Config, name: str, dim: int) -> tuple[CausalNet, likelihoods.Conditional]:
    """The net, and the likelihood of one value."""
    conditional = likelihoods.discretized_logistic(LEVELS)
    shape = SHAPES.get(dim, (1, dim, 1))
    outputs = {"num_outputs": conditional.num_params, "encoding": conditional.encoding}
    return (LINES | PICTURES)[name](shape, config.hidden, outputs), conditional


def first_values(net: CausalNet, conditional: likelihoods.Conditional, num_passes: int) -> Callable:
    """The lecture's sampler, stopped after num_passes of its d equal steps."""

    def sample(params, x, key):
        def step(x, t):
            outputs = net.apply(params, x)[:, t]
            value = conditional.dist(outputs).sample(seed=jax.random.fold_in(key, t))
            return x.at[:, t].set(value), None

        return jax.lax.scan(step, x, jnp.arange(num_passes))[0]

    return sample


def programs(config: Config, name: str, dim: int) -> tuple[dict[str, tuple], int]:
    """{way: (program, its FLOPs)} of density, sample and naive, which may stop early."""
    net, conditional = build(config, name, dim)
    model = ar.density(net, conditional, dim)
    x_key, params_key, key = jax.random.split(jax.random.key(0), 3)
    x = jax.random.randint(x_key, (config.batch, dim), 0, LEVELS)
    params = passes.parameters(model, params_key)
    calls = {way: passes.function(model, way, config.batch) for way in ("density", "sample")}
    calls["naive"] = first_values(net, conditional, timed_passes(config, dim))
    devices = {"sample": config.devices}
    made = {
        way: (
            times.program(call, devices.get(way, 1), params, x, key),
            flops.products(call, params, x, key),
        )
        for way, call in calls.items()
    }
    return made, protocol.num_params(params)


def timed_passes(config: Config, dim: int) -> int:
    """How many of the naive sampler's d passes are timed."""
    return dim if dim <= config.naive_limit else min(config.naive_passes, dim)


def row(config: Config, name: str, dim: int) -> dict:
    """The row of one model and d; naive times and FLOPs are scaled up to all d passes."""
    made, num_params = programs(config, name, dim)
    runs = {way: program.run for way, (program, _) in made.items()}
    timed = timing.compare(runs, repeats=config.repeats, min_seconds=config.min_seconds)
    part = timed_passes(config, dim)
    of_all = {"density": 1, "sample": 1, "naive": dim / part}
    told = {}
    for way in made:
        told |= times.measured(timed[way], 1 / of_all[way], name=f"{way}_")
    return {
        "model": name,
        "dim": dim,
        "batch": config.batch,
        "devices": config.devices,
        "params": num_params,
        "timed_passes": part,
        **told,
        **{f"{way}_flops": of_all[way] * count for way, (_, count) in made.items()},
        "density_compile_s": made["density"][0].compile_s,
        "sample_compile_s": made["sample"][0].compile_s,
    }


def main(config: Config) -> dict:
    for dim in config.dims:
        checks.positive_int(dim, "each of dims", least=2)
    checks.positive_int(config.batch, "batch")
    checks.positive_int(config.devices, "devices")
    checks.positive_int(config.hidden, "hidden")
    checks.positive_int(config.naive_passes, "naive_passes")
    machine, rows = measure.machine() | {"hidden": config.hidden, "batch": config.batch}, []
    for dim in sorted(config.dims):
        rows += [row(config, name, dim) for name in config.models if fits(name, dim)]
        left_out = [name for name in config.models if not fits(name, dim)]
        print(f"d = {dim} is done{', without' * bool(left_out)} {' '.join(left_out)}".rstrip())
    if not rows:
        raise checks.InputError(
            f"dims={config.dims} fit none of {', '.join(config.models)}; images have {[*SHAPES]}."
        )
    return {"rows": rows, "machine": machine}


def tables(found: dict) -> list[list]:
    """A line for each model and d: arithmetic, times, and ratios to a density pass."""

    def line(r):
        return {
            "model": r["model"],
            "d": r["dim"],
            "devices": r["devices"],
            "parameters": r["params"],
            "density MFLOP": runs.short(r["density_flops"] / 1e6),
            "sampling / density": f"{r['sample_flops'] / r['density_flops']:.2f}",
            "d passes / density": f"{r['naive_flops'] / r['density_flops']:.0f}",
            "density ms": runs.short(r["density_ms"]),
            "sampling ms": runs.short(r["sample_ms"]),
            "d passes ms": f"{r['naive_ms']:.3g}" + "*" * (r["timed_passes"] < r["dim"]),
            "sampling / density, time": f"{r['sample_ms'] / r['density_ms']:.1f}",
            "d passes / sampling, time": f"{r['naive_ms'] / r['sample_ms']:.0f}",
            "us a step": runs.short(1e3 * r["sample_ms"] / r["dim"]),
            "compile s": f"{r['density_compile_s']:.1f}, {r['sample_compile_s']:.1f}",
        }

    return [[line(r) for r in found["rows"]]]


def draw(config: Config, found: dict) -> Figure:
    """The time of a sample in units of a density pass, against d, beside the lecture's d passes."""
    dims = sorted(config.dims)
    lines = {"d passes, by count": (dims, dims)}
    for name in config.models:
        rows = [r for r in found["rows"] if r["model"] == name]
        ratios = [r["sample_ms"] / r["density_ms"] for r in rows]
        if rows:
            lines[name] = ([r["dim"] for r in rows], ratios)
    figure = plots.curves(
        lines,
        xlabel="dimension d",
        ylabel="time of a sample / of a density pass",
        logx=True,
        logy=True,
        baselines={"one pass": 1.0},
        colours={"d passes, by count": plots.QUIET},
        title="Sampling of autoregressive models, each activation once",
    )
    passes.mark(figure, dims)
    return figure


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=7)
