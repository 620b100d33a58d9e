"""Checks of arguments: each raises one line that names the argument, its value and the remedy.

The checks look at shapes, dtypes and Python values. They run before anything is compiled and cost
nothing under `jit`. Those that need the numbers themselves (`finite_rows`, `within`, `moments`,
`positive_definite`) read them only where they are known on this host (`readable`).
"""

import difflib
import functools
import inspect
import math
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

P = ParamSpec("P")
R = TypeVar("R")
Kind = TypeVar("Kind")

LARGEST = 2**31 - 1  # of what is counted: sizes and steps are int32 on the devices


class InputError(ValueError):
    """A wrong input that the caller can correct: the message names argument, value and remedy.

    Also a `ValueError`. A command prints the message as one line and exits with `exit_code` 2.
    """

    exit_code = 2


class InputTypeError(InputError, TypeError):
    """An `InputError` for an input of the wrong type, such as an integer in place of a key.

    Also a `TypeError`.
    """


class NoClosedForm(InputError):
    """An `InputError`: there is no closed form for this; the message names the estimate to use."""


def sample_shape(value: Any, name: str = "sample_shape") -> tuple[int, ...]:
    """(n,) of an integer n, or a shape as a tuple of Python integers; sizes of 0 are allowed.

    value: a number of samples or a shape of samples; name: that of the argument, for the error.
        Raises `InputError` for others, such as negative sizes.
    """
    one = isinstance(value, (int, np.integer))
    sizes = (value,) if one else _integers(value, name, "a number or a shape")
    return tuple(positive_int(n, name, least=0) for n in sizes)


def key(value: Any, name: str = "key") -> None:
    """Checks for one typed key, as jax.random.key(seed) makes it; returns nothing.

    value: the argument; name: its name in the error. Integers, legacy uint32 keys and arrays of
        several keys raise `InputTypeError`.
    """
    if not (hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)):
        got = type(value).__name__ if not hasattr(value, "dtype") else f"{value.dtype} array"
        if got == "uint32 array":
            got += ", a legacy key, such as distrax makes of an integer"
        raise InputTypeError(
            f"{name} must be a typed key; got {got}. Make one with jax.random.key(seed)."
        )
    if value.shape != ():
        raise InputTypeError(
            f"{name} must be one key; got keys of shape {value.shape}. "
            "Use jax.vmap for many, or index one."
        )


def shown(value: Any) -> str:
    """A value in one short line, for a message of an error; it never fails.

    An array is shown by its type and shape, a function, a class or a type of `protocol` by its
    name, anything else by its repr, cut at 100 characters.
    """
    if getattr(value, "shape", ()) != ():
        return f"{type(value).__name__} of shape {value.shape}"
    if hasattr(value, "_fields"):  # a noun
        return type(value).__name__
    if hasattr(value, "__qualname__"):  # a function or a class
        return f"{type(value).__name__} {value.__qualname__}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of thousands of digits, a broken __repr__
        text = type(value).__name__
    return text if len(text) <= 100 else text[:97] + "..."


def _kind(value):
    """`shown`, with its type."""
    kind = type(value).__name__
    return shown(value) if kind in shown(value) else f"{kind} {shown(value)}"


