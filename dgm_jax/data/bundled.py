"""Data sets that need no download: from scikit-learn, from Python itself, or rendered here.

Each function returns (parts, labels, num_levels, description). parts and labels hold one array each
for train, valid and test; labels may be None.
"""

import sys
from collections.abc import Callable

import numpy as np

from . import tables

Bundled = tuple[list[np.ndarray], list[np.ndarray] | None, int | None, str]

RATE, CLIP = 8000, 4096  # samples a second of a plucked string, and of each of them
NOTES = (98.0, 110.0, 130.8, 146.8, 164.8, 196.0, 220.0, 261.6, 293.7, 329.6)  # Hz
TILE = 64  # pixels a side of the parts of a photograph


def digits() -> Bundled:
    """Images [n, 8, 8] of levels 0..16; the labels are the digits.

    1297 for training, 200 for validation, 300 for testing, by RandomState(0).permutation.
    """
    from sklearn.datasets import load_digits  # slow to import, and only needed here

    bundle = load_digits()
    order = np.random.RandomState(0).permutation(len(bundle.images))
    x, y = (np.split(a[order], [1297, 1497]) for a in (bundle.images, bundle.target))
    return x, y, 17, "Handwritten digits of scikit-learn, 0 = paper, 16 = ink."


def digits_bits() -> Bundled:
    """The images of `digits` as bits [n, 8, 8]: 1 where a level is above 8."""
    parts, labels, *_ = digits()
    described = "Handwritten digits of scikit-learn in one bit, 1 = more than half of the ink."
    return [(x > 8).astype(np.uint8) for x in parts], labels, 2, described


def photo_patches() -> Bundled:
    """Patches of two photographs, [n, 63], by the recipe of BSDS300.

    The photographs are cut into tiles of 64×64 pixels: one sixth of the tiles is for validation,
    one sixth for testing. Training tiles give patches at every fourth pixel, the others disjoint
    patches.
    """
    from sklearn.datasets import load_sample_images

    grey = [np.round(np.mean(image, -1)) for image in load_sample_images().images]
    tiles = np.concatenate([_patches(image, TILE, TILE) for image in grey])
    tiles = tiles[np.random.default_rng(0).permutation(len(tiles))]
    ends = [len(tiles) - 2 * (len(tiles) // 6), len(tiles) - len(tiles) // 6]
    splits = zip(np.split(tiles, ends), (4, 8, 8), strict=True)
    parts = [np.concatenate([_patches(tile, 8, step) for tile in own]) for own, step in splits]
    parts = [tables.patches(x, seed) for seed, x in enumerate(parts)]
    described = "8x8 grey patches of the two photographs in scikit-learn, in nats over 63 numbers."
    return parts, None, None, described


def _patches(image, size, step) -> np.ndarray:
    """[n, size, size], a patch at every step pixels."""
    every = np.lib.stride_tricks.sliding_window_view(image, (size, size))[::step, ::step]
    return every.reshape(-1, size, size)


def breast_cancer() -> Bundled:
    """Measurements [n, 30], unscaled; class 0 is malignant, 1 benign. 457, 56 and 56 rows."""
    return _table("load_breast_cancer", "Cell nuclei of 569 breast tumours (Wisconsin), 30 numbers")


def wine() -> Bundled:
    """Measurements [n, 13], unscaled; the classes are three growers. 144, 17 and 17 rows."""
    return _table("load_wine", "Chemistry of 178 Italian wines, 13 numbers")


def _table(loader, described) -> Bundled:
    """A table of scikit-learn, split 80/10/10 after RandomState(0).permutation."""
    from sklearn import datasets

    x, y = getattr(datasets, loader)(return_X_y=True)
    order, tenth = np.random.RandomState(0).permutation(len(x)), len(x) // 10
    ends = [len(x) - 2 * tenth, len(x) - tenth]
    parts, labels = (np.split(a[order], ends) for a in (x.astype(np.float32), y))
    return parts, labels, None, f"{described}; of scikit-learn."


def plucked_strings() -> Bundled:
    """x_t = (1 - loss) (x_{t-p} + x_{t-p-1}) / 2 after a burst of noise, p + 1/2 = rate / pitch.

    Clips [n, 4096] of ten notes, which are the classes; loudness, loss, tuning and start vary.
    400, 50 and 50 clips by default_rng(0).
    Karplus and Strong (1983), "Digital synthesis of plucked-string and drum timbres".
    """
    rng, num = np.random.default_rng(0), 500
    notes = rng.permutation(np.arange(num) % len(NOTES))
    tuned = np.take(NOTES, notes) * np.exp(rng.normal(0, 0.01, num))
    period = np.round(RATE / tuned - 0.5).astype(int)
    keep, loud = (1 - rng.uniform(0, 0.01, num)) / 2, rng.uniform(0.3, 0.9, num)
    start, strings, lead = rng.integers(0, 400, num), np.arange(num), period.max() + 1
    inside = np.arange(lead) < period[:, None]
    burst = np.where(inside, rng.uniform(-1, 1, inside.shape), 0.0)
    burst = loud[:, None] * np.where(
        inside, burst - burst.sum(1, keepdims=True) / period[:, None], 0
    )
    x = np.zeros((lead + CLIP, num))  # silence before the first sample
    for t in range(lead, lead + CLIP):
        swinging = keep * (x[t - period, strings] + x[t - period - 1, strings])
        since = t - lead - start
        plucked = (since >= 0) & (since < period)
        x[t] = np.where(plucked, burst[strings, np.clip(since, 0, lead - 1)], swinging)
    clips, ends = x[lead:].T.astype(np.float32), [400, 450]
    described = "Plucked strings of ten notes at 8 kHz, rendered by this program: no recordings."
    return np.split(clips, ends), np.split(notes, ends), None, described


def python_topics() -> Bundled:
    """Characters of Python's language reference, in order, as ids of `python_vocabulary`."""
    text, vocabulary = _python_text(), python_vocabulary()
    ids = np.searchsorted(np.array(list(vocabulary)), list(text))
    version = ".".join(map(str, sys.version_info[:2]))
    described = f"The language reference inside Python {version}, what help() shows of it."
    return in_order(ids), None, len(vocabulary), described


def python_vocabulary() -> str:
    """All characters of `python_topics`, sorted."""
    return "".join(sorted(set(_python_text())))


def _python_text():
    from pydoc_data.topics import topics

    return "\n\n".join(topics.values())


def in_order(ids: np.ndarray) -> list[np.ndarray]:
    """The first 90 % of a sequence for training, then 5 % for validation and 5 % for testing."""
    return np.split(ids, [int(0.9 * len(ids)), int(0.95 * len(ids))])


SETS: dict[str, Callable[[], Bundled]] = {
    "digits": digits,
    "digits_bits": digits_bits,
    "photo_patches": photo_patches,
    "breast_cancer": breast_cancer,
    "wine": wine,
    "plucked_strings": plucked_strings,
    "python_topics": python_topics,
}
