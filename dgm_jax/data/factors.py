"""Sets of images whose factors are known: x_n is drawn from v_n, and from nothing else.

| name            | rows  | a row  | factors and their states                             |
|-----------------|-------|--------|------------------------------------------------------|
| shapes          | 960   | 16, 16 | shape 3, size 5, x 8, y 8: all combinations          |
| dsprites        | 46080 | 64, 64 | shape 3, scale 6, orientation 10, x 16, y 16: all    |
| dsprites_random | 18754 | 64, 64 | shape 3, scale 6, orientation 39, x 32, y 32: random |

All are bits. `shapes` is rendered here and needs no file. `dsprites` has every fourth orientation
and every second x and y of the published grid, `dsprites_random` images between these. There
orientations 0 and 39 are 0 and 2π, one and the same image: no code of an image tells them apart,
and so both are state 0 here, one of 39; and one row in 160 is an image of the grid. The grid has
only the first of both.

In the grids no two images are the same, so that a uniform distribution of rows has the entropy
log n, and no model can have E log p(x) above -log n: -6.87 nats of `shapes`, -10.74 of `dsprites`.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import checks
from . import readers

SIDE = 16  # pixels of a picture of `shapes`
WIDTHS = (5, 6, 7, 8, 9)  # pixels of a shape
PLACES = 8  # of its middle, in x and in y
SHAPES = ("square", "disc", "triangle")
NAMES = ("shape", "scale", "orientation", "x", "y")  # of dSprites
STEPS = (1, 1, 4, 2, 2)  # of its grid, in each factor


class Factored(NamedTuple):
    """Images and their factors. A grid has an axis for each: x.reshape(*sizes, height, width)."""

    name: str
    x: np.ndarray  # int32 bits [n, height, width]
    factors: np.ndarray  # int32 states 0..sizes[j] - 1, [n, k]
    names: tuple[str, ...]  # of the factors
    sizes: tuple[int, ...]  # how many states each has
    description: str


def load_factored(name: str, data_dir: str | os.PathLike | None = None) -> Factored:
    """The set called `name`, one of `FACTORED`; dSprites is read as `data.load` reads it.

    Raises ValueError for an unknown name or a damaged file, FileNotFoundError for a missing one.
    """
    checks.choice(name, FACTORED, "name")
    if data_dir is not None:
        data_dir = checks.path(data_dir, "data_dir")
    return FACTORED[name](data_dir)


def shapes(data_dir: str | os.PathLike | None = None) -> Factored:
    """Every square, disc and triangle of 5 to 9 pixels in every of 8×8 places, all different.

    The shape fills a box, whose middle pixel (of two the right and lower one) is in column 4 + x
    and row 4 + y. data_dir is not used.
    """
    sizes = (len(SHAPES), len(WIDTHS), PLACES, PLACES)
    factors = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), -1).astype(np.int32)
    x = np.zeros((len(factors), SIDE, SIDE), np.int32)
    for image, (shape, size, column, row) in zip(x, factors):
        width = WIDTHS[size]
        left, top = (SIDE // 4 + place - width // 2 for place in (column, row))
        image[top : top + width, left : left + width] = _box(SHAPES[shape], width)
    described = "Squares, discs and triangles of five sizes in 64 places, rendered by this program."
    return Factored("shapes", x, factors, ("shape", "size", "x", "y"), sizes, described)


def dsprites(data_dir: str | os.PathLike | None = None) -> Factored:
    """All combinations of 3 shapes, 6 scales, 10 orientations and 16×16 places of dSprites."""
    data = readers.load("dsprites", data_dir)
    factors = data.labels["train"] // np.array(STEPS, np.int32)
    sizes = tuple(full // step for full, step in zip(readers.FACTORS, STEPS))
    described = "The grid of dSprites with every 4th orientation and every 2nd place."
    return Factored("dsprites", data.train, factors, NAMES, sizes, described)


def dsprites_random(data_dir: str | os.PathLike | None = None) -> Factored:
    """Images of dSprites at random that are not in its grid; orientation 39 is told as 0."""
    data = readers.load("dsprites", data_dir)
    x, factors = (
        np.concatenate([parts["valid"], parts["test"]]) for parts in (data._asdict(), data.labels)
    )
    turn, sizes = NAMES.index("orientation"), list(readers.FACTORS)
    sizes[turn] -= 1
    factors = factors.copy()
    factors[:, turn] %= sizes[turn]
    described = "Random images of dSprites; its orientations 0 and 2π are one state."
    return Factored("dsprites_random", x, factors, NAMES, tuple(sizes), described)


FACTORED: dict[str, Callable[..., Factored]] = {
    "shapes": shapes,
    "dsprites": dsprites,
    "dsprites_random": dsprites_random,
}


def _box(shape, width):
    """The shape in [-1, 1]², as bits [width, width] at the middles of pixels."""
    places = (2 * np.arange(width) + 1) / width - 1
    y, x = np.meshgrid(places, places, indexing="ij")
    inside = {
        "square": np.ones_like(x, bool),
        "disc": x**2 + y**2 <= 1,
        "triangle": abs(x) <= (1 + y) / 2,
    }
    return inside[shape]
