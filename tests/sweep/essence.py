"""What an object is made of, as plain values: two models are one where these are equal."""

import dataclasses
import functools
import hashlib
import inspect
from typing import Any

import jax
import numpy as np


def essence(value: Any) -> Any:
    """Types, numbers, the bytes of arrays, and what functions close over, to the ground."""
    return _essence(value, {})


def _essence(value, seen):
    """seen: {id: (object, its essence)}; what is met again while it is looked at has none yet."""
    if value is None or isinstance(value, (bool, int, str, bytes, np.dtype)):
        return type(value).__name__, str(value)
    if isinstance(value, (float, complex, np.generic)):
        return type(value).__name__, repr(value)
    if isinstance(value, (np.ndarray, jax.Array)):
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        return str(value.dtype), value.shape, np.asarray(value).tobytes()
    if id(value) not in seen:
        seen[id(value)] = value, "above"
        text = repr((type(value).__qualname__, _parts(value, seen)))
        seen[id(value)] = value, hashlib.sha256(text.encode()).hexdigest()
    return seen[id(value)][1]


def _parts(value, seen):
    def of(part):
        return _essence(part, seen)

    if isinstance(value, dict):
        return [(str(key), of(part)) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [of(part) for part in value]
    if isinstance(value, functools.partial):
        return of(value.func), of(value.args), of(value.keywords)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # a linen module too
        return [(field.name, of(getattr(value, field.name))) for field in dataclasses.fields(value)]
    if inspect.isfunction(value):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return value.__qualname__, of(cells), of(value.__defaults__), of(value.__kwdefaults__)
    if inspect.ismethod(value):
        return value.__qualname__, of(value.__self__)
    if hasattr(value, "__wrapped__"):  # of jit, of a cache
        return of(value.__wrapped__)
    if isinstance(value, type) or inspect.isbuiltin(value) or not hasattr(value, "__dict__"):
        return getattr(value, "__qualname__", "")
    if type(value).__module__.startswith(("matplotlib", "jaxlib", "optax")):
        return ""
    return [(name, of(part)) for name, part in sorted(vars(value).items())]


def has_nan(value: Any) -> bool:
    """Whether a number somewhere in a result is NaN, or a level -1, which is none."""
    for leaf in jax.tree.leaves(value):
        array = np.asarray(leaf) if isinstance(leaf, (np.ndarray, jax.Array, float)) else None
        if array is not None and array.dtype.kind == "i" and (array == -1).any():
            return True
        if array is not None and array.dtype.kind not in "biuOUS" and np.isnan(array).any():
            return True
    return False