def integer(value: Any, name: str, *, least: int = 0, most: int | None = None) -> int:
    """The value as a Python integer, if it is an integer in least..most.

    value: of Python or NumPy (whose integers overflow: np.uint8(100) * 3 is 44); name: that of the
        argument, for the error
    least, most: the bounds, both included; None for no upper bound

    True, 2.0 and others raise `InputError`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be an integer of at least {least}; got {shown(value)}.")
    if most is not None and value > most:
        raise InputError(f"{name} must be an integer of at most {most}; got {shown(value)}.")
    return int(value)


def positive_int(value: Any, name: str, *, least: int = 1) -> int:
    """The value as a Python integer, if it is a count: an integer from `least` to 2³¹ - 1.

    value: of Python or NumPy; name: that of the argument, for the error. Others raise `InputError`.
    """
    return integer(value, name, least=least, most=LARGEST)


def _real(value):
    """A number of Python or NumPy as Python's float; NaN for what is none."""
    kinds = (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def number(value: Any, name: str) -> float:
    """The value as a Python float, if it is a finite number of Python or NumPy, else `InputError`.

    A Python float does not promote the dtype of the arrays that it is combined with.

    value: the argument; name: its name in the error
    """
    if not math.isfinite(_real(value)):
        raise InputError(f"{name} must be a finite number; got {shown(value)}.")
    return _real(value)


def positive(value: Any, name: str) -> float:
    """The value as a Python float, if it is a finite number above 0, else `InputError`.

    value: a number of Python or NumPy, such as a rate, a scale or a tolerance; name: that of the
        argument, for the error
    """
    if not 0 < _real(value) < math.inf:
        raise InputError(f"{name} must be a finite number above 0; got {shown(value)}.")
    return _real(value)


def not_negative(value: Any, name: str) -> float:
    """The value as a Python float, if it is a finite number of at least 0, else `InputError`.

    value: a number of Python or NumPy, such as the weight of a penalty; name: that of the argument,
        for the error
    """
    if not 0 <= _real(value) < math.inf:
        raise InputError(f"{name} must be a finite number of at least 0; got {shown(value)}.")
    return _real(value)


def weight(value: Any, name: str) -> Any:
    """The weight of a term of a loss, if it is a number of at least 0, or a jax array of shape ().

    An array is what a schedule computes in the training step; it is returned as it is, and its
    value is checked only where it is known. Others raise `InputError`.

    value: the argument; name: its name in the error
    """
    if not isinstance(value, jax.Array):
        return not_negative(value, name)
    array(value, name)
    if value.shape:
        raise InputError(f"{name} must be one number; got shape {value.shape}.")
    if readable(value):
        not_negative(value.item(), name)
    return value


def rate(value: Any, name: str) -> float:
    """The value as a Python float, if it is a fraction in [0, 1), such as a dropout rate.

    value: the argument; name: its name in the error. Others raise `InputError`.
    """
    if not 0 <= _real(value) < 1:
        raise InputError(f"{name} must be in [0, 1); got {shown(value)}.")
    return _real(value)


def flag(value: Any, name: str) -> bool:
    """The value as a Python bool, if it is True or False; 1, "no" and None raise `InputError`.

    value: the argument; name: its name in the error
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} must be True or False; got {shown(value)}.")
    return bool(value)


def dtype(value: Any, name: str) -> np.dtype:
    """The value as a NumPy dtype, if it is a floating-point one, such as jnp.bfloat16 or "float32".

    value: the argument; name: its name in the error. Others raise `InputError`.
    """
    try:
        found = jnp.dtype(value) if isinstance(value, (str, type, np.dtype)) else None
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise InputError(f"{name} must be floating, such as jnp.bfloat16; got {shown(value)}.")
    return found


def instance(value: Any, kind: type[Kind], name: str) -> Kind:
    """The value, if it is an object of a class, else `InputError`.

    value: the argument; kind: the class, such as distrax.Bijector; name: that of the argument, for
        the error
    """
    if not isinstance(value, kind):
        what = f"{kind.__module__.partition('.')[0]} {kind.__name__}"
        hint = " Call it first." if isinstance(value, type) or callable(value) else ""
        raise InputError(f"{name} must be a {what}; got {_kind(value)}.{hint}")
    return value


def text(value: Any, name: str) -> str:
    """The value, if it is a string, such as a title, else `InputError`.

    value: the argument; name: its name in the error
    """
    if not isinstance(value, str):
        raise InputError(f"{name} must be a string; got {shown(value)}.")
    return str(value)


def texts(value: Any, name: str) -> tuple[str, ...]:
    """The value as a tuple, if it is a list or a tuple of strings, else `InputError`.

    value: the argument; name: its name in the error
    """
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{name} must be a sequence of strings; got {shown(value)}.")
    return tuple(text(one, f"each of {name}") for one in value)


def mapping(value: Any, name: str) -> dict[str, Any]:
    """The value as a dict, if it is a mapping whose keys are strings, else `InputError`.

    value: the argument; name: its name in the error
    """
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must be a dict {{name: ...}}; got {shown(value)}.")
    for key in value:
        text(key, f"each name in {name}")
    return dict(value)


def path(value: Any, name: str) -> Path:
    """The value as a `pathlib.Path`, if it is a string or a path; it need not exist.

    value: the argument; name: its name in the error. An empty string and others raise `InputError`.
    """
    if not isinstance(value, (str, os.PathLike)) or not str(value) or "\0" in str(value):
        raise InputError(f"{name} must be a path; got {shown(value)}.")
    return Path(value)


def _integers(value, name, such_as):
    """A sequence of integers, as a tuple of Python's; how large they are the caller checks."""
    array = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu"
    if not array and not isinstance(value, (tuple, list, range)):
        raise InputError(f"{name} must be {such_as}; got {shown(value)}.")
    return tuple(value)


def widths(value: Any, name: str = "hidden", *, fewest: int = 0) -> tuple[int, ...]:
    """The widths of layers, such as (512, 512), as a tuple of Python integers.

    value: a list, a tuple or a NumPy vector of positive integers; name: that of the argument, for
        the error
    fewest: the smallest number of layers

    Others raise `InputError`.
    """
    sizes = _integers(value, name, "a sequence of widths such as (64, 64)")
    if len(sizes) < fewest:
        raise InputError(f"{name} must name at least one layer, such as (64, 64); got ().")
    return tuple(positive_int(w, f"each width in {name}={shown(sizes)}") for w in sizes)


def choice(value: Any, options: Iterable[str], name: str) -> None:
    """Checks that a value is one of some strings; returns nothing.

    value: the argument; options: the strings; name: that of the argument, for the error. Others
        raise `InputError`, which lists the options and suggests the one that is spelled most like
        the value.
    """
    options = tuple(options)
    if not isinstance(value, str) or value not in options:
        near = difflib.get_close_matches(str(value), options, 1) if isinstance(value, str) else ()
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{name} must be one of {', '.join(options)}; got {shown(value)}.{hint}")


def spelled(function: Callable[P, R]) -> Callable[P, R]:
    """A decorator: an unknown keyword argument raises an error that suggests the nearest one.

    function: any function; what is returned behaves like it otherwise. The error is an
        `InputTypeError`. From Python 3.13 on Python itself makes the suggestion, and the function
        is returned as it is.
    """
    if sys.version_info >= (3, 13):
        return function
    known = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs.keys() - set(known):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(known)}."
            raise InputTypeError(f"{call.__name__}() has no argument {name!r}. {hint}")
        return function(*args, **kwargs)

    return call


