"""Your own data: a file or a folder of files, as train, valid and test.

The name of an array, inside an .npz file or as a file in a folder, says what it is. Names are split
at _ - . and blanks, in lower case:

    train, training; valid, validation, val, dev; test, testing      a split
    y, label, labels, class, classes, target, targets                labels, one integer per row
    x, data, images, rows, features                                  the rows

so that x_train and y_train, or train.csv and train_labels.csv, are a split with its labels. A
single array may have any name. In a table, a column headed label, labels, class, target or
species holds the labels, as integers or words.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import checks
from . import bundled, formats

SPLITS = ("train", "valid", "test")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
LABEL_WORDS = ("y", "label", "labels", "class", "classes", "target", "targets")
ROW_WORDS = ("x", "data", "images", "rows", "features")
LABEL_COLUMNS = ("label", "labels", "class", "target", "species")
TEXTS = (".csv", ".tsv", ".txt", ".data", ".amat")
SUFFIXES = (*TEXTS, ".npy", ".npz", ".idx", "-ubyte")
LEAST = 10  # rows that can be split 80/10/10

Arrays = dict[str, np.ndarray]


class Own(NamedTuple):
    """The splits of your own data, as `read` returns them."""

    parts: list[np.ndarray]  # of SPLITS, [n, ...]
    labels: list[np.ndarray] | None  # integers [n]
    how: str  # where the splits are from


def read(path: Path, seed: int) -> Own:
    """The splits of a file or a folder; data without splits are split by default_rng(seed)."""
    arrays = _arrays(path)
    for x in arrays.values():
        if x.ndim == 0:
            raise checks.InputError(f"{path} holds one number; it needs {LEAST} rows, [n, ...].")
    rows, labels = _by_split(path, arrays, ROW_WORDS), _by_split(path, arrays, LABEL_WORDS)
    for x in rows.values():
        if x.ndim < 2 or x.size == 0:
            raise checks.InputError(
                f"{path} holds {x.dtype} of shape {x.shape}; it needs rows of numbers, [n, ...]"
                f"{', such as x[:, None]' if x.ndim == 1 else ''}."
            )
    if labels and labels.keys() != rows.keys():
        raise checks.InputError(
            f"{path} has labels of {_names(labels)}, and rows of {_names(rows)}; give both or none."
        )
    for split, y in labels.items():
        labels[split] = _checked_labels(path, y, len(rows[split]))
    parts, how = _split(path, [rows, labels] if labels else [rows], seed)
    return Own(parts[0], parts[1] if labels else None, how)


def _names(parts):
    return ", ".join(name or "all" for name in parts) or "none"


# ----------------------------------------------------------------------------------------- reading
def kind(path: Path) -> str | None:
    """The suffix that says how to read a file, before any .gz; None if it cannot be read."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def files(path: Path) -> list[Path]:
    """A file, the readable files of a folder, or kdd.train.data and its like for kdd."""
    if path.is_file():
        return [path]
    folder, begin = (path, "") if path.is_dir() else (path.parent, path.name + ".")
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(f for f in found if f.name.startswith(begin) and f.is_file() and kind(f))


def _arrays(path) -> Arrays:
    found = files(path)
    if not found and path.is_dir():
        raise checks.InputError(
            f"{path} holds no file that ends in {', '.join(SUFFIXES)}, or these and .gz."
        )
    if not found:
        raise FileNotFoundError(f"no file {path.absolute()}; give the path of a table or array.")
    if len(found) == 1:
        return _of_file(found[0])
    arrays = {}
    for file in found:
        stem = file.name.lower().removesuffix(".gz").removesuffix(kind(file) or "")
        for name, x in _of_file(file).items():
            name = f"{stem} {name}" if name else stem
            if name in arrays:
                raise checks.InputError(f"{path} has two arrays of the name {name!r}.")
            arrays[name] = x
    return arrays


def _of_file(file) -> Arrays:
    """{name: array} of an .npz, {"": array} of others, with {"labels": ...} from text."""
    suffix = kind(file)
    if suffix is None:
        checks.choice(file.suffix, SUFFIXES, f"the suffix of path={str(file)!r}")
    if suffix == ".npz":
        return formats.read_arrays(file)
    if suffix == ".npy":
        return {"": formats.read_npy(file)}
    if suffix in TEXTS:
        x, labels = formats.read_table(file, LABEL_COLUMNS)
        return {"": x} if labels is None else {"": x, "labels": labels}
    return {"": formats.read_idx(file)}


