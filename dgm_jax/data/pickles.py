"""Pickles of arrays and data frames, read by an interpreter that cannot run code.

A pickle is a program: it may name any callable of any module, and call it with arguments. This
interpreter knows only the opcodes for containers, numbers and text. Whatever else a pickle names
becomes a note, `Made(name, args, state)`, from which `array` reads numpy's arrays. Nothing is
looked up, called or restored; even `ndarray.__setstate__` would read the bytes of a file as
addresses if the file said that they were objects.

Time and memory are bounded by the file, which may have MOST_STEPS opcodes: no allocation depends on
a number stated in the file, keys must be text, and nothing recurses into nested or shared values.
"""

import codecs
import math
import pickle
import struct
from collections.abc import Callable
from pickletools import opcodes
from typing import Literal

import numpy as np

from .. import checks

PLAIN = {
    code: np.dtype(code)
    for code in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
}
"""The kinds of numbers that are read: booleans, integers and floats of up to eight bytes."""

MOST_STEPS = 2**20
"""Opcodes of a pickle, each of which may make an object; a published file has some 30,000."""

ARRAYS = {
    *(("numpy", kind) for kind in ("ndarray", "dtype")),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    ("_codecs", "encode"),  # how Python 3 writes bytes in protocol 2
}
SLICES = {(module, "slice") for module in ("__builtin__", "builtins")}
OP = {opcode.name: ord(opcode.code) for opcode in opcodes}
STOP = OP["STOP"]
SHORT = 2**16  # bytes that are copied out of a file


