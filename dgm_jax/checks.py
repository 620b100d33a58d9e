"""Checks at the public boundary: each raises one line naming argument, value and remedy.

Everything here looks at shapes, dtypes and Python values, so it is free under `jit`, and runs
before anything is compiled. The exceptions are `finite_rows` and `within`, which read data on the
host; `readable` says where they can.
"""

import difflib
import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class InputError(ValueError):
    """Input that whoever gave it can mend: the message names argument, value and remedy.

    A command tells it in one line and ends with `exit_code` (see `dgm_jax.runs.errors`).
    """

    exit_code = 2


class InputTypeError(InputError, TypeError):
    """Input of another type than is wanted, such as an integer in the place of a key."""


def key(value: Any, name: str = "key") -> None:
    """A scalar typed key; `InputTypeError` for integers and for legacy uint32 keys."""
    if not (hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)):
        got = type(value).__name__ if not hasattr(value, "dtype") else f"{value.dtype} array"
        raise InputTypeError(
            f"{name} must be a typed key; got {got}. Make one with jax.random.key(seed)."
        )
    if value.shape != ():
        raise InputTypeError(
            f"{name} must be one key; got keys of shape {value.shape}. "
            "Use jax.vmap for many, or index one."
        )


def positive_int(value: Any, name: str, *, least: int = 1) -> None:
    """A Python or numpy integer of at least `least`; True and 2.0 are none."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be an integer of at least {least}; got {value!r}.")


def positive(value: Any, name: str) -> None:
    """A finite Python number above zero (rates, scales, tolerances)."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not ok or not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} must be a finite number above 0; got {value!r}.")


def rate(value: Any, name: str) -> None:
    """A share below one, such as that of dropped units."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise InputError(f"{name} must be in [0, 1); got {value!r}.")


def widths(value: Any, name: str = "hidden") -> None:
    """A sequence of layer widths, such as (512, 512)."""
    if isinstance(value, (str, int, np.integer)) or not hasattr(value, "__len__"):
        raise InputError(f"{name} must be a sequence of widths such as (64, 64); got {value!r}.")
    for width in value:
        positive_int(width, f"each width in {name}={tuple(value)}")


def choice(value: Any, options: Iterable[str], name: str) -> None:
    """A known name; the error suggests the nearest one."""
    options = tuple(options)
    if value not in options:
        near = difflib.get_close_matches(str(value), options, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{name} must be one of {', '.join(options)}; got {value!r}.{hint}")


def array(value: Any, name: str) -> None:
    """A jax or numpy array; lists of numbers are not read as one."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        raise InputError(
            f"{name} must be an array; got {type(value).__name__}. Make one with jnp.asarray."
        )


def permutation(value: Any, dim: int, name: str = "order") -> np.ndarray:
    """Each of the integers 0..dim-1 once; returns them as int32.

    numpy's own integers have 64 bits. A program made of them under `jax.enable_x64` would not fit
    the same function outside of it.
    """
    order = np.asarray(value)
    if order.dtype.kind not in "iu" or sorted(order.ravel()) != list(range(dim)) or order.ndim != 1:
        raise InputError(
            f"{name} must be a permutation of the integers 0..{dim - 1}; got {order.tolist()!r}."
        )
    return order.astype(np.int32)


def mask(value: Any, dim: int, name: str = "mask") -> None:
    """dim booleans, some True and some False."""
    value = np.asarray(value)
    if value.dtype != bool or value.shape != (dim,):
        raise InputError(
            f"{name} must be {dim} booleans; got shape {value.shape} of {value.dtype}."
        )
    if value.all() or not value.any():
        raise InputError(f"{name} must keep some coordinates and move others; got all the same.")


def events(x: Any, dim: int, name: str = "x") -> None:
    """An array of floating vectors, [..., dim]."""
    array(x, name)
    shape = jnp.shape(x)
    if not shape or shape[-1] != dim:
        raise InputError(f"{name} must have shape [..., {dim}]; got {shape}.")
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise InputError(
            f"{name} must be floating for a continuous density; got {jnp.result_type(x)}. "
            "Dequantize integers first (dgm_jax.data.preprocessing)."
        )


def cond_shape(value: Any, name: str = "cond_shape") -> None:
    """The shape of one condition: a tuple of positive integers, or None where there is none."""
    if value is None:
        return
    if not isinstance(value, (tuple, list)) or not value:
        raise InputError(
            f"{name} must be the shape of one condition, such as (10,) for a vector of 10, or None "
            f"for no condition; got {value!r}."
        )
    for size in value:
        positive_int(size, f"each entry of {name}={tuple(value)}")