def read_text(path: Path) -> tuple[list[np.ndarray], str, str]:
    """The characters of a text as integers [n] per split, the vocabulary, and how it was split.

    path: a file, or a folder of .txt files, named train, valid and test or else joined in the order
    of their names. A text without splits is split 90/5/5 %, in order.
    """
    found = [path] if path.is_file() else [f for f in files(path) if kind(f) == ".txt"]
    if not found:
        raise checks.InputError(f"{path} holds no .txt file; give a file of text.")
    texts = {file.name.lower().partition(".")[0]: formats.read_characters(file) for file in found}
    splits = {SPLIT_WORDS.get(name): text for name, text in texts.items()}
    if split := splits.keys() == set(SPLITS):
        whole = [splits[name] for name in SPLITS]
    else:
        whole = ["\n\n".join(texts.values())]
    vocabulary = "".join(sorted(set("".join(whole))))
    codes = np.array([ord(character) for character in vocabulary], np.uint32)
    ids = [
        np.searchsorted(codes, np.frombuffer(text.encode("utf-32-le"), np.uint32)).astype(np.int32)
        for text in whole
    ]
    parts = ids if split else bundled.in_order(ids[0])
    if min(map(len, parts)) < 2:
        raise checks.InputError(f"{path} has too few characters; it needs 100.")
    return parts, vocabulary, "as split in the folder" if split else "split 90/5/5 in order"


# ------------------------------------------------------------------------------------ what is what
def _by_split(path, arrays, words) -> Arrays:
    """The rows, or the labels, of each split by its name; under "" what has no split."""
    found = {}
    for name, x in arrays.items():
        split, is_label = _meaning(path, name, arrays)
        if is_label != (words is LABEL_WORDS):
            continue
        if split in found:
            raise checks.InputError(
                f"{path} holds {_listed(arrays)}, of which two are {split or 'the rows'}; "
                "name them train, valid, test and train_labels, ..., or give one."
            )
        found[split] = x
    return found


def _meaning(path, name, arrays) -> tuple[str, bool]:
    """(its split or "", whether it holds labels)"""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    labels = any(word in LABEL_WORDS for word in words)
    known = splits or labels or any(word in ROW_WORDS for word in words)
    others = [other for other in arrays if other != name]
    if len(splits) > 1 or not (known or all(_is_label(other) for other in others)):
        raise checks.InputError(
            f"{path} holds {_listed(arrays)}; it needs the arrays train, valid and test (and "
            f"train_labels, ...), or x (and y), or exactly one array."
        )
    return (splits.pop() if splits else ""), labels and len(arrays) > 1


def _is_label(name):
    return any(word in LABEL_WORDS for word in re.split(r"[\W_]+", name.lower()))


def _listed(arrays):
    names = (name if name.isprintable() else ascii(name) for name in arrays)
    return ", ".join(name or "rows" for name in names)[:500] or "nothing"


def _checked_labels(path, y, num):
    """Integers of at least 0, [n]."""
    y = y.reshape(len(y)) if y.ndim == 2 and y.shape[1] == 1 else y
    whole = y.dtype.kind in "biu" or (y.dtype.kind == "f" and bool((y == np.floor(y)).all()))
    if y.ndim != 1 or not whole or (y.size and not 0 <= y.min() <= y.max() < 2**31):
        raise checks.InputError(
            f"{path}: labels must be whole numbers 0, 1, ..., one a row; "
            f"got {y.dtype} of shape {y.shape}{_range(y)}."
        )
    if len(y) != num:
        raise checks.InputError(f"{path} holds {num} rows, but {len(y)} labels.")
    return y.astype(np.int64)


def _range(y):
    return f" in {y.min()}..{y.max()}" if y.size and y.dtype.kind in "biuf" else ""


# ---------------------------------------------------------------------------------------- splitting
def _split(path, found, seed) -> tuple[list[list[np.ndarray]], str]:
    """Rows (and labels) in the order of SPLITS, and how they came to be."""
    there = found[0].keys()
    if there == set(SPLITS):
        return [[part[split] for split in SPLITS] for part in found], "as split in the file"
    if there == {"train", "test"}:
        parts = [_shuffled(path, part["train"], seed) for part in found]
        tenth = len(parts[0]) // 10
        parts = [
            [x[: len(x) - tenth], x[len(x) - tenth :], part["test"]]
            for x, part in zip(parts, found)
        ]
        return parts, f"valid: a tenth of train by seed {seed}"
    if there != {""}:
        raise checks.InputError(
            f"{path} holds {_names(there)}; it needs the arrays train, valid and test, train and "
            "test, or exactly one array."
        )
    parts = [_shuffled(path, part[""], seed) for part in found]
    tenth = len(parts[0]) // 10
    parts = [np.split(x, [len(x) - 2 * tenth, len(x) - tenth]) for x in parts]
    return parts, f"shuffled and split 80/10/10 by seed {seed}"


def _shuffled(path, x, seed):
    if len(x) < LEAST:
        raise checks.InputError(
            f"{path} has shape {x.shape}; it needs {LEAST} rows to split 80/10/10, [n, ...]."
        )
    return x[np.random.default_rng(seed).permutation(len(x))]
