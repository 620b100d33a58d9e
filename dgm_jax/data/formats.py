"""Readers of published file formats, into numpy arrays. No file can run code here.

Sizes are checked before memory is allocated: what a file declares is compared with its length, with
the expected row and with MOST_BYTES. Any error of a decoder becomes one `InputError` that names the
file.
"""

import ast
import contextlib
import gzip
import io
import math
import os
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Generator
from pathlib import Path

import numpy as np

from .. import checks
from . import pickles

MOST_BYTES = 4 * 2**30
"""How large the arrays of one file may be, inflated; a text of numbers may have a quarter of it."""

Row = tuple[int, ...] | None  # the shape of one row, None for any

CHUNK = 2**18  # bytes read at a time
INFLATION = 1032  # deflate makes no more bytes of one
HEAD = 1000  # characters in the head of an .npy: some 120 of an array of numbers
LINE = 2**23  # characters in the first line of a text
NPY = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4}  # version -> bytes of the length of the head


@contextlib.contextmanager
def naming(what: str | os.PathLike) -> Generator[None]:
    """Turns any error of a decoder into one `InputError` that names the damaged file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a decoder in doubt is no reader
            yield
    except checks.InputError as error:
        raise checks.InputError(f"{what}: {error}") from error
    except MemoryError as error:
        raise checks.InputError(f"{what} does not fit into memory.") from error
    except Exception as error:  # zipfile, zlib, gzip and numpy raise a dozen kinds
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        message = f"{what} is damaged or in another format ({reason}); get it again."
        raise checks.InputError(message) from error


@contextlib.contextmanager
def _opened(path) -> Generator[tuple[io.BufferedReader | gzip.GzipFile, int]]:
    """A regular file, inflated where its name ends in .gz, and how many bytes it has at most."""
    with naming(path), contextlib.ExitStack() as stack:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise checks.InputError("it is no regular file")
        file = stack.enter_context(open(path, "rb"))
        size = os.fstat(file.fileno()).st_size
        if Path(path).suffix == ".gz":
            file, size = stack.enter_context(gzip.GzipFile(fileobj=file)), INFLATION * size
        yield file, size


def allow(size: int) -> None:
    """Raises `InputError` if size > MOST_BYTES = 4 GiB: called before memory for an array is taken.

    size: the bytes that the arrays of a file would take. So a small file that promises huge arrays
    costs no memory. To read larger ones, set MOST_BYTES of this module to more.
    """
    if size > MOST_BYTES:
        raise checks.InputError(
            f"it holds {size / 2**30:.3g} GiB of numbers, above the limit of "
            f"{MOST_BYTES / 2**30:.3g}; take a part, or raise dgm_jax.data.formats.MOST_BYTES"
        )


def _fit(shape, row):
    if row is not None and (not shape or shape[1:] != row):
        due = ", ".join(map(str, ("n", *row)))
        raise checks.InputError(f"it holds an array of shape {shape}, where [{due}] is due")


def _numbers(file, room, dtype, shape) -> np.ndarray:
    """The array that ends a file, of which `room` bytes are left at most; native byte order."""
    if dtype.newbyteorder("=") not in pickles.PLAIN.values():
        raise checks.InputError(f"it needs rows of numbers; got {dtype}")
    if min(shape, default=0) < 0:
        raise checks.InputError(f"it holds an array of the negative shape {shape}")
    size = math.prod(shape) * dtype.itemsize
    allow(size)
    if size > room:
        raise EOFError(f"{size} bytes by its head, {room} by its length")
    x = np.empty(math.prod(shape), dtype)
    content, at = x.view(np.uint8).data, 0
    while at < size:
        if not (got := file.readinto(content[at : at + CHUNK])):
            raise EOFError(f"it ends after {at} of {size} bytes")
        at += got
    if file.read(1):  # at the end gzip and zip compare their checksums
        raise EOFError(f"it has more than the {size} bytes of its head")
    if dtype.kind == "b" and size and x.view(np.uint8).max() > 1:
        raise checks.InputError("it holds booleans other than 0 and 1")
    return x.astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def read_idx(path: str | os.PathLike, row: Row = None) -> np.ndarray:
    """The idx format of MNIST (uint8), also gzipped (.gz). -> [n, *row].

    A file is: two zero bytes, the type (8 = uint8), the number of dimensions, each as a big-endian
    int32, and the data.
    """
    with _opened(path) as (file, size):
        head = file.read(4)
        if head[:3] != b"\0\0\x08":
            raise checks.InputError("it is not an idx file of bytes")
        ndim = head[3]
        shape = struct.unpack(f">{ndim}i", file.read(4 * ndim))
        _fit(shape, row)
        return _numbers(file, size - 4 - 4 * ndim, np.dtype(np.uint8), shape)


def _npy(file, size, row) -> np.ndarray:
    """The head of an .npy is a literal of Python: {'descr': dtype, 'fortran_order', 'shape'}."""
    version = file.read(8)
    if version not in NPY:
        raise checks.InputError("it is not an .npy file of numbers")
    length = int.from_bytes(file.read(NPY[version]), "little")
    if length > HEAD:
        raise checks.InputError(f"it has a head of {length} bytes, and no plain numbers")
    head = file.read(length).decode("latin1")
    told = ast.literal_eval(re.sub(r"(\d)L\b", r"\1", head))  # L: Python 2's long integers
    kind, by_columns, shape = (told[key] for key in ("descr", "fortran_order", "shape"))
    if type(kind) is not str or type(shape) is not tuple or {type(n) for n in shape} - {int}:
        raise checks.InputError("it needs rows of numbers; got records")
    _fit(shape, row)
    room = size - 8 - NPY[version] - length
    if by_columns:
        return _numbers(file, room, np.dtype(kind), shape[::-1]).T
    return _numbers(file, room, np.dtype(kind), shape)


def read_npy(path: str | os.PathLike, row: Row = None) -> np.ndarray:
    """The array of an .npy file, [n, *row], which holds numbers; it is not executed.

    path: the file; row: the shape of one row, without the axis of the rows; None for any shape.
        Pickled objects, records and text, a damaged file, and rows of another shape raise
        `InputError`.
    """
    with _opened(path) as (file, size):
        return _npy(file, size, row)


def read_arrays(
    path: str | os.PathLike, rows: dict[str, Row] | None = None
) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name: those in `rows`, {name: shape of a row}, or all.

    Other arrays are not decompressed. Pickled objects, records and text are refused.
    """
    with _opened(path) as (file, size), zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise checks.InputError("two arrays in it have one name")
        rows = dict.fromkeys(members) if rows is None else rows
        if missing := [name for name in rows if name not in members]:
            holds = ", ".join(map(ascii, members)) or "nothing"
            raise checks.InputError(f"it has no array {', '.join(missing)}; it holds {holds[:500]}")
        allow(sum(members[name].file_size for name in rows))
        arrays = {}
        for name, row in rows.items():
            with naming(f"array {ascii(name)[:80]}"):
                arrays[name] = _member(archive, members[name], size, row)
        return arrays


