"""Figures that papers report, to print beside our own.

The figures of a table are in the order of its sets, and all are for the published splits. Those
whose source is marked `recalled` were not looked up in the paper again: check them before you cite
them. For the ensembles on adult and mushrooms the number of masks is not known here.

A data set is recognised by its content (`known`), whatever its name. A part of a set, patches drawn
anew by the published recipe (bsds300_patches) or another set in a file of the same name have no
published figures.
"""

import hashlib
import math
from typing import NamedTuple

import numpy as np

from dgm_jax import data as datasets


class Figure(NamedTuple):
    """A number, and the paper that reports it."""

    value: float
    source: str


class Table(NamedTuple):
    """Figures of one paper, in one unit."""

    source: str
    unit: str
    sets: tuple[str, ...]
    figures: dict[str, tuple[float, ...]]  # model -> a figure for each of the sets


UCI = ("power", "gas", "hepmass", "miniboone", "bsds300")
TABLES = (
    Table(
        "Papamakarios et al. 2017",
        "nats",
        UCI,
        {
            "MADE": (-3.08, 3.56, -20.98, -15.59, 148.85),
            "MADE MoG": (0.40, 8.47, -15.15, -12.27, 153.71),
            "RealNVP (10)": (0.17, 8.33, -18.71, -13.84, 153.28),
            "MAF (5)": (0.14, 9.07, -17.70, -11.75, 155.69),
        },
    ),
    Table(
        "Papamakarios et al. 2017",
        "nats",
        UCI[:4],
        {
            "Gaussian": (-7.74, -3.58, -27.93, -37.24),
        },
    ),
    Table("Papamakarios et al. 2017", "nats", UCI[:2], {"MAF (10)": (0.24, 10.08)}),
    Table(
        "Papamakarios et al. 2017, recalled",
        "nats",
        UCI[2:],
        {
            "MAF (10)": (-17.73, -12.24, 154.93),
        },
    ),
    Table("Papamakarios et al. 2017, recalled", "nats", UCI[4:], {"Gaussian": (96.67,)}),
    Table(
        "Durkan et al. 2019",
        "nats",
        UCI,
        {
            "RQ-NSF (C)": (0.64, 13.09, -14.75, -9.67, 157.54),
            "RQ-NSF (AR)": (0.66, 13.09, -14.01, -9.22, 157.31),
        },
    ),
    Table(
        "Grathwohl et al. 2019",
        "nats",
        UCI,
        {
            "FFJORD": (0.46, 8.59, -14.92, -10.43, 157.40),
        },
    ),
    Table(
        "Germain et al. 2015, recalled",
        "nats",
        ("binarized_mnist", "adult", "mushrooms"),
        {
            "MADE": (-88.40, -13.12, -9.68),
            "MADE, 32 masks": (-88.04, -13.13, -9.69),
        },
    ),
    Table(
        "Germain et al. 2015, recalled",
        "nats",
        ("binarized_mnist",),
        {
            "MADE, 2 layers, 32 masks": (-86.64,),
        },
    ),
    Table(
        "Germain et al. 2015, recalled",
        "nats",
        ("adult", "mushrooms"),
        {
            "NADE": (-13.19, -9.81),
            "mixture of Bernoullis": (-20.44, -14.46),
        },
    ),
    Table(
        "Burda et al. 2016",
        "nats",
        ("binarized_mnist",),
        {
            "VAE, K = 5000": (-88.71,),
            "IWAE of 5, K = 5000": (-87.63,),
            "IWAE of 50, K = 5000": (-87.10,),
        },
    ),
    Table(
        "Tomczak & Welling 2018",
        "nats",
        ("binarized_mnist",),
        {"VAE with VampPrior, K = 5000": (-85.57,)},
    ),
    Table(
        "Gulrajani et al. 2017",
        "nats",
        ("binarized_mnist",),
        {"PixelVAE, ELBO": (-79.66,), "PixelVAE, K = 1000": (-79.02,)},
    ),
    Table(
        "addtt/ladder-vae-pytorch",
        "nats",
        ("binarized_mnist",),
        {"ladder of 3, ELBO": (-82.14,), "ladder of 3, K = 1000": (-79.24,)},
    ),
    Table(
        "Jang et al. 2017",
        "nats",
        ("binarized_mnist",),
        {
            "score-function-20x10": (-110.6,),
            "muprop-20x10": (-107.0,),
            "straight-through-20x10": (-110.9,),
            "annealed-20x10": (-107.8,),
            "gumbel-20x10": (-101.5,),
            "gumbel-hard-20x10": (-107.8,),
            "score-function-200x2": (-112.2,),
            "muprop-200x2": (-109.7,),
            "straight-through-200x2": (-116.0,),
            "annealed-200x2": (-111.5,),
            "gumbel-200x2": (-105.0,),
            "gumbel-hard-200x2": (-111.5,),
        },
    ),
    Table(
        "Grathwohl et al. 2019",
        "bits/dim",
        ("mnist",),
        {
            "RealNVP": (1.06,),
            "Glow": (1.05,),
            "FFJORD": (0.99,),
        },
    ),
    Table("Dinh et al. 2017", "bits/dim", ("cifar10",), {"RealNVP": (3.49,)}),
    Table("Kingma & Dhariwal 2018", "bits/dim", ("cifar10",), {"Glow": (3.35,)}),
    Table("Ho et al. 2019", "bits/dim", ("cifar10",), {"Flow++": (3.08,)}),
    Table("Grathwohl et al. 2019", "bits/dim", ("cifar10",), {"FFJORD": (3.40,)}),
    Table("van den Oord et al. 2016a", "nats", ("binarized_mnist",), {"PixelCNN": (-81.30,)}),
    Table("van den Oord et al. 2016a", "bits/dim", ("cifar10",), {"PixelCNN": (3.14,)}),
    Table("van den Oord et al. 2016b", "bits/dim", ("cifar10",), {"Gated": (3.03,)}),
    Table("Salimans et al. 2017", "bits/dim", ("cifar10",), {"PixelCNN++": (2.92,)}),
    Table("Chen et al. 2018", "bits/dim", ("cifar10",), {"PixelSNAIL": (2.85,)}),
)


