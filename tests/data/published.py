"""Small files in the formats of the published sets, as bytes."""

import pickle
import pickletools
import struct
import sys
import types

import numpy as np


def idx(x) -> bytes:
    return bytes([0, 0, 8, x.ndim]) + struct.pack(f">{x.ndim}i", *x.shape) + x.tobytes()


def cifar_pickle(rows, labels) -> bytes:
    """The opcodes of the published files: protocol 2, byte strings of Python 2."""
    return (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K" + bytes([len(rows)]) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<i", rows.nbytes) + rows.tobytes() + b"tb"
        b"U\x06labelsq\x03](" + b"".join(b"K" + bytes([label]) for label in labels) + b"eu."
    )


def frame_pickle(columns, *, names=None, axis=None, blocks=None, items=None) -> bytes:
    """A DataFrame as pandas 0.19 pickles it, in protocol 2: a block manager's state.

    One block of all columns, if no others are given: arrays, and the names of each.
    """
    made = []

    def stand_in(module, name, **methods):
        cls = type(name, (), methods | {"__module__": module})
        parts = module.split(".")
        for package in (".".join(parts[: i + 1]) for i in range(len(parts))):
            if package not in sys.modules:
                made.append(package)
                sys.modules[package] = types.ModuleType(package)
        setattr(sys.modules[module], name, cls)
        return cls

    def new_index(cls, told):
        raise AssertionError("nothing of the file is run")

    new_index.__module__, new_index.__qualname__ = "pandas.indexes.base", "new_index"
    index_type = stand_in("pandas.indexes.base", "Index")
    sys.modules["pandas.indexes.base"].new_index = new_index
    index_type.__reduce__ = lambda self: (
        new_index,
        (index_type, {"data": self.data, "name": None}),
    )

    def index(labels):
        it = index_type()
        it.data = np.array(list(labels), dtype=object)
        return it

    names = list(columns) if names is None else names
    blocks = [np.stack(list(columns.values()))] if blocks is None else blocks
    items = [index(labels) for labels in ([names] if items is None else items)]
    axes = [index(names if axis is None else axis), index(range(3))]
    places = [{"values": block, "mgr_locs": slice(0, 1, 1)} for block in blocks]
    state = (axes, blocks, items, {"0.14.1": {"axes": axes, "blocks": places}})
    manager = stand_in("pandas.core.internals", "BlockManager", __getstate__=lambda self: state)()
    told = {"_data": manager, "_typ": "dataframe", "_metadata": []}
    frame = stand_in("pandas.core.frame", "DataFrame", __getstate__=lambda self: told)()
    try:
        return pickle.dumps(frame, protocol=2)
    finally:
        for package in made:
            del sys.modules[package]


def python_2(content: bytes) -> bytes:
    """The same pickle with its short text as byte strings, as Python 2 wrote that."""
    ops = list(pickletools.genops(content))
    ends = [at for _, _, at in ops[1:]] + [len(content)]
    changed = b""
    for (op, arg, at), end in zip(ops, ends, strict=True):
        text = arg.encode() if op.name == "BINUNICODE" else None
        short = text is not None and 1 < len(text) < 20 and text.isascii() and arg != "latin1"
        changed += b"U" + bytes([len(text)]) + text if short else content[at:end]
    return changed