class Made:
    """What a pickle would have made: a name, called with arguments, then given a state."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: tuple[str, str], args: tuple):
        self.name, self.args, self.state = name, args, None


def read(content: bytes, *, pandas: bool = False) -> object:
    """The object in a pickle, without running it: containers, numbers, text and bytes as they are.

    Any other object, such as an array of numpy, becomes a `Made`: a note of what would have been
    called with which arguments. `array`, `names` and `frame` read those. Text written by Python 2
    is returned as bytes, because its encoding is not known.

    content: the bytes of the pickle; pandas: whether it may name classes and functions of pandas,
    for data frames, besides those that numpy uses for arrays.

    Raises `InputError` if it names anything else or has more than `MOST_STEPS` opcodes, and
    `pickle.UnpicklingError`, with the position in bytes, if it is damaged.
    """
    machine = _Machine(content, pandas)
    try:
        for _ in range(MOST_STEPS):
            code = content[machine.at]
            machine.at += 1
            if code == STOP:
                ((result,),) = *machine.below, machine.stack
                return result
            _ACTIONS[code](machine)
    except checks.InputError:
        raise
    except Exception as error:  # an operand that ends early, a stack that is empty, ...
        told = f"no pickle of arrays, at byte {machine.at}"
        raise pickle.UnpicklingError(told) from error
    raise checks.InputError(f"a pickle of more than {MOST_STEPS} steps")


def array(made: object) -> np.ndarray:
    """A numeric array that numpy pickled: its shape, dtype and bytes, in native byte order.

    The array is read-only unless it was copied. InputError if the bytes do not fill the shape.
    """
    shape, kind, by_columns, content = _state(made)
    code, order = _kind(kind)
    if code not in PLAIN or not isinstance(content, (bytes, memoryview)):
        raise checks.InputError(f"an array of {code!r} in it holds no plain numbers")
    dtype = PLAIN[code].newbyteorder(order)  # that of a byte has none
    if math.prod(shape) * dtype.itemsize != len(content):
        raise checks.InputError(f"{len(content)} bytes in it are no array {shape} of {code}")
    x = np.frombuffer(content, dtype)
    if code == "b1" and (x.view("u1") > 1).any():
        raise checks.InputError("an array of booleans in it holds others than 0 and 1")
    x = x.reshape(shape, order="F" if by_columns else "C")
    return x.astype(PLAIN[code], order="C", copy=False)


def names(told: object) -> list[str]:
    """A list of strings, or an array of strings that numpy pickled."""
    if isinstance(told, Made):
        shape, kind, _, told = _state(told)
        if _kind(kind)[0] not in ("O4", "O8") or not isinstance(told, list):
            raise checks.InputError("names in it are an array of something else")
        if shape != (len(told),):
            raise checks.InputError(f"{len(told)} names in it are said to be {shape}")
    if not isinstance(told, list) or not all(isinstance(name, (str, bytes)) for name in told):
        raise checks.InputError("names in it are no list of text")
    return [_text(name) for name in told]


def frame(made: object, most: int) -> dict[str, np.ndarray]:
    """{column: array} of a pandas.DataFrame that pandas before 1.3 pickled.

    Its state is (axes, blocks, items, ...): arrays [c, n], and the names of the c columns of each.
    most: the largest number of bytes of all columns together.
    """
    told = _told(made)  # {"_data": the block manager, ...}
    state = _told(item(told, "_data") or item(told, "_mgr"))
    if not isinstance(state, tuple) or not all(type(part) is list for part in state[:3]):
        raise checks.InputError("no data frame of pandas before 1.3")
    axes, blocks, indices = state[:3]
    columns = {}
    for block, index in zip(blocks, indices, strict=True):
        x, labels = array(block), _labels(index)
        most -= x.nbytes
        if x.ndim != 2 or len(x) != len(labels) or most < 0:
            raise checks.InputError(f"a block {x.shape} in it is not of {len(labels)} columns")
        columns |= dict(zip(labels, x, strict=True))
    if not axes or sorted(columns) != sorted(_labels(axes[0])):
        raise checks.InputError("its blocks have other columns than it names")
    if len({len(x) for x in columns.values()}) != 1:
        raise checks.InputError("its columns are of unequal length")
    return columns


def item(told: object, key: str) -> object:
    """A value of a dict, by its key as Python 3 or 2 wrote it; None if there is none."""
    return told.get(key, told.get(key.encode())) if isinstance(told, dict) else None


def _told(made):
    return made.state if isinstance(made, Made) else None


def _labels(index) -> list[str]:
    """Of an index, which was told {"data": names}."""
    for part in index.args if isinstance(index, Made) else ():
        if (told := item(part, "data")) is not None:
            return names(told)
    raise checks.InputError(f"{_called(index)} stands where names of columns are due")


def _state(made) -> tuple:
    """Of an array: its shape, the note of its kind, whether it lies by columns, and its content."""
    if not isinstance(made, Made) or made.name[1] != "_reconstruct" or made.state is None:
        raise checks.InputError(f"{_called(made)} stands where an array is due")
    if not isinstance(made.state, tuple) or len(made.state) != 5:
        raise checks.InputError("an array in it has a state of another version of numpy")
    _, shape, kind, by_columns, content = made.state
    sizes = shape if isinstance(shape, tuple) else (None,)
    if len(sizes) > 32 or not all(type(n) is int and 0 <= n < 2**63 for n in sizes):
        raise checks.InputError("an array in it has no shape")
    return shape, kind, bool(by_columns), content


def _kind(made) -> tuple[str, Literal["<", ">", "|"]]:
    """Of a dtype: its code, such as "f8", and its byte order, such as "<"."""
    is_kind = isinstance(made, Made) and made.name == ("numpy", "dtype")
    if not is_kind or not made.args or not isinstance(made.state, tuple) or len(made.state) < 2:
        raise checks.InputError(f"{_called(made)} stands where the kind of an array is due")
    code, order = made.args[0], made.state[1]
    if not all(isinstance(word, (str, bytes)) for word in (code, order)):
        raise checks.InputError("an array in it is of no kind that has a name")
    order = _text(order)
    if order not in ("<", ">", "|"):
        raise checks.InputError("an array in it has no byte order")
    return _text(code)[:80], order


def _called(made) -> str:
    return ascii(".".join(made.name)[:80]) if isinstance(made, Made) else type(made).__name__


def _text(word) -> str:
    return word.decode("latin1") if isinstance(word, bytes) else word


# --- the machine ------------------------------------------------------------------------------


class _Machine:
    def __init__(self, content, pandas):
        self.content, self.view, self.pandas = content, memoryview(content), pandas
        self.at, self.stack, self.below, self.memo = 0, [], [], {}

    def take(self, num) -> bytes | memoryview:
        """The next bytes of the file; not copied where they are many."""
        if not 0 <= num <= len(self.content) - self.at:
            raise EOFError
        self.at += num
        whole = self.content if num < SHORT else self.view
        return whole[self.at - num : self.at]

    def line(self) -> bytes:
        start, end = self.at, self.content.index(b"\n", self.at)
        self.at = end + 1
        return self.content[start:end]

    def number(self, form) -> int | float:
        (value,) = form.unpack_from(self.content, self.at)
        self.at += form.size
        return value

    def counted(self, form) -> bytes | memoryview:
        """Bytes, after how many they are."""
        return self.take(self.number(form))

    def since_mark(self) -> list:
        items, self.stack = self.stack, self.below.pop()
        return items

    def named(self, module, name):
        """A name, never what it stands for: an error if it is no part of an array."""
        known = (module, name) in ARRAYS
        if self.pandas:
            known |= (module, name) in SLICES or module.partition(".")[0] == "pandas"
        if not known:
            what = ascii(f"{module}.{name}"[:80])
            raise checks.InputError(f"it names {what}, which is no part of an array")
        self.stack.append(_Name((module, name)))


class _Name(tuple):
    """(module, name), apart from the tuples of a pickle."""

    __slots__ = ()


def _protocol(machine):
    if machine.number(B1) > pickle.HIGHEST_PROTOCOL:
        raise ValueError


def _push(value: Callable) -> Callable:
    def action(machine):
        made = value(machine)  # which may end or begin a stack
        machine.stack.append(made)

    return action


def _constant(value) -> Callable:
    return lambda machine: machine.stack.append(value)


def _mark(machine):
    machine.below.append(machine.stack)
    machine.stack = []


def _call(machine):
    """REDUCE and NEWOBJ: a note of a name and its arguments."""
    args, name = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, _Name) or type(args) is not tuple:
        raise TypeError
    if name == ("_codecs", "encode"):
        text, encoding = args
        if not isinstance(text, str) or encoding != "latin1":
            raise TypeError
        machine.stack.append(text.encode("latin1"))
    else:
        machine.stack.append(Made(tuple(name), args))


def _build(machine):
    state, made = machine.stack.pop(), machine.stack[-1]
    if not isinstance(made, Made) or made.state is not None:
        raise TypeError
    made.state = state


def _append(machine):
    item = machine.stack.pop()
    _of(machine, list).append(item)


def _appends(machine):
    items = machine.since_mark()
    _of(machine, list).extend(items)


def _set_item(machine):
    value, key = machine.stack.pop(), machine.stack.pop()
    _of(machine, dict).update(_pairs([key, value]))


def _set_items(machine):
    items = machine.since_mark()
    _of(machine, dict).update(_pairs(items))


def _of(machine, kind):
    """The container on top."""
    if type(machine.stack[-1]) is not kind:
        raise TypeError
    return machine.stack[-1]


def _pairs(items) -> dict:
    """Keys are text: a hash of anything nested would walk it, and the program's own stack ends."""
    keys = items[::2]
    if not all(type(key) in (str, bytes) for key in keys) or len(items) % 2:
        raise TypeError
    return dict(zip(keys, items[1::2], strict=True))


