"""The data of experiments: a published or built-in set by its name, or a file of your own.

`load` reads both and prints what it has read. The other functions return the rows in the form that
an experiment needs (vectors, bits, images, sound, text), and refuse data of another form.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from dgm_jax import checks, plots
from dgm_jax import data as datasets
from experiments import options, published

if TYPE_CHECKING:
    import distrax
    from matplotlib.figure import Figure

SPLITS = ("train", "valid", "test")
MOST_LEVELS = 1024  # more are refused: histograms and likelihoods of levels would be too large
TEXTS = ("python_topics", "tiny_shakespeare")
CLASSES = {
    "digits": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "fashion_mnist": (
        *("t-shirt", "trousers", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "boot"),
    ),
    "cifar10": (
        *("plane", "car", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
}
CLASSES |= {name: CLASSES["digits"] for name in ("mnist", "digits_bits")}


# ----------------------------------------------------------------------------------- what is read
def load(config: Any) -> datasets.Dataset:
    """The data of config.data: a set by its name, else a path, else a name in config.data_dir.

    The sets in the folder binary_density of config.data_dir are found by their names too.
    """
    path = _own_path(config)
    if path is None:
        checks.choice(config.data, datasets.LOADERS, "data (or a file or folder of your own)")
        data = datasets.load(config.data, config.data_dir)
    else:
        data = datasets.load_file(path, seed=config.split_seed)
    if len(data.test) < 2:
        raise checks.InputError(
            f"data={config.data!r} has {len(data.test)} row for testing; a standard error needs 2."
        )
    options.check_devices(config, len(data.train))
    _tell(data)
    return data


def _own_path(config) -> Path | None:
    if config.data in datasets.LOADERS:
        return None
    from dgm_jax.data import own  # not above: it loads distrax, for which --help need not wait

    folder = config.data_dir or os.environ.get("DGM_DATA")
    below = [Path(folder), Path(folder, "binary_density")] if folder else []
    for path in (Path(config.data), *(place / config.data for place in below)):
        if path.is_dir() or own.files(path):
            return path
    if Path(config.data).suffix or os.sep in config.data:
        raise checks.InputError(f"data={config.data!r}: there is no such file or folder.")
    return None


def _tell(data):
    sizes = "/".join(str(len(getattr(data, split))) for split in SPLITS)
    row = "x".join(map(str, data.train.shape[1:]))
    told = f"{sizes} rows of {row or 'one number'}"
    if data.num_levels is not None:
        told += f", {data.num_levels} levels"
    if data.labels is not None and data.labels["train"].ndim == 1:
        told += f", {num_classes(data)} classes"
    print(f"{data.name}: {data.description} {told}.")


def num_classes(data: Any) -> int:
    """1 + the largest class of any split."""
    return 1 + max(int(y.max(initial=0)) for y in data.labels.values())


def _refused(config, wanted, others):
    return checks.InputError(f"data={config.data!r} has no {wanted}; try {others}.")


# ---------------------------------------------------------------------------------- rows of numbers
def vectors(data: Any) -> dict:
    """{split: rows [n, d]} of a set of vectors, or of images as vectors."""
    if data.train.ndim < 2:
        raise checks.InputError(f"data={data.name!r} is one long sequence; vectors are needed.")
    few_levels(data)
    dim = math.prod(data.train.shape[1:])
    return {split: getattr(data, split).reshape(-1, dim) for split in SPLITS}


def scaling(data: Any, *, alpha: float, seed: int) -> tuple[dict, dict, Callable]:
    """Rows by split, the arguments of `standard` for them, and the function that adds noise.

    noise(key, x) adds uniform noise to levels, and returns real numbers as they are. alpha: the
    margin of the logit map of levels. seed: of the noise in the training rows whose mean and
    deviation are found.
    """
    rows = vectors(data)
    y, noise = rows["train"], lambda key, x: x
    if data.num_levels is not None:
        logit, noise = datasets.logit_map(data.num_levels, alpha=alpha), datasets.dequantize
        y = logit.forward(noise(jax.random.key(seed), y))
    found = {"mean": np.asarray(y.mean(0)), "std": np.asarray(y.std(0))}
    return rows, {"num_levels": data.num_levels} | found, noise


def standard(num_levels: int | None, mean: Any, std: Any, *, alpha: float) -> distrax.Bijector:
    """The bijector from (noisy) rows to mean 0 and deviation 1; levels first go through a logit."""
    import distrax

    whiten = datasets.standardize(mean, std)
    if num_levels is None:
        return whiten
    return distrax.Chain([whiten, datasets.logit_map(num_levels, alpha=alpha)])


def few_levels(data: datasets.Dataset) -> None:
    """`InputError` for whole numbers that are too many to be treated as levels."""
    if data.num_levels is not None and data.num_levels > MOST_LEVELS:
        raise checks.InputError(
            f"data={data.name!r} has whole numbers up to {data.num_levels - 1}, above the "
            f"{MOST_LEVELS} levels allowed here; divide them, or take experiments.flows.tabular, "
            "which learns them as real numbers."
        )


def levels(config: Any) -> tuple[datasets.Dataset, dict]:
    """A set of levels or bits, and its rows by split."""
    data = load(config)
    if data.num_levels is None or data.train.ndim < 2:
        raise _refused(config, "rows of levels", "digits")
    return data, vectors(data)


def num_levels(data: datasets.Dataset) -> int:
    """K of a set whose entries are levels 0..K-1."""
    if data.num_levels is None:
        raise checks.InputError(f"data={data.name!r} has real numbers; levels are needed.")
    return data.num_levels


def bits(config: Any) -> tuple[datasets.Dataset, dict]:
    """A set of bits, and its rows by split."""
    data = load(config)
    if data.num_levels != 2 or data.train.ndim < 2:
        raise _refused(config, "bits", "digits_bits, binarized_mnist, mushrooms or adult")
    return data, vectors(data)


def table(config: Any) -> tuple[datasets.Dataset, dict]:
    """A set of rows of real numbers, and its rows by split, float32 [n, d].

    Uniform noise in [0, 1) is added to whole numbers, since a density on real numbers could grow
    without a bound at them.
    """
    data = load(config)
    if data.train.ndim != 2:
        raise _refused(config, "rows of numbers", "photo_patches, breast_cancer or wine")
    rows = {split: getattr(data, split) for split in SPLITS}
    if data.num_levels is not None:
        print("whole numbers: noise, uniform in [0, 1), is added, and nats are those of the sum")
        rng = np.random.default_rng(config.seed)
        rows = {s: (x + rng.random(x.shape)).astype(np.float32) for s, x in rows.items()}
    _warn_of_spikes(rows["train"])
    return data, rows


def _warn_of_spikes(x):
    """Warns of a value that many rows share: the likelihood has no upper bound there."""
    often = [i for i, column in enumerate(x.T) if _most_frequent(column) > max(len(x) / 10, 2)]
    if often:
        told = ", ".join(map(str, often[:10])) + (", ..." if len(often) > 10 else "")
        print(
            f"note: in column {told} one value is that of more than a tenth of the rows. A density "
            "of such data can grow without a bound: add noise, or drop the column."
        )


def _most_frequent(column):
    return np.unique(column, return_counts=True)[1].max()


# ----------------------------------------------------------------------------------------- pictures
class Images(NamedTuple):
    """Pictures of levels, by split."""

    rows: dict  # {split: (x [n, H, W, C],)}, or (x, classes one-hot [n, num_classes])
    shape: tuple[int, int, int]
    num_levels: int
    num_classes: int  # 0 where the classes are not given to the model
    labels: dict | None  # {split: integers [n]}, None where there are no classes
    published: str | None  # the set that it is in experiments.published

    @property
    def dim(self) -> int:
        """H W C, the number of entries of a picture."""
        return math.prod(self.shape)

    @property
    def vectors(self) -> dict:
        """{split: pixels [n, dim]}."""
        return {split: x.reshape(-1, self.dim) for split, (x, *_) in self.rows.items()}


def images(config: Any) -> Images:
    """Pictures with grey levels, and their classes if config.class_conditional."""
    data = load(config)
    if data.num_levels is None or data.train.ndim not in (3, 4):
        raise _refused(config, "images of levels, [n, height, width] or with 3 colours", "digits")
    few_levels(data)
    pixels = {split: getattr(data, split) for split in SPLITS}
    pixels = {split: x if x.ndim == 4 else x[..., None] for split, x in pixels.items()}
    rows, num = {split: (x,) for split, x in pixels.items()}, 0
    if config.class_conditional:
        num, conditions = classes(data)
        rows = {s: (x, conditions[s]) for s, x in pixels.items()}
    return Images(
        rows,
        pixels["train"].shape[1:],
        data.num_levels,
        num,
        data.labels,
        published.known(data),
    )


def class_names(data: str, num_classes: int) -> tuple[str, ...]:
    """The names of the classes of a set; numbers of one width if there are no words for them."""
    known = CLASSES.get(data, ())
    if len(known) == num_classes:
        return known
    return tuple(f"{i:0{len(str(num_classes - 1))}}" for i in range(num_classes))


def grid(data: datasets.Dataset, groups: dict, columns: int) -> Figure:
    """A figure of pictures: as many lines of pictures for each group, {name: rows [n, d]}.

    columns: pictures in a line; if the data are vectors, each is drawn as a strip on a line of its
    own. All groups are cut to the length of the shortest, and to full lines. The colour scale
    covers all levels of the data, or the range of the first group.
    """
    shape = data.train.shape[1:]
    pictures = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    num = min(map(len, groups.values()))
    columns = min(columns, num) if pictures else 1
    rows = np.concatenate([x[: num // columns * columns] for x in groups.values()])
    images = rows.reshape(-1, *(shape if pictures else (1, math.prod(shape))))
    first = next(iter(groups.values()))
    low, high = (0, data.num_levels - 1) if data.num_levels else (first.min(), first.max())
    return plots.sample_grid(
        images[..., 0] if images.shape[3:] == (1,) else images,
        columns=columns,
        row_names=list(groups),
        vmin=low,
        vmax=high,
    )


# ------------------------------------------------------------------------------------------ classes
def classes(data: datasets.Dataset) -> tuple[int, dict]:
    """The number of classes, and {split: one-hot classes [n, num_classes]}."""
    if data.labels is None or data.labels["train"].ndim != 1:
        raise checks.InputError(f"data={data.name!r} has no classes; leave class_conditional out.")
    num = num_classes(data)
    if num > MOST_LEVELS:
        raise checks.InputError(
            f"data={data.name!r} has labels up to {num - 1}, above the {MOST_LEVELS} classes "
            "allowed; number them 0, 1, ..."
        )
    return num, {split: one_hot(y, num) for split, y in data.labels.items()}


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Classes as one-hot vectors, float32 [..., num_classes]."""
    return np.eye(num_classes, dtype=np.float32)[labels]


