"""Data files that were damaged or forged, each read as a user's command would.

    python -m tests.reliability.hostile --target idx --seed 0 --num 500

writes a small set in its published form, changes one file of it in a random way, and loads it: the
answer must be one line of `InputError` with the name of the file, or the very arrays that a plain
reader makes of the same bytes. `forge` changes what is inside of a gzip or zip file too, and packs
it again with the right checksum; of a pickle also whole opcodes. Memory is limited, so that a size
that is believed before it is checked shows. The last line of output is a dict of verdicts as JSON.
"""

import argparse
import collections
import gzip
import io
import json
import os
import pickle
import pickletools
import resource
import signal
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dgm_jax import checks
from dgm_jax.data import formats, load, load_file, tables
from dgm_jax.data.readers import CLASSES, ROWS, SHAKESPEARE, SPLITS
from tests.data.published import cifar_pickle, frame_pickle, idx, python_2

SECONDS = 10  # for one file
MEMORY = 2**30  # bytes beyond what the program has at its start
MOST_BYTES = 2**26  # of one file, a quarter of what memory allows an array of integers

SPAN = {"few": 4, "some": 40, "many": 400}
NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
NAMES = ("a\nb.npy", "../x.npy", "x", "\x1b[2Jx.npy", "é.npy", "y.npy", "test.npy", "x.npy.npy")
WORDS = (b"nan", b"inf", b"1e999", b"#", b",", b"\n", b" ", b"-", b".5", b"1j", b"\xc3\xa9", b"\0")


class Target(NamedTuple):
    """A set of files in a folder; how the program reads it, and how a plain reader does."""

    files: dict[str, bytes]
    load: Callable  # folder -> Dataset
    plain: Callable  # folder -> (parts, labels or None), in the order of SPLITS


# --- small sets --------------------------------------------------------------------------------


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(x) -> bytes:
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def csv(x, header="", delimiter=",") -> bytes:
    file = io.StringIO()
    np.savetxt(file, x, delimiter=delimiter, header=header, comments="", fmt="%.6g")
    return file.getvalue().encode()