def _last(num) -> Callable:
    def action(machine):
        if num > len(machine.stack):
            raise IndexError
        items = machine.stack[len(machine.stack) - num :]
        machine.stack[len(machine.stack) - num :] = [tuple(items)]

    return action


def _put(place: Callable) -> Callable:
    def action(machine):
        at = place(machine)
        if at < 0:
            raise ValueError
        machine.memo[at] = machine.stack[-1]

    return action


def _global(machine):
    machine.named(machine.line().decode(), machine.line().decode())


def _stack_global(machine):
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(module) is not str or type(name) is not str:
        raise TypeError
    machine.named(module, name)


def _whole(line) -> int | bool:
    """INT and LONG of protocol 0: 01 and 00 are booleans."""
    return line == b"01" if line in (b"00", b"01") else int(line.removesuffix(b"L"))


def _quoted(line) -> bytes:
    quote = line[:1]
    if len(line) < 2 or quote not in (b"'", b'"') or line[-1:] != quote:
        raise ValueError
    return codecs.escape_decode(line[1:-1])[0]


B1, B2, I4, U4, U8, F8 = map(struct.Struct, ("<B", "<H", "<i", "<I", "<Q", ">d"))


def _utf8(form) -> Callable:
    return _push(lambda machine: str(machine.counted(form), "utf-8", "surrogatepass"))