def array(value: Any, name: str) -> None:
    """Checks for a jax or NumPy array of real numbers or bits; returns nothing.

    value: the argument, which may be traced; name: its name in the error. Lists, Python numbers and
        other dtypes raise `InputError`.
    """
    if not isinstance(value, (jax.Array, np.ndarray, np.generic)):
        raise InputError(
            f"{name} must be an array; got {type(value).__name__}. Make one with jnp.asarray."
        )
    if not _is_real(value.dtype):
        raise InputError(f"{name} must be an array of real numbers; got {value.dtype}.")


@functools.lru_cache
def _is_real(dtype):
    kinds = (jnp.bool_, jnp.integer, jnp.floating)
    return any(jnp.issubdtype(dtype, kind) for kind in kinds)


def numbers(value: Any, name: str) -> None:
    """Checks for an array of real numbers, or one Python number; returns nothing.

    value: the argument, which may be traced; name: its name in the error. True, lists, and integers
        beyond int32 raise `InputError`.
    """
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise InputError(f"{name} must be numbers that int32 or a float holds; got {shown(value)}.")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        array(value, name)


def rows_of(value: Any, name: str) -> None:
    """Checks for an array of real numbers with at least one entry; returns nothing.

    value: the argument, which may be traced; name: its name in the error. An empty array, whose
        mean would be NaN, raises `InputError`.
    """
    array(value, name)
    if not np.size(value):
        raise InputError(f"{name} is empty (shape {np.shape(value)}); it needs at least one row.")


