"""Bounds of log p(x) as losses: a training step by DReG and STL beside one by IWAE and the ELBO.

    python -m benchmarks.bounds

times a step of Adam for the same VAE, 784-200-200-50 with tanh on bits, by every bound with the
same number of samples K, in interleaved calls. DReG multiplies the gradient with respect to z by a
weight on its way from the decoder back to the encoder, so the decoder is evaluated forward once and
backward once, as for IWAE. The column `arithmetic` counts the matrix products of the step as it is
written, relative to IWAE. It is above 1 because log q is scored by a second pass of the encoder,
whose parameters get no gradient; a compiler finds out that it equals the first pass. STL with K
samples is the ELBO with K samples and without the gradient of this score.

Expect ratios of time from 1.0 to 1.25. It takes a minute on two CPU cores.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp

from dgm_jax import checks, learning, likelihoods, measure, nets, objectives, plots, runs, vae
from dgm_jax.measure import flops, timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import LatentVariable

Bound = Literal["iwae", "dreg", "elbo", "stl"]


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    bounds: tuple[Bound, ...] = ("iwae", "dreg", "elbo", "stl")
    """the bounds to compare; ratios are relative to the first"""
    samples: tuple[int, ...] = (1, 5, 50)
    """the numbers of samples K for each x"""
    batch: int = 100
    """rows per step"""
    dim: int = 784
    """the number of bits of x"""
    hidden: tuple[int, ...] = (200, 200)
    """widths of the hidden layers of encoder and decoder"""
    latents: int = 50
    """the number of entries of z"""
    repeats: int = 20
    """rounds of timing; in each, all steps are called in turn"""
    min_seconds: float = 3.0
    """the least duration of all rounds, in seconds, for each K"""


def build(config: Config) -> LatentVariable:
    """The VAE that all bounds train: dim bits, the widths `hidden` with tanh in both nets."""
    net = functools.partial(nets.mlp, hidden=config.hidden, activation=jnp.tanh)
    encoder, decoder = net(config.dim, 2 * config.latents), net(config.latents, config.dim)
    bits = likelihoods.bernoulli()
    return vae.vae(encoder, decoder, bits, config.dim, num_latents=config.latents)


def steps(config: Config, num: int) -> dict[str, tuple]:
    """{bound: (program of a step, its FLOPs)} for K = num samples."""
    import optax

    model = build(config)
    params_key, x_key, key = jax.random.split(jax.random.key(0), 3)
    x = jax.random.bernoulli(x_key, 0.2, (config.batch, config.dim)).astype(int)
    params, made = jax.jit(model.init)(params_key), {}
    for name in config.bounds:
        loss = functools.partial(getattr(objectives, name), model, num_samples=num)
        algorithm = learning.gradient_descent(lambda _: params, loss, optax.adam(1e-3))
        state = algorithm.init(jax.random.clone(params_key))
        count = flops.products(algorithm.step, state, key, x)
        made[name] = timing.program(algorithm.step, state, key, x), count
    return made


def rows_of(config: Config, num: int) -> list[dict]:
    """A row for each bound with K = num samples, all timed in interleaved calls."""
    made = steps(config, num)
    calls = {name: program.run for name, (program, _) in made.items()}
    timed = timing.compare(calls, repeats=config.repeats, min_seconds=config.min_seconds)
    first = config.bounds[0]
    return [
        {
            "bound": name,
            "samples": num,
            "ms": timed[name].median_ms,
            "low_ms": timed[name].low_ms,
            "high_ms": timed[name].high_ms,
            "time_ratio": timed[name].median_ms / timed[first].median_ms,
            "flops_ratio": count / made[first][1],
            "compile_s": program.compile_s,
        }
        for name, (program, count) in made.items()
    ]


def main(config: Config) -> dict:
    checks.widths(config.samples, "samples", fewest=1)
    if not config.bounds:
        raise checks.InputError("bounds is empty; name at least one with --bounds.")
    sizes = {name: getattr(config, name) for name in ("batch", "dim", "latents")}
    for name, size in sizes.items():
        checks.positive_int(size, name)
    machine, rows = measure.machine() | sizes, []
    for num in config.samples:
        rows += rows_of(config, num)
    return {"rows": rows, "machine": machine}


def tables(found: dict) -> list[list]:
    """A line for each K and bound: a step's time, and its ratios to the first bound."""
    first = found["rows"][0]["bound"]
    return [
        [
            {
                "bound": row["bound"],
                "K": row["samples"],
                "step ms": runs.short(row["ms"]),
                "quartiles": f"{runs.short(row['low_ms'])} - {runs.short(row['high_ms'])}",
                f"time / {first}": f"{row['time_ratio']:.2f}",
                f"arithmetic / {first}": f"{row['flops_ratio']:.2f}",
                "compile s": f"{row['compile_s']:.1f}",
            }
            for row in found["rows"]
        ]
    ]


def draw(config: Config, found: dict) -> Figure:
    """The milliseconds of a step against K."""
    lines: dict[str, tuple] = {
        name: tuple(
            zip(
                *[(r["samples"], r["ms"]) for r in found["rows"] if r["bound"] == name], strict=True
            )
        )
        for name in config.bounds
    }
    return plots.curves(
        lines,
        xlabel="samples K",
        ylabel="ms a step",
        logx=True,
        logy=True,
        title=f"Steps of one VAE, {config.dim} bits and {config.latents} latents",
    )


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=1)