def targets(rng) -> dict[str, Target]:
    pixels = rng.integers(0, 256, (12, 3072), dtype=np.uint8)
    batches = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    labels = [rng.integers(0, 10, 2).tolist() for _ in batches]
    rows = np.split(pixels, 6)
    python, binary = "cifar10/cifar-10-batches-py/", "cifar10/cifar-10-batches-bin/"

    def pickled(protocol):
        if protocol is None:
            return [cifar_pickle(x, y) for x, y in zip(rows, labels, strict=True)]
        told = [{b"data": x, b"labels": y} for x, y in zip(rows, labels, strict=True)]
        return [pickle.dumps(content, protocol) for content in told]

    names = ["Time", "Meth", "Eth", *(f"s{i}" for i in range(8))]
    columns = {name: rng.normal(size=40) for name in names}
    power = rng.integers(0, 50, (120, 8)) + rng.random((120, 8))
    hepmass = np.c_[np.arange(120) % 2, np.maximum(rng.normal(size=(120, 27)), [0] * 6 + [-9] * 21)]
    bits = rng.integers(0, 2, (30, 16), dtype=np.uint8)
    images = rng.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    digits = np.arange(12, dtype=np.uint8) % 10
    sound = rng.integers(-9, 9, 900).astype(np.int16)
    clips = npz(
        audio=sound, offset=np.arange(0, 901, 30), digit=np.arange(30) % 10, take=np.arange(30)
    )
    grid = {
        file: npz(x=rng.integers(0, 2, (len(index), 64, 64), dtype=np.uint8), original_index=index)
        for file, index in {"grid46080": [0, 2, 5], "random20000": np.arange(12)}.items()
    }
    x = rng.normal(size=(40, 5)).round(4)
    grey = rng.integers(0, 256, (8, 64, 64), dtype=np.uint8)
    lines = [
        f"{a:.4f}\t{b:.4f}\t{word}" for a, b, word in zip(*x[:, :2].T, 10 * ["c", "a", "bb", "d"])
    ]
    labelled = "\n".join(["u\tv\tClass", *lines]).encode()
    mnist = dict(zip(MNIST, (images, digits, images[:4], digits[:4]), strict=True))
    return {
        **{
            f"cifar pickle {protocol}": Target(
                {python + b: c for b, c in zip(batches, pickled(protocol), strict=True)},
                lambda folder: load("cifar10", folder),
                lambda folder: plain_cifar([read_batch(folder / (python + b)) for b in batches]),
            )
            for protocol in (None, 0, 2, 4)
        },
        "cifar binary": Target(
            {
                f"{binary}{b}.bin": np.c_[np.array(y, np.uint8), x].tobytes()
                for b, x, y in zip(batches, rows, labels, strict=True)
            },
            lambda folder: load("cifar10", folder),
            lambda folder: plain_cifar([read_rows(folder / f"{binary}{b}.bin") for b in batches]),
        ),
        **{
            name: Target(
                {"gas/ethylene_CO.pickle": content},
                lambda folder: load("gas", folder),
                lambda folder: (tables.gas(read_frame(folder / "gas/ethylene_CO.pickle")), None),
            )
            for name, content in (
                ("frame", frame_pickle(columns)),
                ("frame of Python 2", python_2(frame_pickle(columns))),
            )
        },
        "idx": Target(
            {f"mnist/{name}": idx(x) for name, x in mnist.items()},
            lambda folder: load("mnist", folder),
            lambda folder: plain_mnist(*(read_idx(folder / "mnist" / name) for name in MNIST)),
        ),
        "idx.gz": Target(
            {f"mnist/{name}.gz": gzip.compress(idx(x)) for name, x in mnist.items()},
            lambda folder: load("mnist", folder),
            lambda folder: plain_mnist(*(read_idx(folder / f"mnist/{n}.gz") for n in MNIST)),
        ),
        "npz of splits": Target(
            {"binary_density/nltcs.npz": npz(train=bits, valid=bits[:9], test=bits[:5])},
            lambda folder: load("nltcs", folder),
            lambda folder: (plain_npz(folder / "binary_density/nltcs.npz", *SPLITS), None),
        ),
        "npz of patches": Target(
            {
                "bsds300_patches/bsds300_patches.npz": npz(
                    train=images[:9, :8, :8], valid=images[9:, :8, :8], test=images[:3, :8, :8]
                )
            },
            lambda folder: load("bsds300_patches", folder),
            lambda folder: (plain_patches(folder / "bsds300_patches/bsds300_patches.npz"), None),
        ),
        "npz with labels": Target(
            {
                "caltech_silhouettes/caltech101_silhouettes_28.npz": npz(
                    x=images > 128, y=digits, split=digits % 3
                )
            },
            lambda folder: load("caltech_silhouettes", folder),
            lambda folder: plain_silhouettes(next((folder / "caltech_silhouettes").iterdir())),
        ),
        "npz of faces": Target(
            {"olivetti_faces/olivetti_faces.npz": npz(x=grey, person=np.arange(8) * 5)},
            lambda folder: load("olivetti_faces", folder),
            lambda folder: plain_faces(folder / "olivetti_faces/olivetti_faces.npz"),
        ),
        "npz of a grid": Target(
            {f"dsprites/dsprites_{file}.npz": content for file, content in grid.items()},
            lambda folder: load("dsprites", folder),
            plain_dsprites,
        ),
        "npz of sounds": Target(
            {"fsdd/fsdd_train.npz": clips, "fsdd/fsdd_test.npz": clips},
            lambda folder: load("spoken_digits", folder),
            plain_sounds,
        ),
        "npy": Target(
            {"power/data.npy": npy(power)},
            lambda folder: load("power", folder),
            lambda folder: (tables.power(plain_npy(folder / "power/data.npy")), None),
        ),
        "csv": Target(
            {
                "hepmass/1000_train.csv": csv(hepmass, "label," + ",".join("f" * 27)),
                "hepmass/1000_test.csv": csv(np.c_[hepmass, hepmass[:, 0]][:50], "# l" + 28 * ",f"),
            },
            lambda folder: load("hepmass", folder),
            lambda folder: (
                tables.hepmass(
                    *(
                        plain_text(folder / f"hepmass/1000_{s}.csv")[:, :28]
                        for s in ("train", "test")
                    )
                ),
                None,
            ),
        ),
        "text of bits": Target(
            {
                f"binarized_mnist/binarized_mnist_{s}.amat": csv(
                    images[:2].reshape(2, -1) // 128, "", " "
                )
                for s in SPLITS
            },
            lambda folder: load("binarized_mnist", folder),
            lambda folder: (
                [
                    plain_text(folder / f"binarized_mnist/binarized_mnist_{s}.amat").reshape(
                        -1, 28, 28
                    )
                    for s in SPLITS
                ],
                None,
            ),
        ),
        "own folder": Target(
            {
                "own/x_train.npy": npy(x),
                "own/y_train.npy": npy(np.arange(40) % 3),
                "own/x_test.csv": csv(x[:9]),
                "own/test-labels-ubyte": idx(digits[:9]),
            },
            lambda folder: load_file(folder / "own"),
            lambda folder: plain_folder(folder / "own"),
        ),
        "letters": Target(
            {"tiny_shakespeare/input.txt": b"Speak, speak.\nResolved? resolved: we know't!\n" * 9},
            lambda folder: load("tiny_shakespeare", folder),
            plain_letters,
        ),
        **{
            f"own {name}": Target(
                {name: content},
                lambda folder, name=name: load_file(folder / name),
                lambda folder, name=name, read=read: plain_own(*read(folder / name)),
            )
            for name, content, read in (
                ("own.csv", csv(x, "a,b,c,d,e"), lambda path: [plain_text(path)]),
                ("levels.csv", csv(rng.integers(0, 9, (20, 3))), lambda path: [plain_text(path)]),
                ("own.npy", npy(x.astype(">f4")), lambda path: [plain_npy(path)]),
                (
                    "levels.npy",
                    npy(np.asfortranarray(rng.integers(0, 9, (20, 3)))),
                    lambda path: [plain_npy(path)],
                ),
                ("own.npz", npz(x=x), plain_npz),
                ("labels.npz", npz(x=x, y=np.arange(40) % 7), plain_pair),
                ("labels.tsv.gz", gzip.compress(labelled), plain_labelled),
            )
        },
    }