def _member(archive, info, size, row) -> np.ndarray:
    """One array of an archive of `size` bytes."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise checks.InputError("it is compressed by another way than deflate")
    if info.file_size > INFLATION * size:
        raise EOFError(f"{size} bytes of a file are no {info.file_size}")
    with archive.open(info) as member:
        return _npy(member, info.file_size, row)


def read_npz(path: str | os.PathLike, **rows: Row) -> list[np.ndarray]:
    """[x, y, ...]: some arrays of an .npz file, in the order in which the arguments name them.

        x, y = read_npz(path, x=(28, 28), y=())      # x [n, 28, 28] and y [n]

    path: the file. rows: for each array its name and the shape of one row, without the axis of the
    rows; None takes any shape. Other arrays of the file are not decompressed.

    Raises `InputError`, with the path, if an array is missing or has rows of another shape, if it
    holds anything but numbers, if all together are larger than MOST_BYTES = 4 GiB, or if the file
    is damaged; `OSError` if it cannot be opened.
    """
    return list(read_arrays(path, rows).values())


def read_text(path: str | os.PathLike, *, columns: int | None = None, spare: int = 0) -> np.ndarray:
    """A table of numbers, one row per line: .csv, .amat, .data. -> float64 [n, columns].

    path: the file. columns: the expected number of columns, any by default; spare: how many further
    columns are allowed and ignored. The separator (tab, semicolon, comma or white space) is that of
    the first line; a first line without a number is a header. Any other line must be a row.
    """
    with _lines(path) as (text, words, delimiter):
        if columns is not None and not columns <= len(words) <= columns + spare:
            raise checks.InputError(f"it has {len(words)} columns, where {columns} are due")
        return _table(text, words, delimiter)[:, :columns]


def read_table(
    path: str | os.PathLike, labels: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray | None]:
    """`read_text`, with the labels apart: the column whose header is one of the names `labels`.

    Labels are integers, or words, which are numbered in sorted order.
    -> float64 [n, columns], labels [n] or None.
    """
    with _lines(path) as (text, words, delimiter):
        heads = [word.strip().strip("\"'").lower() for word in words]
        if heads and not heads[0] and _is_header(words):
            raise checks.InputError(
                "its first column has no name, as an index that was written along; leave that out"
            )
        places = [i for i, head in enumerate(heads) if head in labels]
        if not places:
            return _table(text, words, delimiter), None
        (place, *others), told = places, {}
        if others:
            names = ", ".join(ascii(heads[i]) for i in places)[:200]
            raise checks.InputError(f"it has {len(places)} columns of labels, {names}")
        number = lambda word: told.setdefault(word.strip().strip("\"'"), len(told))
        table = _table(text, words, delimiter, {place: number})
        codes = table[:, place].astype(int)
        if all(map(_is_number, told)):
            values = np.array([float(word) for word in told])
        else:
            values = np.searchsorted(np.array(sorted(told)), list(told))
        return np.delete(table, place, axis=1), values[codes]


@contextlib.contextmanager
def _lines(path) -> Generator[tuple[io.TextIOWrapper, list[str], str | None]]:
    """A text at its start, the words of its first line, and what is between them."""
    with _opened(path) as (file, size):
        if isinstance(file, gzip.GzipFile):
            size = _inflated(file)
        allow(4 * size)  # "0," becomes eight bytes
        text = io.TextIOWrapper(file, "utf-8-sig")
        first = text.readline(LINE)
        if len(first) == LINE:
            raise checks.InputError(f"its first line is longer than {LINE} characters")
        delimiter = next((mark for mark in "\t;," if mark in first), None)
        text.seek(0)
        yield text, first.rstrip("\r\n").split(delimiter), delimiter


def _table(text, words, delimiter, converters=None) -> np.ndarray:
    """The numbers; `InputError` for what each is not, since a damaged file is the rarer cause."""
    try:
        table = np.loadtxt(
            text,
            comments=None,
            delimiter=delimiter,
            skiprows=int(_is_header(words)),
            ndmin=2,
            converters=converters,
        )
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        reason = str(error).partition(";")[0].rstrip(".")[:200]
        if reason.startswith("could not convert"):  # numpy counts from 0 here, else from 1
            reason = re.sub(r"(?<= at row )\d+", lambda found: str(int(found[0]) + 1), reason)
        if _is_header(words):
            reason += " below the header"
        words = re.search(r"could not convert string '\s*[^'\s]", reason)
        remedy = ". Write words as numbers, or head their column label if they are classes"
        raise checks.InputError(
            f"{reason}; every row needs as many entries, all of them numbers, and none missing"
            f"{remedy if words else ''}"
        ) from error
    except UserWarning as error:  # of no data, where warnings are errors
        raise checks.InputError("it holds no numbers") from error
    if not table.size:
        raise checks.InputError("it holds no numbers")
    return table


def _is_header(words) -> bool:
    return not any(map(_is_number, words))


def _inflated(file) -> int:
    """How many bytes a text has, as far as it is allowed."""
    size = 0
    while 4 * size <= MOST_BYTES and (got := len(file.read(CHUNK))):
        size += got
    file.seek(0)
    return size


def _is_number(word) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_ids(path: str | os.PathLike, vocabulary: str) -> np.ndarray:
    """An ASCII text as ids, where i stands for the character vocabulary[i]. -> int64 [n]."""
    with _opened(path) as (file, size):
        allow(8 * size)
        codes = np.frombuffer(file.read().replace(b"\r\n", b"\n"), np.uint8)
        table = np.full(256, -1)
        table[list(vocabulary.encode("ascii"))] = np.arange(len(vocabulary))
        ids = table[codes]
        if (strange := ids < 0).any():
            at = int(np.argmax(strange))
            raise checks.InputError(f"byte {codes[at]} at place {at} is not in the vocabulary")
        return ids


def read_characters(path: str | os.PathLike) -> str:
    """A text in UTF-8, with all line ends as newlines."""
    with _opened(path) as (file, size):
        if isinstance(file, gzip.GzipFile):
            size = _inflated(file)
        allow(4 * size)
        return file.read().decode("utf-8-sig").replace("\r\n", "\n")


def read_cifar_binary(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """A file of cifar-10-batches-bin: rows of 1 label and 3072 bytes. -> [n, 32, 32, 3], [n]."""
    with _opened(path) as (file, size):
        if size == 0 or size % (1 + 3072):
            raise EOFError(f"{size} bytes are no rows of 3073")
        rows = _numbers(file, size, np.dtype(np.uint8), (size // (1 + 3072), 1 + 3072))
        return _channels_last(rows[:, 1:]), rows[:, 0]


def read_cifar_pickle(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """A file of cifar-10-batches-py, read without executing the pickle. -> [n, 32, 32, 3], [n]."""
    with _opened(path) as (file, size):
        allow(size)
        told = pickles.read(file.read())
        rows = pickles.array(pickles.item(told, "data"))
        labels = pickles.item(told, "labels")
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3072:
            raise checks.InputError(
                f"data in it are {rows.dtype} {rows.shape}, not bytes [n, 3072]"
            )
        if type(labels) is not list or not all(type(y) is int and 0 <= y < 256 for y in labels):
            raise checks.InputError("labels in it are no list of bytes")
        return _channels_last(rows), np.array(labels, np.uint8)


def _channels_last(flat) -> np.ndarray:
    return flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def read_frame(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """{column: array} of a pandas.DataFrame, from a pickle of pandas before 1.3.

    The pickle is not executed. A column is a view of its block.
    """
    with _opened(path) as (file, size):
        allow(size)
        return pickles.frame(pickles.read(file.read(), pandas=True), size)
