"""Metrics of samples where the truth is known: real against real data, and Gaussians too wide.

    python -m experiments.gans.floor --data-dir FOLDER

compares `num` pictures of the training split with as many of the test split by all metrics, on the
features of a published network. This is the floor with which the figures of a generator must be
compared. On the Inception network of FID, with 2048 features, 2500 pictures on each side take a
quarter of an hour of one CPU core for each set; `--network efficientnet` takes half of that. Expect
a Fréchet distance that is all bias, as its expansion in 1/n predicts (`frechet_floor`, for
Gaussians), a kernel distance of 0 within its error, equal precision and recall, and density and
coverage near 1 and 0.97.

widths.png needs no data. It compares samples of N(0, w² I) with as many of N(0, I), for several w.
In 64 dimensions w = 0.8 has precision 1 and recall 0.05, and w = 1.2 precision 0.1 and recall 1,
although both look like the data; even for equal distributions neither is 1. Coverage falls only if
samples are too wide, and density grows without a bound if they are too narrow.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from dgm_jax import checks, data, metrics, plots, runs
from dgm_jax.runs import processes
from experiments.options import check

if TYPE_CHECKING:
    from dgm_jax.protocol import Key


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    sets: tuple[Literal["digits", "mnist", "fashion_mnist", "cifar10"], ...] = (
        "cifar10",
        "mnist",
        "fashion_mnist",
    )
    """the data sets whose pictures are compared"""
    network: Literal["inception", "efficientnet", "pixels"] = "inception"
    """the network that gives features; pixels takes the pictures themselves, and needs no file"""
    num: int = 2500
    """pictures on each side, at most as many as the smaller split has"""
    dim: int = 64
    """the dimension of the Gaussians in widths.png"""
    num_gaussian: int = 2000
    """samples of each Gaussian in widths.png"""


QUICK = {"sets": ("digits",), "network": "pixels", "num": 200, "num_gaussian": 100}
WIDTHS = np.round(np.arange(0.5, 1.525, 0.05), 2)


def compared(key: Key, real: np.ndarray, fake: np.ndarray) -> dict:
    """All metrics of one pair of sets of features."""
    kernel_key, slice_key, test_key = jax.random.split(key, 3)
    real_moments = metrics.moments(real)
    size = min(1000, len(real) // 2, len(fake) // 2)
    return {
        "frechet": metrics.frechet_distance(real_moments, fake)._asdict(),
        "expected": metrics.frechet_floor(real_moments.covariance, len(real), len(fake)),
        "kernel": metrics.kernel_distance(kernel_key, real, fake, subset_size=size)._asdict(),
        "neighbours": metrics.precision_recall(real, fake)._asdict(),
        "density": metrics.density_coverage(real, fake)._asdict(),
        "sliced": metrics.sliced_wasserstein(slice_key, real, fake)._asdict(),
        "test": metrics.two_sample_test(test_key, real, fake)._asdict(),
    }


def floor(config: Config, name: str, of_images: Callable) -> dict:
    """All metrics of training rows against test rows of one data set."""
    found = data.load(name, config.data_dir)
    num = min(config.num, len(found.test), len(found.train))
    if num < 10:
        raise checks.InputError(f"num must be at least 10; got {num}.")
    real, fake = (
        of_images(data.subset(x, num, config.seed), found.num_levels)
        for x in (found.train, found.test)
    )
    return compared(jax.random.key(config.seed), real, fake)


def features_of(config: Config) -> Callable:
    """A function (images, number of grey levels) -> features [n, f]."""
    if config.network == "pixels":
        return lambda images, levels: images.reshape(len(images), -1) / (levels - 1)
    network = metrics.features(config.network, config.data_dir)
    return lambda images, levels: network(images * 255 // (levels - 1))


def widths(config: Config) -> dict:
    """{metric: [its value for each w]} of N(0, w² I) against N(0, I)."""
    rng = np.random.default_rng(config.seed)
    real, fake = rng.normal(size=(2, config.num_gaussian, config.dim))
    found = {"precision": [], "recall": [], "density": [], "coverage": []}
    for w in WIDTHS:
        near = metrics.precision_recall(real, w * fake)
        dense = metrics.density_coverage(real, w * fake)
        for name, value in (*near._asdict().items(), *dense._asdict().items()):
            if name in found:
                found[name].append(value)
    return found


def draw(config: Config, found: dict[str, list]) -> None:
    """Saves widths.png: precision, recall, coverage, and density up to 2, against the width w."""
    figure = plots.curves(
        {name: (WIDTHS, np.minimum(values, 2)) for name, values in found.items()},
        xlabel=f"width w of the samples, in {config.dim} dimensions",
        ylabel="share; density up to 2",
    )
    plots.save(figure, config.directory / "widths.png")


def show(found: dict) -> None:
    rows = [
        {
            "train against test": name,
            "n": r["frechet"]["num_real"],
            "Fréchet": f"{r['frechet']['distance']:.4g}",
            "of means": f"{r['frechet']['means']:.3g}",
            "expansion": f"{r['expected']:.4g}",
            "1000 kernel": f"{1e3 * r['kernel']['squared']:.3f}",
            "its spread": f"{1e3 * r['kernel']['spread']:.3f}",
            "precision": f"{r['neighbours']['precision']:.3f}",
            "recall": f"{r['neighbours']['recall']:.3f}",
            "density": f"{r['density']['density']:.3f}",
            "coverage": f"{r['density']['coverage']:.3f}",
            "sliced": f"{r['sliced']['distance']:.3g}",
            "told apart": f"{r['test']['accuracy']:.3f}",
        }
        for name, r in found["sets"].items()
    ]
    runs.table(rows, list(rows[0]))
    print(
        f"Features: {found['network']}. Told apart: the accuracy of a nearest-neighbour classifier "
        "of both sets; 0.5 is that of a guess."
    )


def main(config: Config) -> dict:
    check(config, "sets")
    of_images = features_of(config)
    narrow = widths(config)
    found = {name: floor(config, name, of_images) for name in config.sets}
    if processes.first():
        draw(config, narrow)
    return {
        "network": config.network,
        "sets": found,
        "widths": WIDTHS.tolist(),
        "of_widths": narrow,
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=45)