# --- plain readers: no limits, no checks, no machine of their own ------------------------------

MNIST = [
    f"{part}-{kind}"
    for part in ("train", "t10k")
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
]


def read_idx(path):
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert content[:3] == b"\0\0\x08"
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return np.frombuffer(content[4 + 4 * len(shape) :], np.uint8).reshape(shape)


def plain_mnist(x, y, x_test, y_test):
    n = len(x) - len(x) // 6
    return [x[:n], x[n:], x_test], [y[:n], y[n:], y_test]


def plain_npy(path):
    return np.load(path, allow_pickle=False)


def plain_npz(path, *names):
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name] for name in names or arrays.files]


def plain_patches(path):
    parts = []
    for seed, x in enumerate(plain_npz(path, *SPLITS)):
        y = (x.reshape(-1, 64) + np.random.default_rng(seed).random((len(x), 64))) / 256
        parts.append((y - y.mean(1, keepdims=True))[:, :63])
    return parts


def plain_silhouettes(path):
    x, y, split = plain_npz(path, "x", "y", "split")
    assert set(split) <= {0, 1, 2}
    return [x[split == k] for k in range(3)], [y[split == k] for k in range(3)]


def plain_faces(path):
    x, person = plain_npz(path, "x", "person")
    where = person < 30, (person >= 30) & (person < 35), person >= 35
    return [x[rows] for rows in where], [person[rows] for rows in where]


def plain_folder(folder):
    x, y = (plain_npy(folder / f"{name}_train.npy") for name in "xy")
    order, tenth = np.random.default_rng(0).permutation(len(x)), len(x) // 10
    x, y = x[order], y.reshape(-1)[order]
    x_test, y_test = plain_text(folder / "x_test.csv"), read_idx(folder / "test-labels-ubyte")
    n = len(x) - tenth
    return [x[:n], x[n:], x_test], [y[:n], y[n:], y_test.reshape(-1)]


