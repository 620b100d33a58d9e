"""Data sets in the form that experiments learn from: rows by split, with classes or without."""

import math
from typing import NamedTuple

import numpy as np

from dgm_jax import checks
from dgm_jax import data as datasets

SPLITS = ("train", "valid", "test")


class Images(NamedTuple):
    rows: dict  # {split: (x [n, H, W, C],)}, or (x, classes one-hot [n, num_classes])
    shape: tuple[int, int, int]
    num_levels: int
    num_classes: int  # 0 where the classes are not given to the model
    labels: dict | None  # {split: integers [n]}, None where there are no classes

    @property
    def dim(self) -> int:
        return math.prod(self.shape)

    @property
    def vectors(self) -> dict:
        """{split: pixels [n, dim]}."""
        return {split: x.reshape(-1, self.dim) for split, (x, *_) in self.rows.items()}


def images(config) -> Images:
    """The set of config.data, which must have grey levels, with classes if class_conditional."""
    data = datasets.load(config.data, config.data_dir)
    if data.num_levels is None or data.train.ndim not in (3, 4):
        raise checks.InputError(f"data={config.data!r} has no images with levels; try digits.")
    print(f"{data.name}: {data.description}")
    pixels = {split: getattr(data, split) for split in SPLITS}
    pixels = {split: x if x.ndim == 4 else x[..., None] for split, x in pixels.items()}
    rows, num_classes = {split: (x,) for split, x in pixels.items()}, 0
    if config.class_conditional:
        if data.labels is None:
            raise checks.InputError(
                f"data={config.data!r} has no classes; leave class_conditional out."
            )
        num_classes = int(data.labels["train"].max()) + 1
        rows = {s: (x, one_hot(data.labels[s], num_classes)) for s, x in pixels.items()}
    return Images(rows, pixels["train"].shape[1:], data.num_levels, num_classes, data.labels)


def vectors(data) -> dict:
    """{split: rows [n, d]} of a set of vectors, or of images as vectors."""
    if data.train.ndim < 2:
        raise checks.InputError(f"data={data.name!r} is one long sequence; vectors are needed.")
    dim = math.prod(data.train.shape[1:])
    return {split: getattr(data, split).reshape(-1, dim) for split in SPLITS}


def one_hot(labels, num_classes: int) -> np.ndarray:
    """Classes as conditions, [..., num_classes]."""
    return np.eye(num_classes, dtype=np.float32)[labels]