def floating(value: Any, name: str, shape: tuple[int | None, ...] | None = None) -> None:
    """Checks for a floating-point array; returns nothing.

    value: the argument, which may be traced; name: its name in the error
    shape: the shape that it must have, where None stands for any size; by default any shape

    Others raise `InputError`.
    """
    array(value, name)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise InputError(f"{name} must be floating; got {value.dtype}. Try {name}.astype(float).")
    got = jnp.shape(value)
    if shape is not None and (
        len(got) != len(shape) or any(w not in (None, g) for w, g in zip(shape, got))
    ):
        wanted = ", ".join("n" if size is None else str(size) for size in shape)
        raise InputError(f"{name} must have shape [{wanted}]; got {got}.")


def _read(value):
    """np.asarray(value), of no numbers where there is none."""
    try:
        return np.asarray(value)
    except Exception:  # rows of unequal length, keys, what is traced
        return np.asarray(None)


def on_host(value: Any, name: str) -> np.ndarray:
    """The value as a NumPy array of real numbers, if it is an array or nested lists.

    value: the argument; name: its name in the error. A traced array, whose numbers are not known,
        and others raise `InputError`.
    """
    if isinstance(value, Tracer):
        raise InputError(f"{name} must be known on the host; got a traced array. Leave jit first.")
    found = _read(value)
    if not _is_real(found.dtype):
        got = f"{found.dtype} array" if hasattr(value, "dtype") else shown(value)
        raise InputError(f"{name} must be an array of real numbers; got {got}.")
    return found


def permutation(value: Any, dim: int | None = None, name: str = "order") -> np.ndarray:
    """The value as a NumPy array [dim] of int32, if it is a permutation of 0..dim-1.

    value: an array or a list of integers; dim: its length, None for any; name: that of the
        argument, for the error. Others raise `InputError`.

    NumPy's default integers have 64 bits; a program traced with them under `jax.enable_x64` would
    differ from the one traced without.
    """
    order = _read(value)
    dim = max(order.size, 1) if dim is None else dim
    integers = order.dtype.kind in "iu" and order.shape == (dim,)
    if not integers or (np.sort(order) != np.arange(dim)).any():
        got = shown(order.tolist()) if order.dtype.kind in "biuf" else shown(value)
        raise InputError(f"{name} must be a permutation of the integers 0..{dim - 1}; got {got}.")
    return order.astype(np.int32)


def mask(value: Any, dim: int | None = None, name: str = "mask") -> np.ndarray:
    """The value as a NumPy array of booleans, if some of them are True and some False.

    value: booleans [dim]; dim: its length, None for any; name: that of the argument, for the error.
        Others raise `InputError`.
    """
    found = _read(value)
    if found.dtype != bool or found.ndim != 1 or dim not in (None, len(found)):
        many = "" if dim is None else f"{dim} "
        raise InputError(
            f"{name} must be {many}booleans; got shape {found.shape} of {found.dtype}: "
            f"{shown(value)}."
        )
    if found.all() or not found.any():
        raise InputError(f"{name} must keep some coordinates and move others; got all the same.")
    return found


def events(x: Any, dim: int, name: str = "x") -> None:
    """Checks for floating-point vectors x [..., dim]; returns nothing.

    x: the argument, which may be traced; dim: the size of a vector; name: that of the argument, for
        the error. Others raise `InputError`.
    """
    array(x, name)
    shape = jnp.shape(x)
    if not shape or shape[-1] != dim:
        raise InputError(
            f"{name} must have shape [..., {dim}]; got {shape}.{_reshaped(x, (dim,), name)}"
        )
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise InputError(
            f"{name} must be floating for a continuous density; got {jnp.result_type(x)}. "
            "Dequantize integers first (dgm_jax.data.preprocessing)."
        )


def shape(value: Any, name: str = "shape", what: str = "a shape such as (10,)") -> tuple[int, ...]:
    """The shape of one event as a tuple of positive Python integers, of at least one axis.

    value: a tuple, a list or a NumPy vector; name: that of the argument, for the error; what:
        describes the shape in the error. Others raise `InputError`.
    """
    sizes = _integers(value, name, what)
    if not sizes:
        raise InputError(f"{name} must be {what}, not empty; got {shown(value)}.")
    return tuple(positive_int(n, f"each entry of {name}={shown(sizes)}") for n in sizes)