def plain_dsprites(folder):
    x, index = plain_npz(folder / "dsprites/dsprites_grid46080.npz", "x", "original_index")
    x_new, new = plain_npz(folder / "dsprites/dsprites_random20000.npz", "x", "original_index")
    held = np.random.default_rng(0).permutation(np.flatnonzero(~np.isin(new, index)))
    parts = [x, x_new[held[: len(held) // 5]], x_new[held[len(held) // 5 :]]]
    return parts, None  # the labels are a function of the index, checked by their bounds


def plain_sounds(folder):
    parts, labels = [], []
    for file in "train", "test":
        audio, offset, digit, take = plain_npz(
            folder / f"fsdd/fsdd_{file}.npz", "audio", "offset", "digit", "take"
        )
        clips = [audio[a:b][:4096] / 32768 for a, b in zip(offset[:-1], offset[1:], strict=True)]
        x = np.stack([np.pad(clip, (0, 4096 - len(clip))) for clip in clips])
        for rows in (take < 25, take >= 25) if file == "train" else (take >= 0,):
            parts.append(x[rows])
            labels.append(digit[rows])
    return parts, labels


def plain_text(path):
    """Every line with a word is a row, save a first one of which no word is a number."""
    lines = [line for line in path.read_text("utf-8-sig").split("\n") if line.strip()]
    delimiter = next((mark for mark in "\t;," if mark in lines[0]), None)
    lines = [line.split(delimiter) for line in lines]
    if not any(map(is_number, lines[0])):
        lines = lines[1:]
    return np.array([[float(word.strip()) for word in line] for line in lines])


def is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


def plain_letters(folder):
    text = (folder / "tiny_shakespeare/input.txt").read_text("ascii")
    ids = np.array([SHAKESPEARE.index(letter) for letter in text])
    return np.split(ids, [int(0.9 * len(ids)), int(0.95 * len(ids))]), None


def plain_own(x, y=None):
    order = np.random.default_rng(0).permutation(len(x))
    tenth = len(x) // 10
    cuts = [len(x) - 2 * tenth, len(x) - tenth]
    return np.split(x[order], cuts), None if y is None else np.split(y.reshape(-1)[order], cuts)


def plain_pair(path):
    """Labels y beside one array of any name, or that alone."""
    with np.load(path, allow_pickle=False) as arrays:
        if arrays.files == ["y"]:
            return arrays["y"], None
        (name,) = set(arrays.files) - {"y"}
        return arrays[name], arrays["y"]


def plain_labelled(path):
    """A table whose last column is headed class, as words that are sorted or as numbers."""
    lines = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().split("\n")]
    heads, *lines = [line for line in lines if "".join(line).strip()]
    at = [head.strip().lower() for head in heads].index("class")
    words = [line.pop(at).strip() for line in lines]
    if all(map(is_number, words)):
        y = np.array([float(word) for word in words])
    else:
        y = np.searchsorted(sorted(set(words)), words)
    return np.array([[float(word.strip()) for word in line] for line in lines]), y


class Note:
    """Stands for anything that a pickle names."""

    def __init__(self, *args):
        self.args, self.state = args, None

    def __setstate__(self, state):
        self.state = state


class Plain(pickle._Unpickler):
    """The standard library's own machine, in Python; arrays and frames are notes."""

    def find_class(self, module, name):
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode(encoding)
        return type("Named", (Note,), {"named": (module, name)})

    dispatch = pickle._Unpickler.dispatch | {pickle.FRAME[0]: lambda self: self.read(8)}  # a hint


def plain_pickle(path):
    return Plain(io.BytesIO(path.read_bytes()), encoding="latin1").load()


def as_bytes(text):
    return text.encode("latin1") if isinstance(text, str) else text


def plain_array(note):
    _, shape, kind, by_columns, content = note.state
    dtype = np.dtype(kind.args[0]).newbyteorder(kind.state[1])
    x = np.frombuffer(as_bytes(content), dtype)
    return x.reshape(shape, order="F" if by_columns else "C")


def either(told, key):
    return told[key] if key in told else told[key.encode()]


def read_batch(path):
    told = plain_pickle(path)
    return plain_array(either(told, "data")), np.array(either(told, "labels"))


def read_rows(path):
    rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 3073)
    return rows[:, 1:], rows[:, 0]


def plain_cifar(batches):
    *train, (x_test, y_test) = batches
    x, y = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    n = len(x) - len(x) // 10
    parts = [x[:n], x[n:], x_test]
    parts = [p.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for p in parts]
    return parts, [y[:n], y[n:], y_test]


def read_frame(path):
    told = plain_pickle(path).state
    _, blocks, indices = (told.get("_data") or told["_mgr"]).state[:3]
    columns = {}
    for block, index in zip(blocks, indices, strict=True):
        labels = index.args[1]["data"]
        labels = labels.state[4] if isinstance(labels, Note) else labels
        columns |= dict(zip(labels, plain_array(block), strict=True))
    return columns


# --- how a file changes ------------------------------------------------------------------------


def mutate(content: bytes, rng) -> bytes:
    """One to three changes, more often near the start, where sizes stand."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        end = min(len(content), 300) if rng.random() < 0.6 else len(content)
        at = int(rng.integers(end + 1))
        span = int(rng.integers(1, 1 + rng.choice(list(SPAN.values()))))
        width = int(rng.choice([1, 2, 4, 8]))
        other = int(rng.integers(len(content) + 1))
        way = rng.integers(10)
        if way == 0 and at < len(content):
            content[at] ^= 1 << rng.integers(8)
        elif way == 1 and at < len(content):
            content[at] = rng.integers(256)
        elif way == 2:
            del content[at : at + span]
        elif way == 3:
            content[at:at] = rng.bytes(span)
        elif way == 4:
            content[at:at] = content[other : other + span]
        elif way == 5:
            content[at : at + span] = bytes(span)
        elif way == 6:
            number = int(rng.choice(NUMBERS)) % 256**width
            content[at : at + width] = number.to_bytes(width, rng.choice(["little", "big"]))
        elif way == 7:
            content[at:at] = WORDS[rng.integers(len(WORDS))]
        elif way == 8:
            content[at : at + width] = content[other : other + width]
        elif way == 9 and rng.random() < 0.3:
            del content[at:]
    return bytes(content)


def reword(content: bytes, rng) -> bytes:
    """Of a text in ASCII, numbers in words: sizes in a head, kinds, and cells of a table."""
    words = (b"0", b"-1", b"9", b"10", b"2147483648", b"99999999999999999999", b"True", b"1.5")
    words += (b"|O", b"<f8", b">i2", b"<c16", b"<U3", b"?", b"(2,)u1", *WORDS)
    digits = [i for i, c in enumerate(content[:400]) if chr(c).isalnum()]
    at = int(rng.choice(digits)) if digits else 0
    return content[:at] + words[rng.integers(len(words))] + content[at + 1 :]


def recode(content: bytes, rng) -> bytes:
    """Opcodes of a pickle dropped, doubled, exchanged or replaced by those of another kind."""
    starts = [at for _, _, at in pickletools.genops(content)]
    ops = [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]
    for _ in range(rng.integers(1, 4)):
        i, j = (int(k) for k in rng.integers(len(ops), size=2))
        way = rng.integers(6)
        if way == 0:
            del ops[i]
        elif way == 1:
            ops[i:i] = ops[j : j + int(rng.integers(1, 8))]
        elif way == 2:
            ops[i], ops[j] = ops[j], ops[i]
        elif way == 3:
            known = pickletools.opcodes[rng.integers(len(pickletools.opcodes))].code
            ops[i] = known.encode("latin1") + ops[i][1:]
        elif way == 4:
            extra = (
                b"N",
                b"0",
                b"2",
                b"(",
                b"1",
                b"]",
                b"}",
                b")",
                b"\x85",
                b"\x88",
                b"K\xff",
                b"b",
                b"R",
            )
            ops[i:i] = [extra[rng.integers(len(extra))]] * int(rng.choice([1, 1, 2, 3000]))
        elif way == 5:
            ops[i] = ops[i][:1] + mutate(ops[i][1:], rng) if len(ops[i]) > 1 else ops[i]
        if not ops:
            break
    return b"".join(ops)


def forge(name: str, content: bytes, rng) -> bytes:
    """A file changed as it is, or what it holds changed and packed again."""
    inside = rng.random() < 0.7
    if name.endswith(".npz") and inside:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
        chosen = str(rng.choice(list(members)))
        if rng.random() < 0.1:
            members[str(rng.choice(NAMES))] = members.pop(chosen)
        else:
            members[chosen] = inner(members[chosen], rng)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, told in members.items():
                archive.writestr(member, told)
        return file.getvalue()
    if name.endswith(".gz") and inside:
        return gzip.compress(inner(gzip.decompress(content), rng))
    if content[:1] in (b"\x80", b"(") and inside:
        return recode(content, rng)
    return inner(content, rng)


def inner(content, rng):
    return reword(content, rng) if rng.random() < 0.3 else mutate(content, rng)


# --- judging -----------------------------------------------------------------------------------


class Hang(BaseException):
    pass


def wrong(data, target, folder) -> str | None:
    """What an accepted set has that no plain reader of the same files would say."""
    row = ROWS.get(data.name, data.train.shape[1:])
    for split in SPLITS:
        x = getattr(data, split)
        if x.dtype != (np.float32 if data.num_levels is None else np.int32) or x.shape[1:] != row:
            return f"{split} is {x.dtype} {x.shape}"
        if data.num_levels and not (x.min() >= 0 and x.max() < data.num_levels):
            return f"{split} is beyond its levels"
        if not len(x) or not np.isfinite(x).all():
            return f"{split} is not finite"
        y = None if data.labels is None else data.labels[split]
        if y is not None and not (
            len(y) == len(x) and y.min() >= 0 and (y < CLASSES.get(data.name, 2**24)).all()
        ):
            return f"labels of {split} are beyond their classes"
    try:
        parts, labels = target.plain(folder)
    except Exception as error:
        return f"a plain reader refuses it: {error!r}"[:300]
    for split, x in zip(SPLITS, parts, strict=True):
        if not np.array_equal(getattr(data, split), np.asarray(x, getattr(data, split).dtype)):
            return f"{split} differs from a plain reader's"
    for split, y in zip(SPLITS, labels or (), strict=labels is not None):
        if not np.array_equal(data.labels[split], y):
            return f"labels of {split} differ from a plain reader's"
    return None


def judge(target, folder, changed) -> tuple[str, str]:
    """(verdict, what was told) of a folder with one changed file."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        data = target.load(folder)
    except checks.InputError as error:
        told = str(error)
        if "does not fit into memory" in told:
            return "memory", told
        named = any(place in told for place in (*changed.split("/"), *ROWS))
        return ("refused" if named and a_line(told) else "unnamed"), told
    except OSError as error:
        return ("refused" if a_line(str(error)) else "bare"), str(error)
    except Hang:
        return "hang", "".join(traceback.format_stack()[-3:])
    except BaseException:
        return "bare", traceback.format_exc()[-2000:]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    told = wrong(data, target, folder)
    return ("read", "") if told is None else ("wrong", told)


def a_line(told):
    return told.isprintable() and len(told) < 2000


def stop(*_):
    raise Hang


def main(target: str, seed: int, num: int, keep: str | None) -> dict:
    rng = np.random.default_rng(seed)
    chosen = targets(np.random.default_rng(0))[target]
    verdicts, told = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, content in chosen.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        sound = judge(chosen, folder, next(iter(chosen.files)))
        assert sound == ("read", ""), sound
        for i in range(num):
            name = str(rng.choice(list(chosen.files)))
            content = forge(name, chosen.files[name], rng)
            (folder / name).write_bytes(content)
            if keep:  # what the program dies of is the last file there
                Path(keep).write_bytes(content)
            verdict, what = judge(chosen, folder, name)
            verdicts[verdict] += 1
            if verdict not in ("refused", "read"):
                told.append(f"{target} {seed} {i} {name}: {verdict}: {what}")
            (folder / name).write_bytes(chosen.files[name])
    return {"verdicts": verdicts, "told": told[:5]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--keep")
    options = parser.parse_args()
    warnings.simplefilter("error")
    formats.MOST_BYTES = MOST_BYTES
    load("digits")  # what is imported late
    signal.signal(signal.SIGALRM, stop)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for each in options.target or targets(np.random.default_rng(0)):
        found = main(each, options.seed, options.num, options.keep)
        print(json.dumps({"target": each} | found), flush=True)
    sys.stdout.flush()
    os._exit(0)
