"""Files as they were published, read into numpy arrays. No file can run code here.

A damaged file is one `ValueError` that names it, whatever the decoder underneath raised.
"""

import contextlib
import gzip
import os
import pickle
from pathlib import Path

import numpy as np

from .. import checks


@contextlib.contextmanager
def naming(path):
    """Turns whatever a decoder raises on a damaged file into one `ValueError` with its name."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # zipfile, zlib, pickle and numpy raise a dozen kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{path} is damaged or in another format ({reason}); get it again."
        raise checks.InputError(message) from error


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """The idx format of MNIST (uint8), gzipped where the name ends in .gz. -> [n, ...]

    Two zero bytes, the type (8 = uint8), the number of dimensions, each as a big-endian int32.
    """
    path = Path(path)
    with naming(path), (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        content = file.read()
        if content[:3] != b"\0\0\x08":
            raise checks.InputError("not an idx file of bytes")
        ndim = content[3]
        shape = np.frombuffer(content, ">i4", ndim, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of an .npz by name; pickled objects inside are refused."""
    with naming(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def read_npz(path: str | os.PathLike, *names: str) -> list[np.ndarray]:
    """The arrays called `names`, in that order."""
    arrays = read_arrays(path)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise checks.InputError(
            f"{path} has no array {', '.join(missing)}; it holds {', '.join(arrays)}."
        )
    return [arrays[name] for name in names]


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """The array of an .npy; pickled objects are refused."""
    with naming(path):
        return np.load(path, allow_pickle=False)


def read_text(path: str | os.PathLike, *, columns: int | None = None) -> np.ndarray:
    """A table of numbers, one row a line: .csv, .amat, .data. -> float64 [n, columns]

    columns: how many are read, from the left; all by default.
    Commas or white space, by what the first line has; a first line without a number is a header.
    """
    with naming(path), open(path, encoding="utf-8-sig") as file:
        first = file.readline()
        delimiter = "," if "," in first else None
        header = not any(map(_is_number, first.split(delimiter)))
        file.seek(0)
        table = np.loadtxt(
            file,
            delimiter=delimiter,
            skiprows=int(header),
            ndmin=2,
            usecols=None if columns is None else range(columns),
        )
        if not table.size:
            raise checks.InputError("it holds no numbers")
        return table


def _is_number(word) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_cifar_binary(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """A file of cifar-10-batches-bin: rows of 1 label and 3072 bytes. -> [n, 32, 32, 3], [n]"""
    with naming(path):
        rows = np.fromfile(path, np.uint8).reshape(-1, 1 + 3072)
        return _channels_last(rows[:, 1:]), rows[:, 0]


def read_cifar_pickle(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """A file of cifar-10-batches-py, by an unpickler that can build arrays, nothing else."""
    with naming(path), open(path, "rb") as file:
        content = _ArraysOnly(file, encoding="bytes").load()
        return _channels_last(content[b"data"]), np.array(content[b"labels"], np.uint8)


def read_frame(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The columns of a pandas.DataFrame by name, from a pickle of pandas before 1.3, as published.

    Its state is (axes, blocks, items, ...): arrays [c, n], and the names of the c columns of each.
    """
    with naming(path), open(path, "rb") as file:
        frame = _FramesOnly(file, encoding="latin1").load()
        columns = {}
        for block, index in zip(*_state(frame)[1:3], strict=True):
            columns |= dict(zip(_names(index), block, strict=True))
        return columns


def _state(frame):
    """That of the frame's block manager: the tuple somewhere below it."""
    while not isinstance(frame, tuple):
        told = frame.told[-1] if isinstance(frame, _Told) else frame
        frame = (told.get("_data") or told.get("_mgr")) if isinstance(told, dict) else told
    return frame


def _names(index):
    """Of an index, which was told {"data": names}."""
    (named,) = (part for part in index.told if isinstance(part, dict))
    return [str(name) for name in named["data"]]


def _channels_last(flat) -> np.ndarray:
    return flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


class _ArraysOnly(pickle.Unpickler):
    """Containers, numbers, text and numpy arrays; every other name in the file is an error.

    A pickle is a program: it may name any callable of any module. Here it finds three.
    """

    def find_class(self, module, name):
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return lambda kind, shape, code: np.empty(0, np.uint8)  # its state comes afterwards
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in protocol 2
            return lambda text, encoding: text.encode("latin1")
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of an array")


class _Told:
    """Stands for whatever pandas would have made, and keeps what it was told."""

    def __new__(cls, *told):
        self = super().__new__(cls)
        self.told = list(told)
        return self

    def __init__(self, *told):
        pass

    def __setstate__(self, state):
        self.told.append(state)


class _FramesOnly(_ArraysOnly):
    """Arrays, and names of pandas that do nothing."""

    def find_class(self, module, name):
        if module.partition(".")[0] == "pandas" or (module, name) in (
            ("__builtin__", "slice"),
            ("builtins", "slice"),
        ):
            return _Told
        return super().find_class(module, name)