def one_or_more(value: Any, name: str) -> tuple[int, ...]:
    """A shape as a tuple, given as a tuple, or as an integer n for (n,).

    value: the argument, of positive integers; name: its name in the error. Others raise
        `InputError`.
    """
    one = isinstance(value, (int, np.integer))
    return (positive_int(value, name),) if one else shape(value, name)


def cond_shape(value: Any, name: str = "cond_shape") -> tuple[int, ...] | None:
    """The shape of one condition as a tuple of positive Python integers, or None for no condition.

    value: a tuple, a list or None; name: that of the argument, for the error. Others, such as the
        integer 10 in place of (10,), raise `InputError`.
    """
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or not value:
        raise InputError(
            f"{name} must be the shape of one condition, such as (10,) for a vector of 10, or None "
            f"for no condition; got {shown(value)}."
        )
    return shape(value, name)


def condition(cond: Any, cond_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The batch shape of a condition cond [*batch, *cond_shape], after checking it; () without one.

    cond: an array, which may be traced, or None
    cond_shape: the shape of one condition; None for a model without, for which cond must be None

    A condition that is missing, of another shape, or given to an unconditional model raises
    `InputError`.
    """
    if cond is None and cond_shape is not None:
        raise InputError(
            f"cond is missing: the model was built with cond_shape={tuple(cond_shape)}. Give an "
            f"array [{_sizes('...', *cond_shape)}], a condition for each x."
        )
    if cond is not None and cond_shape is None:
        what = f"of shape {cond.shape}" if hasattr(cond, "shape") else f"= {shown(cond)}"
        raise InputError(
            f"cond {what} was given to an unconditional model; build it with cond_shape=..."
        )
    if cond is None or cond_shape is None:
        return ()
    array(cond, "cond")
    batch_ndim = max(jnp.ndim(cond) - len(cond_shape), 0)
    if jnp.shape(cond)[batch_ndim:] != tuple(cond_shape):
        wanted = _sizes(*cond_shape)
        integers = jnp.issubdtype(jnp.result_type(cond), jnp.integer) and len(cond_shape) == 1
        hint = f" Of classes: jax.nn.one_hot(cond, {wanted})." if integers else ""
        raise InputError(f"cond must have shape [..., {wanted}]; got {jnp.shape(cond)}.{hint}")
    return jnp.shape(cond)[:batch_ndim]


def common_batch(batch_shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The broadcast of several batch shapes; if they do not broadcast, an error lists them by name.

    batch_shapes: {name: shape}, at least one. The error is an `InputError`
    """
    try:
        return jnp.broadcast_shapes(*batch_shapes.values())
    except ValueError:
        *names, last = batch_shapes
        got = ", ".join(f"{name} {shape}" for name, shape in batch_shapes.items())
        raise InputError(
            f"{', '.join(names)} and {last} must have batch shapes that broadcast; got {got}."
        ) from None


_SHAPES = weakref.WeakKeyDictionary()  # init -> (tree, {path: shape}), traced once a model


def parameters(params: Any, init: Callable) -> None:
    """Checks that params has the tree structure and the shapes of init(key); returns nothing.

    params: a tree of arrays, which may be traced; dtypes may differ from those of init, and a tuple
        may stand for a list
    init: key -> params, traced once for each function and not run

    Others raise `InputError`, which names the first entry that differs, such as
    params['hidden'][0].
    """
    if init not in _SHAPES:
        made = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
        _SHAPES[init] = jax.tree.structure(made), _shapes(made)
    tree, wanted = _SHAPES[init]
    leaves, got_tree = jax.tree.flatten(params)
    if got_tree == tree and [_shape_of(a) for a in leaves] == list(wanted.values()):
        return
    if hasattr(params, "dtype") and jnp.issubdtype(params.dtype, jax.dtypes.prng_key):
        raise InputError(
            "params must be those of model.init(key); got a key. The order is params, key, data."
        )
    got = _shapes(params)
    for path in wanted | got:
        if got.get(path) != wanted.get(path):
            must = f"have shape {wanted[path]}" if path in wanted else "be absent"
            raise InputError(
                f"params{path} must {must}; got {got.get(path, 'nothing')}. These are of another "
                "model: give those of model.init(key)."
            )


def joint_parameters(params: Any, inits: dict[str, Callable]) -> None:
    """Checks a dict of parameters, one entry for each name and no others; returns nothing.

    params: {name: parameters}; inits: {name: init}, functions key -> parameters. Each entry must
        have the tree structure and the shapes of its init, else `InputError`.
    """
    if not isinstance(params, dict) or params.keys() != inits.keys():
        raise InputError(
            f"params must be a dict of {' and '.join(map(repr, inits))}; got {shown(params)}."
        )
    for name, init in inits.items():
        parameters(params[name], init)


def _shapes(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): _shape_of(a) for path, a in leaves}


