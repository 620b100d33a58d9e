r"""Progressive growing: images of 4x4 pixels first, then of 8x8, ... by further layers.

    python -m experiments.gans.progressive

learns the 8x8 digits in two stages (grown), and for comparison by the same nets and number of steps
at full size from the start (full). The layers of larger images fade in over the first half of their
stage. Both play the non-saturating game with R_1 on the critic, by Adam with b1 = 0. A moving
average of the generator is judged by the pixels of 500 samples: by the sliced Wasserstein distance
to the test split, density and coverage, each beside that of 500 training images. samples.png shows
samples with the training images nearest to them, which would show memorised ones; curves.png shows
the distance to the validation split during training. It takes about three minutes.

    python -m experiments.gans.progressive --data olivetti_faces --size 32 --data-dir FOLDER \
        --channel-base 512 --models grown
    python -m experiments.gans.progressive --data mnist --data-dir FOLDER --models grown

Images are made square with a power of two pixels per side by repeating their borders; --size
averages pixels. The sizes of the paper, 1024x1024 pixels with 23.1 million parameters for each net,
are --channel-base 16384 --channel-max 512 --num-latents 512, for an accelerator.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import numpy as np

from dgm_jax import gans, learning, plots, protocol, runs
from dgm_jax.runs import processes
from experiments import fitting
from experiments.gans import growing
from experiments.options import check

QUICK = growing.QUICK
COLUMNS = 16


@dataclasses.dataclass(frozen=True)
class Config(growing.Growing, runs.RunOptions):
    models: tuple[Literal["grown", "full"], ...] = ("grown", "full")
    """which models to train: stage by stage, or at full size from the first step"""


def players(config: Config, shape: tuple[int, int, int]) -> Callable:
    """grown(size, α), as `gans.progressive` returns it, for images of this shape."""
    return gans.progressive(
        shape,
        num_latents=config.num_latents,
        channel_base=config.channel_base,
        channel_max=config.channel_max,
    )


@runs.builder
def build(config: Config, shape: tuple[int, int, int]) -> protocol.Adversarial:
    """The model at full size, of images [size, size, C]."""
    return players(config, shape)()


def fit(config: Config, name: str, rows: dict[str, np.ndarray]) -> fitting.Fitted:
    """The game through all stages if `name` is grown, else at full size from the start."""
    shape = rows["train"].shape[1:]
    sizes = growing.stages(config, shape[0]) if name == "grown" else [shape[0]]
    recipe = learning.Recipe(build, {"config": config, "shape": shape})
    return growing.train(config, name, players(config, shape), recipe, rows, sizes)


def draw(config: Config, rows: dict[str, np.ndarray], fitted: dict) -> None:
    """Saves samples.png, with the training images nearest to the samples, and curves.png."""
    shape, num = rows["train"].shape[1:], 2 * COLUMNS
    sample = jax.jit(growing.sampled(build(config, shape), num))
    some = np.random.default_rng(config.seed).permutation(len(rows["test"]))[:num]
    groups = {"test data": rows["test"][np.resize(some, num)]}
    for i, (name, found) in enumerate(fitted.items()):
        x = np.asarray(sample(found.params, jax.random.key(config.seed + 1 + i)))
        groups |= {name: x, f"{name}: nearest data": growing.nearest(x, rows["train"])}
    growing.grid(config, "samples", groups, COLUMNS)
    curves = {name: found.curves["valid_sliced"] for name, found in fitted.items()}
    ylabel = "sliced Wasserstein distance, validation"
    plots.save(plots.curves(curves, xlabel="step", ylabel=ylabel), config.directory / "curves.png")


def show(found: dict) -> None:
    rows = [growing.told(name, row) for name, row in found["models"].items()]
    runs.table(rows, list(rows[0]))
    print("By pixels, on the test split; 'of data' is the same for as many training images.")
    fitting.tell(found["models"])


def main(config: Config) -> dict:
    check(config, "models")
    _, rows = growing.images(config)
    fitted = {name: fit(config, name, rows) for name in config.models}
    if processes.first():
        draw(config, rows, fitted)
    return {"data": config.data, "models": {name: found.row for name, found in fitted.items()}}


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