def _signed(form) -> Callable:
    return _push(lambda machine: int.from_bytes(machine.counted(form), "little", signed=True))


_ACTIONS = {
    OP[name]: action
    for name, action in {
        "PROTO": _protocol,
        "FRAME": lambda machine: machine.number(U8),
        # numbers
        "NONE": _constant(None),
        "NEWTRUE": _constant(True),
        "NEWFALSE": _constant(False),
        "BININT1": _push(lambda machine: machine.number(B1)),
        "BININT2": _push(lambda machine: machine.number(B2)),
        "BININT": _push(lambda machine: machine.number(I4)),
        "LONG1": _signed(B1),
        "LONG4": _signed(I4),
        "BINFLOAT": _push(lambda machine: machine.number(F8)),
        "INT": _push(lambda machine: _whole(machine.line())),
        "LONG": _push(lambda machine: _whole(machine.line())),
        "FLOAT": _push(lambda machine: float(machine.line())),
        # text and bytes
        "SHORT_BINSTRING": _push(lambda machine: machine.counted(B1)),
        "BINSTRING": _push(lambda machine: machine.counted(I4)),
        "SHORT_BINBYTES": _push(lambda machine: machine.counted(B1)),
        "BINBYTES": _push(lambda machine: machine.counted(U4)),
        "BINBYTES8": _push(lambda machine: machine.counted(U8)),
        "STRING": _push(lambda machine: _quoted(machine.line())),
        "SHORT_BINUNICODE": _utf8(B1),
        "BINUNICODE": _utf8(U4),
        "BINUNICODE8": _utf8(U8),
        "UNICODE": _push(lambda machine: machine.line().decode("raw-unicode-escape")),
        # containers; an empty one is a new one each time
        "MARK": _mark,
        "EMPTY_LIST": _push(lambda machine: []),
        "LIST": _push(lambda machine: machine.since_mark()),
        "APPEND": _append,
        "APPENDS": _appends,
        "EMPTY_DICT": _push(lambda machine: {}),
        "DICT": _push(lambda machine: _pairs(machine.since_mark())),
        "SETITEM": _set_item,
        "SETITEMS": _set_items,
        "EMPTY_TUPLE": _constant(()),
        "TUPLE": _push(lambda machine: tuple(machine.since_mark())),
        **{f"TUPLE{num}": _last(num) for num in (1, 2, 3)},
        # what was there before
        "POP": lambda machine: machine.stack.pop(),
        "POP_MARK": lambda machine: machine.since_mark(),
        "DUP": _push(lambda machine: machine.stack[-1]),
        "PUT": _put(lambda machine: int(machine.line())),
        "BINPUT": _put(lambda machine: machine.number(B1)),
        "LONG_BINPUT": _put(lambda machine: machine.number(U4)),
        "MEMOIZE": _put(lambda machine: len(machine.memo)),
        "GET": _push(lambda machine: machine.memo[int(machine.line())]),
        "BINGET": _push(lambda machine: machine.memo[machine.number(B1)]),
        "LONG_BINGET": _push(lambda machine: machine.memo[machine.number(U4)]),
        # names, and what is made of them
        "GLOBAL": _global,
        "STACK_GLOBAL": _stack_global,
        "REDUCE": _call,
        "NEWOBJ": _call,
        "BUILD": _build,
    }.items()
}