def _shape_of(leaf):
    return getattr(leaf, "shape", () if isinstance(leaf, (int, float)) else type(leaf).__name__)


def readable(value: Any) -> bool:
    """Whether the numbers of a value are available on this host, as a boolean.

    value: anything. False for what is traced by jit, grad or vmap, and for an array that is sharded
        over several hosts.
    """
    return not isinstance(value, Tracer) and getattr(value, "is_fully_addressable", True)


def within(value: Any, least: float, most: float, name: str) -> None:
    """Checks that all entries of a value lie in least..most; returns nothing.

    value: an array or a number; what is traced, or lies on other hosts, is not checked
    least, most: the bounds, both included; name: that of the argument, for the `InputError`. NaN is
        refused.
    """
    if readable(value) and np.size(value):
        host = np.asarray(value)  # in traced code even np.min of a known array is traced
        low, high = host.min(), host.max()
        if not (least <= low and high <= most):
            raise InputError(f"{name} must lie in {least}..{most}; got entries in {low}..{high}.")


def finite_rows(x: Any, name: str = "data") -> np.ndarray:
    """A data set as a NumPy array [n, ...], if it is real, not empty, and has no NaN or infinity.

    x: an array or nested lists, which is read once; name: that of the argument, for the
        `InputError`, which tells how many rows are not finite and the first of them. Numbers that
        become infinite in the dtype of the devices, such as 1e300 in float32, count as infinite.
        The dtype is that of x.
    """
    x = on_host(x, name)
    if x.ndim == 0:
        raise InputError(f"{name} must be rows, [n, ...]; got one number, {shown(x.item())}.")
    if x.size == 0:
        raise InputError(f"{name} is empty (shape {x.shape}); it needs at least one row.")
    if jnp.issubdtype(x.dtype, jnp.floating):
        with np.errstate(all="ignore"):  # 1e300 becomes infinite on the way to a device
            held = x.astype(jax.dtypes.canonicalize_dtype(x.dtype))
        bad = ~np.isfinite(held).reshape(len(x), -1).all(1)
        if bad.any():
            raise InputError(
                f"{name}: {bad.sum()} of {len(x)} rows have NaN or infinite values, "
                f"first at row {int(np.argmax(bad))}; drop or repair them."
            )
    return x


def divisible(batch: Any, parts: int, among: str) -> None:
    """Checks that the rows of a batch divide into equal parts, at least one each; returns nothing.

    batch: an array [n, ...]
    parts: the number of parts; among: what they are, such as "devices", for the `InputError`, which
        suggests the nearest batch sizes
    """
    rows = np.shape(batch)[0] if np.shape(batch) else 0
    if rows == 0 or rows % parts:
        near = sorted({rows - rows % parts, rows - rows % parts + parts} - {0})
        raise InputError(
            f"batch must have rows that divide among {among}; got {rows}. "
            f"Use {' or '.join(map(str, near))}."
        )


def function(value: Any, name: str, takes: Sequence[str] = (), *, more: bool = False) -> None:
    """Checks for a function; the usual mistake is to pass the result of a call. Returns nothing.

    value: the argument; name: its name in the error
    takes: names for the arguments that it will be given by position: it must accept as many, if its
        signature can be read
    more: whether it may require other arguments too, which it is given by their names

    Others raise `InputError`.
    """
    if not callable(value):
        raise InputError(
            f"{name} must be a function; got {_kind(value)}. "
            "Pass the function itself, not its result."
        )
    try:
        signature = inspect.signature(value) if takes else None
    except (TypeError, ValueError):  # of a builtin
        return
    try:
        if signature is not None:
            (signature.bind_partial if more else signature.bind)(*takes)
    except TypeError:
        raise InputError(
            f"{name} must take ({', '.join(takes)}); its arguments are {signature}."
        ) from None


