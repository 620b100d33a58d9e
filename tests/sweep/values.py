"""Values that nobody should give, and kinds of arguments: which of them each kind may take.

A kind says of any value what is right for it: REFUSED, or the canonical value whose result must
come out. So np.int64(2) and 2 are the same where an integer is wanted, and True is neither.
"""

import enum
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Right(enum.Enum):
    """What must come of a value that has no canonical one."""

    REFUSED = "an error that names the argument"
    SEEN = "an error, or NaN in the result"
    EITHER = "an error, or any result: of what nobody can call wrong, such as no rows"


REFUSED, SEEN, EITHER = Right


class Broken:
    def __repr__(self):
        return "Broken()"


VALUES = {
    "None": None,
    "True": True,
    "False": False,
    "numpy's True": np.bool_(True),
    "0": 0,
    "1": 1,
    "2": 2,
    "-1": -1,
    "beyond 64 bits": 10**30,
    "2.0": 2.0,
    "0.5": 0.5,
    "-0.5": -0.5,
    "NaN": math.nan,
    "infinity": math.inf,
    "-infinity": -math.inf,
    "complex": 1j,
    "np.int64(2)": np.int64(2),
    "np.uint8(2)": np.uint8(2),
    "np.float32(0.5)": np.float32(0.5),
    "np.float64(0.5)": np.float64(0.5),
    "np.float32(nan)": np.float32("nan"),
    "integer of no axes": np.array(2),
    "number of no axes": jnp.asarray(0.5),
    "vector of one integer": np.array([2]),
    "vector of two numbers": np.array([0.5, 0.5], np.float32),
    "NaNs": np.full(3, np.nan, np.float32),
    "no numbers": np.zeros(0, np.float32),
    "five axes": np.ones((1, 2, 1, 2, 5), np.float32),
    "objects": np.array([None, {}], object),
    "words": np.array(["a", "b"]),
    "text": "abc",
    "number as text": "2",
    "no text": "",
    "bytes": b"abc",
    "no list": [],
    "no tuple": (),
    "list of integers": [2, 2],
    "tuple of fractions": (0.5, 2.0),
    "tuple with -1": (2, -1),
    "tuple with 0": (0, 2),
    "tuple with True": (True, 2),
    "nested lists": [[2], [2, 3]],
    "dict": {"a": 2},
    "set": {2},
    "function": lambda *args: args,
    "type": int,
    "object": Broken(),
    "legacy key": np.array([0, 1], np.uint32),
    "keys": jax.random.split(jax.random.key(7), 2),
}


class Kind(NamedTuple):
    canonical: Callable[[Any], Any]  # value -> REFUSED, SEEN, EITHER, or the canonical value
    more: Callable[[Any], dict[str, Any]] = lambda good: {}  # values made of a good one


def is_whole(v):
    return isinstance(v, (int, np.integer)) and not isinstance(v, (bool, np.bool_))


def is_real(v):
    return (is_whole(v) or isinstance(v, (float, np.floating))) and math.isfinite(v)


def whole(least: int = 1, most: float = 2**31 - 1) -> Kind:
    return Kind(lambda v: int(v) if is_whole(v) and least <= v <= most else REFUSED)


SEED = whole(0, math.inf)


def real(fits: Callable[[float], bool]) -> Kind:
    return Kind(lambda v: float(v) if is_real(v) and fits(float(v)) else REFUSED)


POSITIVE, NOT_NEGATIVE = real(lambda v: v > 0), real(lambda v: v >= 0)
SHARE, INSIDE = real(lambda v: 0 <= v < 1), real(lambda v: 0 < v < 1)
NUMBER = real(lambda v: True)
WEIGHT = Kind(  # a number of at least 0, or an array of one, as a schedule of the step makes
    lambda v: EITHER if isinstance(v, jax.Array) else NOT_NEGATIVE.canonical(v)
)
FLAG = Kind(lambda v: bool(v) if isinstance(v, (bool, np.bool_)) else REFUSED)
TEXT = Kind(lambda v: v if isinstance(v, str) else REFUSED)
FUNCTION = Kind(lambda v: v if callable(v) else REFUSED)
ANYTHING = Kind(lambda v: EITHER)


def path(v):
    return v if isinstance(v, (str, Path)) and str(v) else REFUSED


PATH = Kind(path)


def choice(*options: str) -> Kind:
    return Kind(
        lambda v: v if isinstance(v, str) and v in options else REFUSED,
        lambda good: {"misspelt": options[0][:-1] + "_", "in capitals": options[0].upper()},
    )


def noun(make: Callable | None = None) -> Kind:
    """An object that none of the values is; `make`, its constructor, has not been called."""
    return Kind(lambda v: REFUSED, lambda good: {"not called": make} if make else {})


def optional(kind: Kind) -> Kind:
    return kind._replace(canonical=lambda v: None if v is None else kind.canonical(v))


def _sizes(v, least):
    array = isinstance(v, np.ndarray) and v.ndim == 1 and v.dtype.kind in "iu"
    if not array and not isinstance(v, (tuple, list, range)):
        return None
    return tuple(map(int, v)) if all(is_whole(n) and n >= least for n in v) else None