# ----------------------------------------------------------------------------------- sound and text
def sound(config: Any) -> tuple[datasets.Dataset, dict]:
    """Clips by split, [n, length] in [-1, 1]; whole numbers of 16 bits are divided by 32768."""
    data = load(config)
    parts = {split: np.asarray(getattr(data, split), np.float32) for split in SPLITS}
    loudest = max(np.abs(x).max() for x in parts.values())
    whole = all((x == np.floor(x)).all() for x in parts.values())
    if data.train.ndim != 2 or data.train.shape[1] < 2 or (loudest > 1 and not whole):
        raise _refused(config, "clips [n, samples] in [-1, 1] or of 16 bits", "plucked_strings")
    if data.num_levels is not None or loudest > 32768:
        lowest = min(float(x.min()) for x in parts.values())
        raise checks.InputError(
            f"data={config.data!r} has samples in {lowest:g}..{loudest:g}; they must be in "
            "[-1, 1], or whole numbers of 16 bits with 0 for silence."
        )
    if whole:
        parts = {split: x / 32768 for split, x in parts.items()}
    return data, parts


def text(config: Any) -> tuple[dict, str]:
    """{split: characters as integers [n]}, and the vocabulary: integer i is its character i."""
    from dgm_jax.data import own

    if config.data in TEXTS:
        data = load(config)
        vocabulary = datasets.readers.vocabulary(config.data)
        return {split: getattr(data, split) for split in SPLITS}, vocabulary
    path = _own_path(config)
    if path is None:
        known = ", ".join(TEXTS)
        raise checks.InputError(f"data must be {known}, or a file of text; got {config.data!r}.")
    parts, vocabulary, how = own.read_text(path)
    sizes = "/".join(str(len(ids)) for ids in parts)
    print(f"{path}: {sizes} characters, {how}; {len(vocabulary)} different ones.")
    return dict(zip(SPLITS, parts, strict=True)), vocabulary