def condition(cond: Any, cond_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """cond [..., *cond_shape] where a model is conditional, None where it is not.

    Returns the batch shape of the condition, () where there is none.
    """
    if cond is None and cond_shape is not None:
        raise InputError(f"cond is missing: the model was built with cond_shape={cond_shape}.")
    if cond is not None and cond_shape is None:
        raise InputError(
            f"cond of shape {jnp.shape(cond)} was given to an unconditional model; "
            "build it with cond_shape=..."
        )
    if cond is None:
        return ()
    array(cond, "cond")
    batch_ndim = max(jnp.ndim(cond) - len(cond_shape), 0)
    if jnp.shape(cond)[batch_ndim:] != tuple(cond_shape):
        wanted = ", ".join(map(str, cond_shape))
        integers = jnp.issubdtype(jnp.result_type(cond), jnp.integer) and len(cond_shape) == 1
        hint = f" Of classes: jax.nn.one_hot(cond, {wanted})." if integers else ""
        raise InputError(f"cond must have shape [..., {wanted}]; got {jnp.shape(cond)}.{hint}")
    return jnp.shape(cond)[:batch_ndim]


def common_batch(batch_shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The batch shape of all {name: shape}, by broadcasting; the error names each and its own."""
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
    """A tree like that of init(key), shape by shape, of any dtypes; tuples may stand for lists."""
    if init not in _SHAPES:
        made = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
        _SHAPES[init] = jax.tree.structure(made), _shapes(made)
    tree, wanted = _SHAPES[init]
    leaves, got_tree = jax.tree.flatten(params)
    if got_tree == tree and [getattr(a, "shape", ()) for a in leaves] == list(wanted.values()):
        return
    got = _shapes(params)
    for path in wanted | got:
        if got.get(path) != wanted.get(path):
            must = f"have shape {wanted[path]}" if path in wanted else "be absent"
            raise InputError(
                f"params{path} must {must}; got {got.get(path, 'nothing')}. These are of another "
                "model: give those of model.init(key)."
            )


def _shapes(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): getattr(a, "shape", ()) for path, a in leaves}


def readable(value: Any) -> bool:
    """Whether the numbers are known here: not in traced code, nor where others hold a part."""
    return not isinstance(value, jax.core.Tracer) and getattr(value, "is_fully_addressable", True)


def within(value: Any, least: float, most: float, name: str) -> None:
    """No entry outside of least..most, where they are `readable`."""
    if readable(value) and np.size(value):
        host = np.asarray(value)  # in traced code even np.min of a known array is traced
        low, high = host.min(), host.max()
        if not (least <= low and high <= most):
            raise InputError(f"{name} must lie in {least}..{most}; got entries in {low}..{high}.")


def finite_rows(x: Any, name: str = "data") -> None:
    """A data set on the host: not empty, no NaN or infinity. Reads all of it once."""
    x = np.asarray(x)
    if x.ndim == 0 or x.shape[0] == 0:
        raise InputError(f"{name} is empty (shape {x.shape}); it needs at least one row.")
    if np.issubdtype(x.dtype, np.floating):
        with np.errstate(all="ignore"):  # 1e300 becomes infinite on the way to a device
            held = x.astype(jax.dtypes.canonicalize_dtype(x.dtype))
        bad = ~np.isfinite(held).reshape(len(x), -1).all(1)
        if bad.any():
            raise InputError(
                f"{name}: {bad.sum()} of {len(x)} rows have NaN or infinite values, "
                f"first at row {int(np.argmax(bad))}; drop or repair them."
            )


def divisible(batch: Any, parts: int, among: str) -> None:
    """A batch whose rows divide among so many parts; the error names the nearest numbers."""
    rows = np.shape(batch)[0] if np.shape(batch) else 0
    if rows == 0 or rows % parts:
        near = sorted({rows - rows % parts, rows - rows % parts + parts} - {0})
        raise InputError(
            f"batch must have rows that divide among {among}; got {rows}. "
            f"Use {' or '.join(map(str, near))}."
        )


def function(value: Any, name: str) -> None:
    """Something to call; the usual slip is to pass its result instead."""
    if not callable(value):
        raise InputError(
            f"{name} must be a function; got {type(value).__name__}. "
            "Pass the function itself, not its result."
        )


def noun(value: Any, kind: type, name: str) -> None:
    """A noun of `protocol`, known by its fields; the usual slip is a constructor not yet called."""
    if isinstance(value, type) or not all(hasattr(value, field) for field in kind._fields):
        hint = f" Call it first: {value.__name__}(...)." if hasattr(value, "__name__") else ""
        raise InputError(f"{name} must be a {kind.__name__}; got {type(value).__name__}.{hint}")


def image_shape(value: Any, name: str = "shape") -> None:
    """(H, W, C), three positive integers."""
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 3:
        raise InputError(f"{name} must be (height, width, channels); got {value!r}.")
    for side in value:
        positive_int(side, f"each entry of {name}={tuple(value)}")


def image_cond_shape(value: Any, shape: tuple[int, int, int]) -> None:
    """Of conditions of images: (n,), alike at all pixels, or (H, W, n), a map; or None."""
    cond_shape(value)
    if value is not None and tuple(value[:-1]) not in ((), (1, 1), tuple(shape[:2])):
        raise InputError(
            f"cond_shape must be (n,) for a condition that all pixels share, or "
            f"({shape[0]}, {shape[1]}, n) for a map beside the image; got {tuple(value)}."
        )


def event_shape(x: Any, shape: tuple[int, ...], name: str = "x") -> None:
    """An array of events of one shape, [..., *shape]."""
    array(x, name)
    if jnp.shape(x)[max(jnp.ndim(x) - len(shape), 0) :] != tuple(shape):
        wanted = ", ".join(map(str, shape))
        raise InputError(f"{name} must have shape [..., {wanted}]; got {jnp.shape(x)}.")


def event_of(x: Any, shape: tuple[int, ...], name: str = "x") -> None:
    """An array of floating events of one shape, [..., *shape]."""
    event_shape(x, shape, name)
    events(x, shape[-1], name)


def levels(x: Any, dim: int, num_levels: int, name: str = "x") -> None:
    """An array of integers, [..., dim]; how large they are is not known under `jit`."""
    array(x, name)
    if not jnp.shape(x) or jnp.shape(x)[-1] != dim:
        raise InputError(f"{name} must have shape [..., {dim}]; got {jnp.shape(x)}.")
    if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        raise InputError(
            f"{name} must be levels, integers in 0..{num_levels - 1}; got {jnp.result_type(x)}. "
            "Whole numbers: x.astype(int). Others need a continuous density."
        )


def levels_of(x: Any, shape: tuple[int, ...], num_levels: int, name: str = "x") -> None:
    """An array of integer events of one shape, [..., *shape]."""
    event_shape(x, shape, name)
    levels(x, shape[-1], num_levels, name)
