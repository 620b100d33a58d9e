"""Real data sets as numpy arrays, with fixed splits: `load("mnist").train` is [50000, 28, 28].

The first seven need no file (`dgm_jax.data.bundled`). The others are read from a data folder: the
argument `data_dir`, else the environment variable DGM_DATA, in a sub-folder of its own name.
Nothing is downloaded; a missing set says what it looked for and where it is published. Integer data
are int32, four times the size of the file (uint8 arithmetic wraps: 0 - 1 = 255); continuous data
are float32. Pictures are [n, height, width] or, in colour, [n, height, width, 3]; row 0 is the top.

| name                | train/valid/test      | a row       | levels | split (permutations: NumPy) |
|---------------------|-----------------------|-------------|--------|-----------------------------|
| digits              | 1297/200/300          | 8, 8        | 17     | RandomState(0).permutation  |
| digits_bits         | 1297/200/300          | 8, 8        | 2      | the same, 1 above 8         |
| photo_patches       | 18000/1280/1280       | 63          | none   | default_rng(0), tiles (9)   |
| breast_cancer       | 457/56/56             | 30          | none   | RandomState(0).permutation  |
| wine                | 144/17/17             | 13          | none   | RandomState(0).permutation  |
| plucked_strings     | 400/50/50             | 4096        | none   | default_rng(0) (10)         |
| python_topics       | by version            | (scalar)    | ~100   | in order, 90/5/5 % (11)     |
| mnist               | 50000/10000/10000     | 28, 28      | 256    | valid: last 1/6 of train    |
| fashion_mnist       | 50000/10000/10000     | 28, 28      | 256    | valid: last 1/6 of train    |
| binarized_mnist     | 50000/10000/10000     | 28, 28      | 2      | published                   |
| cifar10             | 45000/5000/10000      | 32, 32, 3   | 256    | last 1/10 of train (1)      |
| omniglot            | 23000/1345/8070       | 28, 28      | 2      | default_rng(0), sizes (2)   |
| caltech_silhouettes | 4100/2264/2307        | 28, 28      | 2      | in the file (3)             |
| frey_faces          | 1565/200/200          | 28, 20      | 256    | default_rng(0).permutation  |
| olivetti_faces      | 300/50/50             | 64, 64      | 256    | persons 0-29, 30-34, 35-39  |
| dsprites            | 46080/3750/15004      | 64, 64      | 2      | train: the factor grid (4)  |
| bsds300_patches     | 200000/10000/50000    | 63          | none   | in the file (5)             |
| power               | 1659917/184435/204928 | 6           | none   | RandomState(42).shuffle (6) |
| gas                 | 852174/94685/105206   | 8           | none   | last tenths, in order (6)   |
| hepmass             | 315123/35013/174987   | 21          | none   | published, last tenth (6)   |
| miniboone           | 29556/3284/3648       | 43          | none   | last tenths, in order (6)   |
| miniboone_head      | 1234/137/152          | 43          | none   | last tenths, in order (7)   |
| spoken_digits       | 1200/300/300          | 4096        | none   | takes 5-24, 25-29, 0-4 (8)  |
| tiny_shakespeare    | 1003854/55770/55770   | (scalar)    | 65     | in order, 90/5/5 %          |
| nltcs               | 16181/2157/3236       | 16          | 2      | published, as all below     |
| baudio, bnetflix    | 15000/2000/3000       | 100         | 2      |                             |
| jester              | 9000/1000/4116        | 100         | 2      |                             |
| accidents           | 12758/1700/2551       | 111         | 2      |                             |
| mushrooms           | 2000/500/5624         | 112         | 2      |                             |
| adult               | 5000/1414/26147       | 123         | 2      |                             |
| pumsb_star          | 12262/1635/2452       | 163         | 2      |                             |
| bbc                 | 1670/225/330          | 1058        | 2      |                             |
| voting              | 1214/200/350          | 1359        | 2      |                             |

(1) With the reduced file, 9000/1000/10000: say "10k training images" beside any number.
(2) The sizes of Burda et al. (2016), on one-bit drawings: not comparable with their grey ones.
(3) The sizes of Marlin's split, class by class; its members were drawn anew.
(4) Held out: a random sample of all 737280 images without those of the grid, by
    default_rng(0).permutation. Labels [n, 5]: shape, scale, orientation, x, y of the full
    3 x 6 x 40 x 32 x 32, of which the grid has every 4th orientation, every 2nd x and y.
(5) Each part has its own photographs. Uniform noise from default_rng(0), (1), (2) for train,
    valid, test; divided by 256; less the mean of the patch; without the last pixel (Zoran & Weiss
    2011; Uria et al. 2013).
(6) Columns, noise and scale as in `dgm_jax.data.tables` (Papamakarios et al. 2017).
(7) The first 1523 rows of miniboone, for tests: no figure of them is one of MINIBOONE.
(8) The first 4096 samples (0.512 s at 8 kHz) in [-1, 1); shorter clips end in exact zeros.
(9) Both photographs of scikit-learn, in tiles of 64 x 64 pixels, by the recipe of (5).
(10) Sound that is rendered by `dgm_jax.data.bundled`, not recorded.
(11) The language reference that every Python carries; 418613/23256/23257 in Python 3.11.

Some sets are sorted by class or in film order: take a part of one with `subset`, never `x[:num]`.
"""

