"""The most frequent cost of quantised latents: drawing categories.

    taskset -c 0 python -m benchmarks.quantized --clock cpu

Every prior of codes and every sampler of levels draws categories in its innermost loop. This times
draws for 3136 rows of 512 logits and for 256 rows of 32 logits, by one uniform number and a
cumulative sum (`distributions.Levels`) and by `jax.random.categorical`, which needs a random number
for each category. *error* is the largest difference between a frequency and its probability, in
standard errors, over a thousand draws of a few rows. The goal is at most a quarter of the time of
`jax.random.categorical`. It takes half a minute.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import times
from dgm_jax import checks, distributions, measure, plots, runs
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Array, Key

CHECKED = 8, 1000  # rows, and draws of each, by which frequencies are compared


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    rows: tuple[int, ...] = (3136, 256)
    """the numbers of rows that are drawn at once"""
    categories: tuple[int, ...] = (512, 32)
    """the number of categories, for each of --rows"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: elapsed time, or the processor time of this process, which should then be
    pinned to one core"""
    repeats: int = 7
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 0.0
    """the least duration of all rounds, in seconds, for each size"""


DRAWS = {
    "dgm_jax": lambda key, logits: distributions.Levels(logits).sample(seed=key),
    "jax.random.categorical": lambda key, logits: jax.random.categorical(key, logits),
}


def logits_of(rows: int, categories: int) -> Array:
    """Normal logits [rows, categories], float32."""
    return jnp.asarray(np.random.default_rng(0).normal(size=(rows, categories)), jnp.float32)


def called(draw: Callable, key: Key, logits: Array) -> Callable:
    """A call of one compiled program; copying the key outside would take longer than a draw."""
    program = jax.jit(lambda key, logits: draw(jax.random.clone(key), logits))
    return lambda: program(key, logits)


def error(draw: Callable, logits: Array) -> float:
    """The largest error of a frequency in standard errors: about 4 at most if draws are right."""
    num_rows, num = CHECKED
    logits = logits[:num_rows]
    keys = jax.random.split(jax.random.key(1), num)
    drawn = np.asarray(jax.jit(jax.vmap(draw, (0, None)))(keys, logits))
    p = np.asarray(jax.nn.softmax(logits), np.float64)
    share = np.stack([np.bincount(x, minlength=p.shape[1]) for x in drawn.T]) / num
    expected = p * num >= 5  # rarer ones are not nearly normal
    off = np.abs(share - p) / np.sqrt(p * (1 - p) / num)
    return float(off[expected].max()) if expected.any() else 0.0


def main(config: Config) -> dict:
    for name in ("rows", "categories"):
        checks.widths(getattr(config, name), name, fewest=1)
    if len(config.rows) != len(config.categories):
        raise checks.InputError(
            f"rows and categories must be as many; got {len(config.rows)} and "
            f"{len(config.categories)}."
        )
    machine, rows = measure.machine(), []
    for size in zip(config.rows, config.categories, strict=True):
        logits, key = logits_of(*size), jax.random.key(0)
        timed = timing.compare(
            {name: called(draw, key, logits) for name, draw in DRAWS.items()},
            repeats=config.repeats,
            min_seconds=config.min_seconds,
            clock=config.clock,
        )
        for name, result in timed.items():
            rows.append(
                {
                    "draws": f"{size[0]} of {size[1]}",
                    "by": name,
                    "error": error(DRAWS[name], logits),
                    **times.measured(result),
                    "to_ours": result.median_ms / timed["dgm_jax"].median_ms,
                }
            )
    return {"rows": rows, "machine": machine | {"clock": config.clock}}


def tables(found: dict) -> list[list]:
    """A line for each size and way: the error of frequencies, times, the ratio to ours."""
    return [
        [
            {
                "draws": r["draws"],
                "by": r["by"],
                "error": f"{r['error']:.1f}",
                **times.cells(r),
                "/ ours": f"{r['to_ours']:.2f}",
            }
            for r in found["rows"]
        ]
    ]


def draw(config: Config, found: dict) -> Figure:
    """A bar of milliseconds for each way."""
    return times.bars(found["rows"], "draws", "by", title="Draws of categories")


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=0.5)