def noun(value: Any, kind: type[NamedTuple], name: str) -> None:
    """Checks for a type of `protocol`, such as a Density, by its fields; returns nothing.

    value: the argument; kind: the type; name: that of the argument, for the error. Others raise
        `InputError`, with a hint for usual mistakes, such as a constructor that was not called, or
        a flow without a base in place of a density.
    """
    if isinstance(value, type) or not all(hasattr(value, field) for field in kind._fields):
        hint = f" Call it first: {value.__name__}(...)." if hasattr(value, "__name__") else ""
        if hasattr(value, "bijector") and kind.__name__ == "Density":
            hint = " Give it a base: combinators.pushforward(flow, base)."
        if hasattr(value, "posterior") and kind.__name__ == "Density":
            hint = " A model with latent variables learns by objectives.elbo and learning.fit."
        if hasattr(value, "init") and kind.__name__ == "Algorithm":
            hint = " Make one: learning.gradient_descent(model.init, loss, optax.adam(1e-3))."
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise InputError(f"{name} must be {article} {kind.__name__}; got {_kind(value)}.{hint}")


def image_shape(value: Any, name: str = "shape") -> tuple[int, int, int]:
    """(height, width, channels) of an image, as a tuple of three positive Python integers.

    value: a tuple, a list or a NumPy vector; name: that of the argument, for the error. Others
        raise `InputError`.
    """
    sizes = _integers(value, name, "(height, width, channels)")
    if len(sizes) != 3:
        raise InputError(f"{name} must be (height, width, channels); got {shown(value)}.")
    height, width, channels = shape(sizes, name)
    return height, width, channels


def image_cond_shape(value: Any, shape: tuple[int, int, int]) -> tuple[int, ...] | None:
    """The shape of the condition of an image: (n,), shared by all pixels, a map (H, W, n), or None.

    value: the argument cond_shape; shape: (H, W, C) of the image. (1, 1, n) is allowed, too.
        Returns a tuple or None; others raise `InputError`.
    """
    value = cond_shape(value)
    if value is not None and value[:-1] not in ((), (1, 1), tuple(shape[:2])):
        raise InputError(
            f"cond_shape must be (n,) for a condition that all pixels share, or "
            f"({shape[0]}, {shape[1]}, n) for a map beside the image; got {value}."
        )
    return value


def event_shape(x: Any, shape: tuple[int, ...], name: str = "x") -> None:
    """Checks for an array x [..., *shape] of real numbers or bits; returns nothing.

    x: the argument, which may be traced; shape: that of one event; name: that of the argument, for
        the error. Others raise `InputError`.
    """
    array(x, name)
    if jnp.shape(x)[max(jnp.ndim(x) - len(shape), 0) :] != tuple(shape):
        wanted, remedy = _sizes("...", *shape), _reshaped(x, shape, name)
        raise InputError(f"{name} must have shape [{wanted}]; got {jnp.shape(x)}.{remedy}")


def _sizes(*sizes):
    return ", ".join(map(str, sizes))


def _reshaped(x, shape, name):
    """How x becomes [..., *shape], if its last axes hold as many numbers as one event."""
    sizes, size = jnp.shape(x), math.prod(shape)
    fits = any(math.prod(sizes[at:]) == size for at in range(len(sizes))) and size > 1
    return f" Try {name}.reshape({_sizes(-1, *shape)})." if fits else ""


def event_of(x: Any, shape: tuple[int, ...], name: str = "x") -> None:
    """Checks for a floating-point array x [..., *shape]; returns nothing.

    x: the argument, which may be traced; shape: that of one event; name: that of the argument, for
        the error. Others, such as integers, raise `InputError`.
    """
    event_shape(x, shape, name)
    events(x, shape[-1], name)