import math
import os
import string
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import checks
from . import bundled, formats, own, tables

SPLITS = ("train", "valid", "test")
CLIP = 4096  # samples of a spoken digit: three clips in four are shorter
SHAKESPEARE = "\n !$&',-.3:;?" + string.ascii_uppercase + string.ascii_lowercase
"""The vocabulary of tiny_shakespeare: id i stands for SHAKESPEARE[i] (65 characters, sorted)."""

UCI = "data.tar.gz of Papamakarios et al. (2017), Zenodo 1161203"
BINARY_TABLES = (
    *("nltcs", "baudio", "jester", "bnetflix", "accidents", "mushrooms", "adult", "pumsb_star"),
    *("bbc", "voting"),
)
BITS = (16, 100, 100, 100, 111, 112, 123, 163, 1058, 1359)  # in a row of each

ROWS = {  # the shape of a row, as in the table above
    **dict.fromkeys(("digits", "digits_bits"), (8, 8)),
    "photo_patches": (63,),
    "breast_cancer": (30,),
    "wine": (13,),
    "plucked_strings": (bundled.CLIP,),
    "python_topics": (),
    **dict.fromkeys(("mnist", "fashion_mnist", "binarized_mnist"), (28, 28)),
    **dict.fromkeys(("omniglot", "caltech_silhouettes"), (28, 28)),
    "cifar10": (32, 32, 3),
    "frey_faces": (28, 20),
    "olivetti_faces": (64, 64),
    "dsprites": (64, 64),
    "bsds300_patches": (63,),
    "power": (6,),
    "gas": (8,),
    "hepmass": (21,),
    "miniboone": (43,),
    "miniboone_head": (43,),
    "spoken_digits": (CLIP,),
    "tiny_shakespeare": (),
    **{name: (num,) for name, num in zip(BINARY_TABLES, BITS, strict=True)},
}
EXACT = 2**24  # up to here float32 holds each whole number
FACTORS = (3, 6, 40, 32, 32)  # of dsprites: shape, scale, orientation, x, y
CLASSES = {  # how many a label tells apart
    **dict.fromkeys(("digits", "digits_bits", "mnist", "fashion_mnist", "cifar10"), 10),
    **dict.fromkeys(("spoken_digits", "plucked_strings"), 10),
    "breast_cancer": 2,
    "wine": 3,
    "omniglot": 50,
    "caltech_silhouettes": 101,
    "olivetti_faces": 40,
    "dsprites": FACTORS,
}


class Dataset(NamedTuple):
    """A data set in three splits, as `load` and `load_file` return it.

    name, description: of the data set
    train, valid, test: arrays [n, ...]: int32 in 0..num_levels - 1, or float32 if num_levels is
        None
    labels: {"train", "valid", "test"} -> int32 [n], or [n, factors]; None without labels
    num_levels: the number of levels, such as 2 for bits and 256 for grey images; None for real
        numbers
    """

    name: str
    train: np.ndarray  # [n, ...]
    valid: np.ndarray
    test: np.ndarray
    labels: dict[str, np.ndarray] | None  # split -> int32 [n] or [n, factors]
    num_levels: int | None
    description: str

    def __repr__(self):
        kind = "numbers" if self.num_levels is None else f"levels 0..{self.num_levels - 1}"
        if self.labels is not None:
            last = np.max([y.max(0, initial=0) for y in self.labels.values()], 0)
            kind += f", labels 0..{last}" if last.ndim == 0 else f", {len(last)} labels a row"
        parts = zip(SPLITS, (self.train, self.valid, self.test))
        splits = (f"{split} {x.dtype} {x.shape}" for split, x in parts)
        return f"Dataset {self.name}: {kind}\n  {', '.join(splits)}\n  {self.description}"


