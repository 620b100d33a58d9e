"""Quality of samples against the number of passes of the net, for each sampler of one model.

    python -m experiments.diffusion.steps --run runs/diffusion/digits/ddpm

loads a model that `experiments.diffusion.digits` trained and draws samples by each sampler with
each number of passes. For each it prints the sliced Wasserstein distance to the test split, the
density and coverage of the pixels, and the seconds; the last line has the same for training rows in
place of samples. steps.png shows the distances. It takes a few minutes of one CPU core, most of it
compilation.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import numpy as np

from dgm_jax import checks, diffusion, learning, plots, runs
from dgm_jax.measure import timing
from dgm_jax.runs import processes
from experiments import sets
from experiments.gans import judge
from experiments.options import Data, check

if TYPE_CHECKING:
    from dgm_jax.protocol import Params


@dataclasses.dataclass(frozen=True)
class Config(Data, runs.RunOptions):
    run: Path | None = None
    """the directory of a model that `experiments.diffusion.digits` trained"""
    class_conditional: ClassVar[bool] = False
    passes: tuple[int, ...] = (5, 10, 20, 50, 100, 250)
    """the numbers of passes of the net to compare"""
    num_judged: int = 300
    """samples for each sampler and number of passes"""


QUICK = {"passes": (3, 4), "num_judged": 16}


def samplers(passes: int) -> dict:
    """{name: sampler} with this many passes; those of second order make an odd number of passes."""
    half = max((passes + 1) // 2, 2)
    return {
        "chain": functools.partial(diffusion.sample, num_steps=passes),
        "DDIM": functools.partial(diffusion.sample, num_steps=passes, eta=0.0),
        "Heun": functools.partial(diffusion.heun, num_steps=half),
        "DPM-Solver-2": functools.partial(diffusion.dpm_solver, num_steps=half),
    }


def judged(
    config: Any, model: diffusion.Denoiser, params: Params, sampler: Callable, real: np.ndarray
) -> tuple[dict, np.ndarray]:
    """The metrics of config.num_judged samples with the seconds they took, and the samples."""

    draw = timing.program(
        lambda params, key: sampler(model, params, key, config.num_judged, clip=1.0),
        params,
        jax.random.key(config.seed),
    )
    start = time.perf_counter()
    x = np.asarray(draw.run())
    seconds = time.perf_counter() - start
    return judge.by_pixels(x, real) | {"seconds": seconds}, x


def main(config: Config) -> dict:
    check(config, "passes")
    if config.run is None:
        raise checks.InputError("run must name the directory of a trained model; see --help.")
    loaded = learning.load(config.run)
    model = loaded.model
    checks.noun(model, diffusion.Denoiser, "the model of run")
    images = sets.images(config)
    scaled = {
        split: np.asarray(diffusion.scaled(images.rows[split][0], images.num_levels))
        for split in ("train", "test")
    }
    real = scaled["test"]
    floor = judge.by_pixels(scaled["train"][: config.num_judged], real)
    found = {}
    for passes in config.passes:
        for name, sampler in samplers(passes).items():
            row, _ = judged(config, model, loaded.params, sampler, real)
            found.setdefault(name, {})[str(passes)] = row
    if processes.first():
        curves = {
            name: (tuple(map(int, rows)), tuple(row["sliced"] for row in rows.values()))
            for name, rows in found.items()
        }
        figure = plots.curves(
            curves,
            xlabel="passes of the net",
            ylabel="sliced Wasserstein distance",
            logx=True,
            logy=True,
            baselines={"training rows": floor["sliced"]},
        )
        plots.save(figure, config.directory / "steps.png")
    return {"data": config.data, "floor": floor, "samplers": found}


def show(found: dict) -> None:
    rows = [
        {
            "sampler": name,
            "passes": passes,
            **{what: f"{value:.3f}" for what, value in row.items()},
        }
        for name, of in found["samplers"].items()
        for passes, row in of.items()
    ]
    runs.table(rows, list(rows[0]))
    print("Training rows: " + ", ".join(f"{k} {v:.3f}" for k, v in found["floor"].items()))


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=5)