def images(x: Any, name: str = "x") -> None:
    """Checks for floating-point images x [..., H, W, C] of any size; returns nothing.

    x: the argument, which may be traced; name: its name in the error. Fewer than three axes, or
        integers, raise `InputError`.
    """
    floating(x, name)
    if jnp.ndim(x) < 3:
        raise InputError(
            f"{name} must be images [..., height, width, channels]; got {jnp.shape(x)}."
        )


def levels(x: Any, dim: int, num_levels: int, name: str = "x") -> None:
    """Checks for levels x [..., dim] by their shape and dtype; returns nothing.

    x: integers, which may be traced. Their values are not checked: a distribution gives those
        outside 0..num_levels-1 the log-probability -inf
    dim: the size of the last axis; num_levels: K, for the error; name: that of the argument

    Others raise `InputError`.
    """
    array(x, name)
    if not jnp.shape(x) or jnp.shape(x)[-1] != dim:
        shape, remedy = jnp.shape(x), _reshaped(x, (dim,), name)
        raise InputError(f"{name} must have shape [..., {dim}]; got {shape}.{remedy}")
    if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        most = num_levels - 1
        raise InputError(
            f"{name} must be levels, integers in 0..{most}; got {jnp.result_type(x)}. "
            f"Whole numbers: {name}.astype(int). Numbers in [0, 1]: ({most} * {name}).round()"
            ".astype(int). Others need a continuous density."
        )


def levels_of(x: Any, shape: tuple[int, ...], num_levels: int, name: str = "x") -> None:
    """Checks for levels x [..., *shape] by their shape and dtype; returns nothing.

    x: integers, which may be traced. Their values are not checked: a distribution gives those
        outside 0..num_levels-1 the log-probability -inf
    shape: that of one event; num_levels: K, for the error; name: that of the argument

    Others raise `InputError`.
    """
    event_shape(x, shape, name)
    levels(x, shape[-1], num_levels, name)


def same_bijector(one: Any, other: Any) -> bool:
    """Whether two bijectors are the same object; if they are not, `NoClosedForm` is raised.

    one, other: bijectors. distrax calls it, as `Bijector.same_as`, before it replaces the
        divergence of two distributions by that of their bases. Its own rule compares the traced
        programs, which do not contain the parameters, so it would declare two flows of one
        architecture equal. The error says how to estimate the divergence.
    """
    if one is other:
        return True
    raise NoClosedForm(
        f"kl_divergence through two bijectors, {type(one).__name__} and {type(other).__name__}, "
        "has no closed form here. Estimate it from samples of the first: x, log_p = "
        "p.sample_and_log_prob(seed=key, sample_shape=(n,)), and then "
        "objectives.mean_log_ratio(log_p, q.log_prob(x))."
    )


def moments(mean: Any, matrix: Any, name: str) -> int:
    """d of a mean [d] and a matrix [d, d], after checking them.

    mean, matrix: floating-point arrays, whose numbers must be finite where they are known; name:
        that of the matrix, for the error. Others raise `InputError`.
    """
    for value, what in ((mean, "mean"), (matrix, name)):
        floating(value, what)
        if readable(value) and not np.isfinite(np.asarray(value, np.float64)).all():
            raise InputError(f"{what} must be finite; got NaN or infinity.")
    shapes = jnp.shape(mean), jnp.shape(matrix)
    if len(shapes[0]) != 1 or shapes[1] != shapes[0] * 2 or not shapes[0][0]:
        raise InputError(
            f"mean and {name} must have shapes [d] and [d, d]; got {shapes[0]} and {shapes[1]}."
        )
    return shapes[0][0]


def positive_definite(value: Any, name: str) -> None:
    """Checks for a symmetric matrix with positive eigenvalues; returns nothing.

    value: [d, d]; what is traced, or lies on other hosts, is not checked
    name: that of the argument, for the `InputError`, which tells the smallest eigenvalue
    """
    if readable(value):
        matrix = np.asarray(value, np.float64)
        if not np.allclose(matrix, matrix.T, rtol=1e-5):
            raise InputError(f"{name} must be a symmetric matrix; got one that is not.")
        least = np.linalg.eigvalsh(matrix)[0]
        if least <= 0:
            raise InputError(
                f"{name} must be positive definite; its smallest eigenvalue is {least:.3g}. "
                f"A ridge helps: {name} + 1e-6 I."
            )