def load(name: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """The data set called `name`, with its fixed split, as a `Dataset` of numpy arrays.

    name: such as "digits" or "mnist"; `data.LOADERS` lists all names, and `data.readers` describes
        them
    data_dir: the data folder, by default the environment variable DGM_DATA; the sets that come with
        Python and scikit-learn, such as "digits", need none. Nothing is downloaded

    Returns a `Dataset` with the arrays `train`, `valid` and `test` [n, ...], `labels` (a dict with
    an array for each split, or None), `num_levels` (None for real numbers), `name` and
    `description`. Raises ValueError for an unknown name or a damaged file; FileNotFoundError for a
    missing one, which says which files were looked for and where they are published.
    """
    checks.choice(name, LOADERS, "name")
    if data_dir is not None:
        data_dir = checks.path(data_dir, "data_dir")
    return LOADERS[name](name, data_dir or os.environ.get("DGM_DATA"))


def load_file(path: str | os.PathLike, *, seed: int = 0) -> Dataset:
    """A table or array of your own, one row per example, from a file or a folder, as a `Dataset`.

    path: .npy, .npz, .csv, .tsv, .txt, .data, .amat or idx, each also gzipped (.gz), or a folder of
        such files. Their names, or those of arrays in an .npz, say what they are, such as x_train
        and y_train: train, training; valid, validation, val, dev; test, testing; y, label, class or
        target, also in the plural, for labels
    seed: data without splits are shuffled by default_rng(seed) and split 80/10/10 %; without a
        validation split it is a tenth of train

    Returns a `Dataset` with the arrays `train`, `valid` and `test` [n, ...], `labels` (a dict with
    an array for each split, or None), `num_levels` (None for real numbers), `name` and
    `description`. Bits, of any dtype, get num_levels 2; other bytes 256; other non-negative
    integers the largest value + 1; all are int32. Data with a fraction or a negative number become
    float32. Refused with `InputError` are integers beyond 2^24, which float32 does not represent
    exactly; complex numbers; an array of one dimension, whose rows are unknown; labels that are not
    integers.
    """
    seed, path = checks.integer(seed, "seed"), checks.path(path, "path")
    return _own(path, *own.read(path, seed))


def vocabulary(name: str) -> str:
    """The characters of a text data set, as one string: id i stands for the i-th, counted from 0.

    name: "tiny_shakespeare" or "python_topics"; another one raises `InputError`
    """
    found = {"tiny_shakespeare": lambda: SHAKESPEARE, "python_topics": bundled.python_vocabulary}
    checks.choice(name, found, "name")
    return found[name]()


def subset(x: np.ndarray, num: int, seed: int = 0) -> np.ndarray:
    """x[π_1], ..., x[π_num]: rows of x drawn without replacement, by default_rng(seed).

    Some data sets are sorted by class, so that the first rows would not be a fair sample.

    x: [n, ...]; num: how many rows, at most n, else `InputError`; the result is [num, ...]
    seed: of the permutation π; equal seeds give equal rows
    """
    x = checks.on_host(x, "x")
    num, seed = checks.positive_int(num, "num"), checks.integer(seed, "seed")
    if not x.ndim:
        raise checks.InputError(f"x must have rows; got shape {x.shape}.")
    if num > len(x):
        raise checks.InputError(f"num must be at most the {len(x)} rows of x; got {num}.")
    return x[np.random.default_rng(seed).permutation(len(x))[:num]]


# --- building a Dataset -----------------------------------------------------------------------


def _dataset(name, parts, num_levels, description, labels=None) -> Dataset:
    """The dtypes and checks that every set shares; parts and labels in the order of SPLITS."""
    row = ROWS.get(name, parts[0].shape[1:])  # any of a table of one's own
    for split, x in zip(SPLITS, parts, strict=True):
        if x.dtype.kind not in "biuf" or x.ndim == 0:
            raise checks.InputError(
                f"{name} {split} is {x.dtype} of shape {x.shape}; it needs rows of numbers."
            )
        checks.finite_rows(x, f"{name} {split}")
        if x.shape[1:] != row:
            raise checks.InputError(
                f"{name}: a row of {split} is {x.shape[1:]}, and must be {row}."
            )
        if num_levels is not None and not _are_levels(x, num_levels):
            raise checks.InputError(
                f"{name} {split}: values must be whole numbers in 0..{num_levels - 1}; "
                f"got {x.min()}..{x.max()}."
            )
    if labels is not None:
        for split, x, y in zip(SPLITS, parts, labels, strict=True):
            if len(x) != len(y):
                raise checks.InputError(f"{name} {split}: {len(x)} rows, but {len(y)} labels.")
            _check_integers(y, CLASSES.get(name, EXACT), f"labels of {name} {split}")
        labels = {split: np.asarray(y, np.int32) for split, y in zip(SPLITS, labels, strict=True)}
    dtype = np.float32 if num_levels is None else np.int32
    train, valid, test = (np.asarray(x, dtype) for x in parts)
    return Dataset(name, train, valid, test, labels, num_levels, description)


def _check_integers(x, stop, what):
    """x [n], integers in 0..stop-1, or x [n, k] for k numbers `stop`."""
    if x.dtype.kind not in "iu" or x.shape[1:] != np.shape(stop):
        raise checks.InputError(
            f"{what} must be integers [{', '.join(map(str, ('n', *np.shape(stop))))}]; "
            f"got {x.dtype} of shape {x.shape}."
        )
    if x.size and not (x.min() >= 0 and (x.max(0) < stop).all()):
        most = np.max(stop) - 1
        raise checks.InputError(f"{what} must lie in 0..{most}; got {x.min()}..{x.max()}.")


def _are_levels(x, num_levels) -> bool:
    if x.dtype == np.uint8 and num_levels >= 256:
        return True
    whole = x.dtype.kind in "biu" or (x == np.floor(x)).all()
    return bool(whole and x.min() >= 0 and x.max() < num_levels)


def _own(path, parts, labels, how) -> Dataset:
    """A user's arrays, whose kind of number decides their levels."""
    for x in parts:
        checks.finite_rows(x, str(path))
    num_levels = None
    if all(_are_levels(x, EXACT) for x in parts):
        num_levels = max(2, *(int(x.max()) + 1 for x in parts))
        if num_levels > 2 and all(x.dtype == np.uint8 for x in parts):
            num_levels = 256
    else:
        parts = [_as_float32(x, path) for x in parts]
    return _dataset(str(path), parts, num_levels, f"Rows of {path.name}, {how}.", labels)


def _as_float32(x, path) -> np.ndarray:
    """x, if no column of whole numbers beyond 2^24 loses some: float32 would merge neighbours."""
    with np.errstate(over="ignore"):  # an overflow is infinite, which is told as such
        y = x.astype(np.float32)
    if max(-float(x.min()), float(x.max())) > EXACT:
        wide = x.astype(np.float64)  # exact up to 2^53; of floats beyond it all are whole
        lost = (y != wide).any(0) & (wide == np.floor(wide)).all(0) & (abs(wide).max(0) <= 2**53)
        if x.dtype.kind in "iu":
            lost |= abs(wide).max(0) > 2**53
        if lost.any():
            column = int(np.argmax(lost))
            raise checks.InputError(
                f"{path}: column {column} holds whole numbers beyond {EXACT}, of which float32 "
                "would merge neighbours; subtract a constant, take another unit or drop it."
            )
    return y


def find(name: str, folder: str | os.PathLike | None, candidates: list[str], source: str) -> Path:
    """The path of the first of some files that exists in the data folder.

    name: that of the data set, for the error; folder: the data folder, or None for none
    candidates: paths within the folder, in order of preference
    source: where the set is published

    If there is none, FileNotFoundError lists all candidates and the source.
    """
    for candidate in candidates:
        if folder and (Path(folder) / candidate).is_file():
            return Path(folder) / candidate
    where = f"in {Path(folder).absolute()}" if folder else "(no data folder is set)"
    raise FileNotFoundError(
        f"{name}: found none of {', '.join(candidates)} {where}. Point data_dir (--data-dir) or "
        f"the environment variable DGM_DATA at the folder that holds it. Published as {source}."
    )


# --- one function a set; `folder` is the data folder ------------------------------------------


def _bundled(name, folder) -> Dataset:
    parts, labels, num_levels, description = bundled.SETS[name]()
    return _dataset(name, parts, num_levels, description, labels)


def _idx(name, folder) -> Dataset:
    source = {
        "mnist": "the MNIST database of handwritten digits (four idx files)",
        "fashion_mnist": "Fashion-MNIST by Zalando Research (four idx files)",
    }[name]

    def read(file, row):
        candidates = [f"{name}/{file}.gz", f"{name}/{file}"]
        return formats.read_idx(find(name, folder, candidates, source), row)

    x, y = read("train-images-idx3-ubyte", ROWS[name]), read("train-labels-idx1-ubyte", ())
    parts, labels = _hold_out(x, len(x) // 6), _hold_out(y, len(y) // 6)
    x, y = read("t10k-images-idx3-ubyte", ROWS[name]), read("t10k-labels-idx1-ubyte", ())
    return _dataset(name, [*parts, x], 256, "Grey pictures in 10 classes.", [*labels, y])


def _hold_out(x, num) -> list[np.ndarray]:
    """The last `num` rows for validation."""
    return [x[: len(x) - num], x[len(x) - num :]]


def _of_one_length(path, **rows) -> list[np.ndarray]:
    """Arrays of an .npz, a row of each for each example."""
    arrays = formats.read_npz(path, **rows)
    lengths = [len(x) for x in arrays]
    if len(set(lengths)) != 1:
        told = ", ".join(f"{num} of {name}" for name, num in zip(rows, lengths, strict=True))
        raise checks.InputError(f"{path} holds rows of unequal number: {told}.")
    return arrays


def _npz_or_texts(name, folder, npz, texts, source) -> list[np.ndarray]:
    """The three splits from one .npz, else from a text file each. -> [n, ...] of each"""
    path = find(name, folder, [npz, texts[0]], source)
    if path.suffix == ".npz":
        return formats.read_npz(path, **dict.fromkeys(SPLITS))
    columns = math.prod(ROWS[name])
    paths = [find(name, folder, [text], source) for text in texts]
    return [formats.read_text(path, columns=columns) for path in paths]


def _binarized_mnist(name, folder) -> Dataset:
    source = "binarized_mnist_{train,valid,test}.amat by Larochelle"
    texts = [f"{name}/{name}_{split}.amat" for split in SPLITS]
    parts = _npz_or_texts(name, folder, f"{name}/{name}.npz", texts, source)
    parts = [x.reshape(-1, 28, 28) if x.shape[1:] == (784,) else x for x in parts]
    return _dataset(name, parts, 2, "MNIST in one bit, drawn once by Larochelle.")


def _cifar10(name, folder) -> Dataset:
    """The full set, pickled or binary, else the reduced one with 10,000 training images."""
    source = "CIFAR-10 by Krizhevsky (the python or the binary version)"
    batches = [f"data_batch_{i}" for i in range(1, 6)]
    pickled = [f"{name}/cifar-10-batches-py/{file}" for file in (*batches, "test_batch")]
    binary = [f"{name}/cifar-10-batches-bin/{file}.bin" for file in (*batches, "test_batch")]
    reduced = [f"{name}/cifar10_train10k.npz", f"{name}/cifar10_test10k.npz"]
    path = find(name, folder, [pickled[0], binary[0], reduced[0]], source)
    read, files = {
        "": (formats.read_cifar_pickle, pickled),
        ".bin": (formats.read_cifar_binary, binary),
        ".npz": (_delta_coded, reduced),
    }[path.suffix]
    *train, test = [read(find(name, folder, [file], source)) for file in files]
    x, y = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    parts, labels = _hold_out(x, len(x) // 10), _hold_out(y, len(y) // 10)
    description = f"Colour pictures in 10 classes; {len(x)} training pictures, valid among them."
    return _dataset(name, [*parts, test[0]], 256, description, [*labels, test[1]])


def _delta_coded(path) -> tuple[np.ndarray, np.ndarray]:
    """Channels R-G, G, B-G as differences along the width, mod 256. -> [n, 32, 32, 3], [n]"""
    delta, y = formats.read_npz(path, x_delta=(3, 32, 32), y=())
    _check_integers(delta.reshape(-1), 256, f"x_delta of {path}")
    x = np.cumsum(delta, axis=-1, dtype=np.uint8)
    x[:, 0] += x[:, 1]
    x[:, 2] += x[:, 1]
    return x.transpose(0, 2, 3, 1), y


def _binary_table(name, folder) -> Dataset:
    source = "UCLA-StarAI/Density-Estimation-Datasets on GitHub"
    inside = "binary_density/" if not folder or (Path(folder) / "binary_density").is_dir() else ""
    texts = [f"{inside}{name}.{split}.data" for split in SPLITS]
    parts = _npz_or_texts(name, folder, f"{inside}{name}.npz", texts, source)
    return _dataset(name, parts, 2, "Binary features, a benchmark of density estimation.")


def _omniglot(name, folder) -> Dataset:
    path = find(name, folder, [f"{name}/omniglot28.npz"], "Omniglot by Lake et al.")
    x, alphabet = _of_one_length(path, x=(28, 28), alphabet=())
    order = np.random.default_rng(0).permutation(len(x))
    ends = [23000, 24345, 24345 + 8070]
    parts, labels = (np.split(a[order], ends)[:3] for a in (x, alphabet))
    return _dataset(name, parts, 2, "Characters of 50 alphabets, the labels.", labels)


def _caltech_silhouettes(name, folder) -> Dataset:
    file = f"{name}/caltech101_silhouettes_28.npz"
    path = find(name, folder, [file], "Caltech 101 Silhouettes by Marlin")
    x, y, split = _of_one_length(path, x=(28, 28), y=(), split=())
    _check_integers(split, 3, f"split of {path}")
    parts, labels = ([a[split == k] for k in range(3)] for a in (x, y))
    return _dataset(name, parts, 2, "Outlines of objects in 101 classes, 1 = object.", labels)


def _frey_faces(name, folder) -> Dataset:
    path = find(name, folder, [f"{name}/frey_faces.npz"], "Frey Face on Roweis' data page")
    (x,) = formats.read_npz(path, x=(28, 20))
    x = x[np.random.default_rng(0).permutation(len(x))]
    return _dataset(name, np.split(x, [1565, 1765]), 256, "One face in a film; grey.")


def _olivetti_faces(name, folder) -> Dataset:
    path = find(name, folder, [f"{name}/olivetti_faces.npz"], "Olivetti faces, AT&T Cambridge")
    x, person = _of_one_length(path, x=(64, 64), person=())
    ranges = [person < 30, (person >= 30) & (person < 35), person >= 35]
    parts, labels = ([a[rows] for rows in ranges] for a in (x, person))
    return _dataset(name, parts, 256, "40 persons, 10 grey pictures each.", labels)


def _dsprites(name, folder) -> Dataset:
    source = "dSprites by DeepMind (here a grid of 46080 and a sample of 20000 of its images)"

    def read(file):
        path = find(name, folder, [f"{name}/{file}"], source)
        x, index = _of_one_length(path, x=(64, 64), original_index=())
        _check_integers(index, math.prod(FACTORS), f"original_index of {path}")
        return x, index, np.stack(np.unravel_index(index, FACTORS), -1)

    x, index, factors = read("dsprites_grid46080.npz")
    x_new, index_new, factors_new = read("dsprites_random20000.npz")
    new = np.flatnonzero(~np.isin(index_new, index))
    valid, test = np.split(np.random.default_rng(0).permutation(new), [len(new) // 5])
    parts, labels = [x, x_new[valid], x_new[test]], [factors, factors_new[valid], factors_new[test]]
    return _dataset(name, parts, 2, "Shapes drawn from five independent factors.", labels)


def _bsds300_patches(name, folder) -> Dataset:
    path = find(name, folder, [f"{name}/bsds300_patches.npz"], "BSDS300, Berkeley (photographs)")
    parts = formats.read_npz(path, **dict.fromkeys(SPLITS, (8, 8)))
    for split, x in zip(SPLITS, parts, strict=True):
        _check_integers(x.reshape(-1), 256, f"{split} of {path}")
    parts = [tables.patches(x, seed) for seed, x in enumerate(parts)]
    return _dataset(name, parts, None, "8x8 grey patches of photographs, in nats over 63 numbers.")


def _power(name, folder) -> Dataset:
    path = find(name, folder, ["power/data.npy"], UCI)
    x = formats.read_npy(path, (8,))
    with formats.naming(path):
        parts = tables.power(x)
    return _dataset(name, parts, None, "Electric power of a household, 6 numbers.")


def _gas(name, folder) -> Dataset:
    path = find(name, folder, ["gas/ethylene_CO.pickle"], UCI)
    columns = formats.read_frame(path)
    with formats.naming(path):
        parts = tables.gas(columns)
    return _dataset(name, parts, None, "Sensors in a mixture of gases, 8 numbers.")


def _hepmass(name, folder) -> Dataset:
    files = [find(name, folder, [f"hepmass/1000_{part}.csv"], UCI) for part in ("train", "test")]
    train, test = (formats.read_text(file, columns=28, spare=1) for file in files)
    with formats.naming(files[0].parent):
        parts = tables.hepmass(train, test)
    return _dataset(name, parts, None, "Collisions of particles, 21 numbers.")


def _miniboone(name, folder) -> Dataset:
    path = find(name, folder, ["miniboone/data.npy"], UCI)
    x = formats.read_npy(path, (43,))
    with formats.naming(path):
        parts = tables.miniboone(x)
    return _dataset(name, parts, None, "Neutrinos of MiniBooNE, 43 numbers.")


def _miniboone_head(name, folder) -> Dataset:
    path = find(name, folder, [f"{name}/{name}.npz"], "the first rows of miniboone/data.npy")
    (x,) = formats.read_npz(path, x=(43,))
    with formats.naming(path):
        parts = tables.miniboone(x)
    return _dataset(name, parts, None, "The first 1523 rows of MINIBOONE, not the benchmark.")


def _spoken_digits(name, folder) -> Dataset:
    source = "the Free Spoken Digit Dataset on GitHub"
    x, y, take = _clips(find(name, folder, ["fsdd/fsdd_train.npz"], source))
    x_test, y_test, _ = _clips(find(name, folder, ["fsdd/fsdd_test.npz"], source))
    parts, labels = ([a[take < 25], a[take >= 25]] for a in (x, y))
    description = "Spoken digits 0-9 at 8 kHz, the first 0.512 s of each clip."
    return _dataset(name, [*parts, x_test], None, description, [*labels, y_test])


def _clips(path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The start of each recording, padded with zeros. -> x [n, CLIP], digit [n], take [n]"""
    audio, offset, digit, take = formats.read_npz(path, audio=(), offset=(), digit=(), take=())
    _check_integers(offset, len(audio) + 1, f"offset of {path}")
    _check_integers(take, 50, f"take of {path}")
    lengths = len(offset) - 1, len(digit), len(take)
    if audio.dtype != np.int16 or len(set(lengths)) != 1 or (np.diff(offset) < 0).any():
        raise checks.InputError(f"{path} holds no int16 clips from each offset to the next.")
    formats.allow(4 * CLIP * len(digit))
    x = np.zeros((len(digit), CLIP), np.float32)
    for row, (start, end) in zip(x, pairwise(offset), strict=True):
        clip = audio[start : min(end, start + CLIP)]
        row[: len(clip)] = clip / 32768
    return x, digit, take


def _tiny_shakespeare(name, folder) -> Dataset:
    path = find(name, folder, [f"{name}/input.txt"], "Tiny Shakespeare by Karpathy (char-rnn)")
    ids = formats.read_ids(path, SHAKESPEARE)
    parts = np.split(ids, [int(0.9 * len(ids)), int(0.95 * len(ids))])
    return _dataset(name, parts, len(SHAKESPEARE), "Characters in order; id i is SHAKESPEARE[i].")


LOADERS = {
    **dict.fromkeys(bundled.SETS, _bundled),
    "mnist": _idx,
    "fashion_mnist": _idx,
    "binarized_mnist": _binarized_mnist,
    "cifar10": _cifar10,
    "omniglot": _omniglot,
    "caltech_silhouettes": _caltech_silhouettes,
    "frey_faces": _frey_faces,
    "olivetti_faces": _olivetti_faces,
    "dsprites": _dsprites,
    "bsds300_patches": _bsds300_patches,
    "power": _power,
    "gas": _gas,
    "hepmass": _hepmass,
    "miniboone": _miniboone,
    "miniboone_head": _miniboone_head,
    "spoken_digits": _spoken_digits,
    "tiny_shakespeare": _tiny_shakespeare,
    **dict.fromkeys(BINARY_TABLES, _binary_table),
}
