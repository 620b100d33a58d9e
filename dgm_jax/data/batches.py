"""Batches as a function of (seed, step), so that a resumed run sees the same batches."""

import functools
from collections.abc import Callable

import numpy as np

from .. import checks


def batches(
    data: np.ndarray | tuple[np.ndarray, ...], batch_size: int, *, seed: int
) -> Callable[[int], object]:
    """step ↦ the rows π_epoch[i·B : (i+1)·B] of data, with epoch, i = divmod(step, ⌊n/B⌋).

    A function of the step alone, so that a resumed run sees the same batches. Each epoch has its
    own permutation π, by np.random.default_rng([seed, epoch]). The n mod B rows left at its end are
    dropped: all batches have one shape, so that the training step is compiled once, and over many
    epochs every row is seen equally often.

    data: an array [n, ...] or a tuple of arrays with as many rows; a batch has the same structure,
        in numpy, [B, ...]
    batch_size: B; seed: an integer of at least 0

    Raises `InputError` for empty data, parts of unequal length, a batch larger than the data, and a
    negative step. The first step of an epoch costs O(n), any other O(B).
    """
    parts = data if isinstance(data, tuple) else (data,)
    if isinstance(data, list) and any(np.ndim(part) for part in data):
        raise checks.InputError(
            "data must be an array, or a tuple of arrays of as many rows; got a list, which would "
            "be stacked. Write (x, y)."
        )
    parts = tuple(checks.on_host(part, "data") for part in parts)
    num_rows = {len(part) for part in parts if np.ndim(part)}
    if len(num_rows) != 1 or not all(np.ndim(part) for part in parts):
        shapes = ", ".join(str(np.shape(part)) for part in parts)
        raise checks.InputError(
            f"data must have the same number of rows in each part; got {shapes}."
        )
    (num_rows,) = num_rows
    batch_size = checks.positive_int(batch_size, "batch_size")
    seed = checks.integer(seed, "seed")
    if num_rows == 0:
        raise checks.InputError("data is empty (0 rows); it needs at least one.")
    if num_rows < batch_size:
        raise checks.InputError(
            f"batch_size must be at most the {num_rows} rows; got {batch_size}."
        )
    per_epoch = num_rows // batch_size

    @functools.lru_cache(maxsize=1)  # of a pure function: it saves time and changes nothing
    def permutation(epoch):
        return np.random.default_rng([seed, epoch]).permutation(num_rows)

    def batch(step):
        step = checks.positive_int(step, "step", least=0)
        epoch, i = divmod(int(step), per_epoch)
        rows = permutation(epoch)[i * batch_size : (i + 1) * batch_size]
        taken = tuple(part[rows] for part in parts)
        return taken if isinstance(data, tuple) else taken[0]

    return batch
