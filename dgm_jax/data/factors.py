"""Images with known factors of variation: an image x_n is a function of its factors v_n.

| name            | rows  | a row  | factors and their states                             |
|-----------------|-------|--------|------------------------------------------------------|
| shapes          | 960   | 16, 16 | shape 3, size 5, x 8, y 8: all combinations          |
| dsprites        | 46080 | 64, 64 | shape 3, scale 6, orientation 10, x 16, y 16: all    |
| dsprites_random | 18754 | 64, 64 | shape 3, scale 6, orientation 39, x 32, y 32: random |

All are bits. `shapes` is rendered here and needs no file. `dsprites` is a grid of every fourth
orientation and every second x and y of the published images; `dsprites_random` holds random
published images that are not in that grid. The published orientations 0 and 39 are the same
angle (0 and 2π), so that an image cannot tell them apart: here both are state 0 of 39 states. For
this reason one row in 160 of `dsprites_random` is an image of the grid.

The images of a grid are all different. A uniform distribution over n rows has the entropy log n, so
no model has E log p(x) above -log n: -6.87 nats for `shapes`, -10.74 for `dsprites`.
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
    """Images x_n with known factors of variation v_n, as `load_factored` returns them.

    name, description: of the data set
    x: int32 bits [n, height, width]
    factors: int32 states v_n, [n, k], column j in 0..sizes[j] - 1
    names: the name of each factor, such as "shape"
    sizes: how many states each factor has

    If the rows are a grid, all combinations of the factors once, x.reshape(*sizes, height, width)
    has an axis for each factor.
    """

    name: str
    x: np.ndarray  # int32 bits [n, height, width]
    factors: np.ndarray  # int32 states 0..sizes[j] - 1, [n, k]
    names: tuple[str, ...]  # of the factors
    sizes: tuple[int, ...]  # how many states each has
    description: str

    def __repr__(self):
        states = " × ".join(f"{size} {name}" for name, size in zip(self.names, self.sizes))
        grid = f"{self.x.dtype} {self.x.shape}, of {states}"
        return f"Factored {self.name}: {grid}\n  {self.description}"


def load_factored(name: str, data_dir: str | os.PathLike | None = None) -> Factored:
    """Images with their factors of variation: `Factored`, by the name of the data set.

    name: "shapes", "dsprites" or "dsprites_random" (`FACTORED`; the table is in `data.factors`)
    data_dir: the data folder, by default the environment variable DGM_DATA; "shapes" needs none

    Returns a `Factored`: images `x`, int32 bits [n, height, width]; `factors`, their int32 states
    [n, k]; `names` and `sizes`, the name and the number of states of each factor; `name` and
    `description` of the set. Raises ValueError for an unknown name or a damaged file,
    FileNotFoundError for a missing one.
    """
    checks.choice(name, FACTORED, "name")
    if data_dir is not None:
        data_dir = checks.path(data_dir, "data_dir")
    return FACTORED[name](data_dir)


def shapes(data_dir: str | os.PathLike | None = None) -> Factored:
    """All squares, discs and triangles of 5 to 9 pixels at 8×8 positions, all different.

    The middle pixel of the bounding box (of two, the right and lower one) is in column 4 + x and
    row 4 + y. data_dir is not used.
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
    """All combinations of 3 shapes, 6 scales, 10 orientations and 16×16 positions of dSprites."""
    data = readers.load("dsprites", data_dir)
    assert data.labels is not None
    factors = data.labels["train"] // np.array(STEPS, np.int32)
    sizes = tuple(full // step for full, step in zip(readers.FACTORS, STEPS))
    described = "The grid of dSprites with every 4th orientation and every 2nd place."
    return Factored("dsprites", data.train, factors, NAMES, sizes, described)


def dsprites_random(data_dir: str | os.PathLike | None = None) -> Factored:
    """Random images of dSprites that are not in its grid; orientation 39 has the label 0."""
    data = readers.load("dsprites", data_dir)
    assert data.labels is not None
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