class Content(NamedTuple):
    """What a published set is recognised by."""

    rows: tuple[int, int, int]  # in train, valid and test
    columns: int
    num_levels: int | None
    marks: tuple[str | None, str | None, str | None] = (None, None, None)
    # `mark` of each split; None where the published file was not at hand


CONTENTS = {
    "power": Content((1659917, 184435, 204928), 6, None),
    "gas": Content((852174, 94685, 105206), 8, None),
    "hepmass": Content((315123, 35013, 174987), 21, None),
    "miniboone": Content((29556, 3284, 3648), 43, None),
    "bsds300": Content((1000000, 50000, 250000), 63, None),
    "binarized_mnist": Content(
        (50000, 10000, 10000),
        784,
        2,
        ("12af385fbf415933", "823833f8cb539ca9", "d961470fe82e699d"),
    ),
    "adult": Content(
        (5000, 1414, 26147),
        123,
        2,
        ("2d4fe8c823e52785", "9a98a5e94043b81c", "9cf985ff042a6609"),
    ),
    "mushrooms": Content(
        (2000, 500, 5624),
        112,
        2,
        ("49d2880a4d12600c", "b6bea4a54b6686eb", "c5caac9e71ec1803"),
    ),
    "mnist": Content(
        (50000, 10000, 10000),
        784,
        256,
        ("bdfb9cf3c2b726bd", "99cd4bab163026e7", "648d16a2a3297545"),
    ),
    "cifar10": Content((45000, 5000, 10000), 3072, 256, (None, None, "68e796955fae2ab1")),
}


def known(data: "datasets.Dataset") -> str | None:
    """The name in TABLES of the set of these rows, in any order; None if it is none of them."""
    parts = (data.train, data.valid, data.test)
    here = tuple(map(len, parts)), math.prod(data.train.shape[1:]), data.num_levels
    for name, there in CONTENTS.items():
        if here == there[:3] and all(
            m is None or m == mark(x) for x, m in zip(parts, there.marks, strict=True)
        ):
            return name
    return None


def mark(x: np.ndarray) -> str:
    """A fingerprint of rows of up to 256 levels, which does not depend on the order of the rows."""
    rows = np.ascontiguousarray(x.reshape(len(x), -1), np.uint8)
    total = sum(int.from_bytes(hashlib.blake2b(row, digest_size=8).digest()) for row in rows)
    return f"{total % 2**64:016x}"


def of(data: str | None, unit: str) -> dict[str, Figure]:
    """{model: figure} of all published figures of a set, by its name that `known` returns."""
    return {
        name: Figure(values[table.sets.index(data)], table.source)
        for table in TABLES
        if table.unit == unit and data in table.sets
        for name, values in table.figures.items()
    }


def find(data: str | None, unit: str, model: str) -> Figure | None:
    """The published figure of a model, whose name may differ in upper and lower case."""
    return {name.lower(): figure for name, figure in of(data, unit).items()}.get(model.lower())