def sizes(least: int = 1, fewest: int = 0, most: float = math.inf) -> Kind:
    def canonical(v):
        found = _sizes(v, least)
        return REFUSED if found is None or not fewest <= len(found) <= most else found

    return Kind(canonical)


WIDTHS = sizes()
SHAPE = sizes(fewest=1)
IMAGE = sizes(fewest=3, most=3)
COND_SHAPE = Kind(lambda v: None if v is None else _cond_shape(v))


def _cond_shape(v):
    return SHAPE.canonical(v) if isinstance(v, (tuple, list)) else REFUSED


def or_one(kind: Kind, least: int = 1) -> Kind:
    """A number, or a sequence of them."""

    def canonical(v):
        one = whole(least).canonical(v)
        return kind.canonical(v) if one is REFUSED else one

    return Kind(canonical)


def permutation(dim: int) -> Kind:
    def canonical(v):
        found = _sizes(v, 0)
        return found if found is not None and sorted(found) == list(range(dim)) else REFUSED

    return Kind(
        canonical,
        lambda good: {
            "repeated": [0] * dim,
            "too long": list(range(dim + 1)),
            "fractions": [float(i) for i in range(dim)],
            "an array": np.arange(dim),
        },
    )


def mask(dim: int) -> Kind:
    def canonical(v):
        read = isinstance(v, (np.ndarray, list, tuple)) and np.asarray(v, object).shape == (dim,)
        bools = read and all(isinstance(b, (bool, np.bool_)) for b in v)
        return tuple(v) if bools and 0 < sum(v) < dim else REFUSED

    return Kind(
        canonical,
        lambda good: {
            "all": [True] * dim,
            "none": [False] * dim,
            "too long": [True] * dim + [False],
            "integers": [1] + [0] * (dim - 1),
            "an array": np.arange(dim) % 2 == 0,
        },
    )


KEY = Kind(lambda v: REFUSED, lambda good: {"an integer": 0, "a legacy key": np.uint32([0, 1])})


def is_array(v):
    return isinstance(v, (jax.Array, np.ndarray, np.generic))


def kind_of(v):
    """f, i, b or another letter; of bfloat16 too."""
    if not is_array(v):
        return "?"
    for letter, kind in (("f", jnp.floating), ("i", jnp.integer), ("b", jnp.bool_)):
        if jnp.issubdtype(v.dtype, kind):
            return letter
    return "?"


def arrays(
    kinds: str,
    *,
    event: int | None = None,
    lists: bool = False,
    numbers: bool = False,
    nan: Right = SEEN,
) -> Kind:
    """Arrays of these kinds of numbers ("f" floating, "i" integer, "b" boolean).

    What is made of a good one: its last `event` axes may not change (all of them where it is
    None). lists: lists of numbers are read as arrays. numbers: one number is an array of no axes.
    nan: what is right where one number is NaN.
    Of arrays among VALUES, which have other shapes, an error or any result will do.
    """

    def canonical(v):
        if kind_of(v) != "?" and kind_of(v) in kinds:
            return EITHER
        if lists and isinstance(v, (list, tuple)) and len(v):
            return EITHER
        if lists and isinstance(v, bool):
            return EITHER
        if numbers or lists:
            letter = "i" if is_whole(v) else "f" if isinstance(v, float) else "?"
            return EITHER if letter in kinds else REFUSED
        return REFUSED

    return Kind(canonical, lambda good: variants(good, kinds, event, lists, nan))


class Given(NamedTuple):
    """A value with what is right for it, where its kind cannot tell."""

    value: Any
    right: Any


def variants(good, kinds, event, lists, nan) -> dict[str, Given]:
    host = np.asarray(good)
    ok = {letter: REFUSED for letter in "fib"} | dict.fromkeys(kinds, EITHER)
    found = {
        "a list": Given(host.tolist(), np.asarray(host.tolist()) if lists else REFUSED),
        "of numpy": Given(host, good),
        "floats": Given(host.astype(np.float32), ok["f"]),
        "half": Given(host.astype(np.float16), ok["f"]),
        "integers": Given(np.round(host).astype(int), ok["i"]),
        "booleans": Given(host.astype(bool), ok["b"]),
        "complex": Given(host.astype(complex), REFUSED),
        "strings": Given(host.astype(str), REFUSED),
        "objects": Given(host.astype(object), REFUSED),
        "a shape": Given(jax.ShapeDtypeStruct(host.shape, host.dtype), REFUSED),
        "a tuple of it": Given((host, host), EITHER if lists else REFUSED),
    }
    if "f" in kinds:
        broken = np.array(host, np.float32)
        broken.reshape(-1)[host.size // 3] = np.nan  # of a triangle within it
        found["NaN in it"] = Given(broken, nan)
        found["all infinite"] = Given(np.full(host.shape, np.inf, np.float32), EITHER)
    if event != 0 and host.ndim:
        wrong = REFUSED if event != -1 else EITHER
        found["longer"] = Given(np.concatenate([host, host[..., :1]], -1), wrong)
        found["shorter"] = Given(host[..., :-1], wrong)
        found["without an axis"] = Given(host.reshape(-1)[0], wrong)
    return found


FLOATS, LEVELS = arrays("f"), arrays("i")
