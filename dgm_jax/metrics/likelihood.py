"""The log-likelihood of a whole data set, row by row."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .. import checks
from ..protocol import Array, Key


def expected_log_prob(
    log_prob: Callable[[Key, Any], Array],
    key: Key,
    x: np.ndarray | tuple[np.ndarray, ...],
    *,
    num_draws: int = 1,
    batch_size: int = 1000,
) -> np.ndarray:
    """E log p(x_n) for each row x_n of a data set, in nats, [n]: the mean of num_draws evaluations.

    log_prob: (key, batch) -> [b], jitted by the caller. It may be random, such as log p(x + u) with
        fresh dequantisation noise u
    key: from which each batch of each draw gets its own
    x: rows [n, ...], or a tuple such as (x, cond) of arrays with as many rows, whose batches are
        tuples
    num_draws: how many evaluations of each row, with different keys, are averaged; 1 if log_prob is
        not random
    batch_size: rows at a time. All batches have one shape, so log_prob is compiled once

    Cost: num_draws evaluations of the data set. Empty or infinite rows, and a log_prob of another
    shape, raise `InputError`.
    """
    checks.function(log_prob, "log_prob")
    checks.key(key)
    parts = x if isinstance(x, tuple) else (x,)
    if not parts:
        raise checks.InputError("x must have at least one part; got ().")
    parts = tuple(checks.finite_rows(part, "x") for part in parts)
    for part in parts:
        if len(part) != len(parts[0]):
            raise checks.InputError(
                f"x must have as many rows in each part; got {[*map(len, parts)]}."
            )
    num_draws = checks.positive_int(num_draws, "num_draws")
    batch_size = checks.positive_int(batch_size, "batch_size")
    wrap = isinstance(x, tuple)

    def scored(batch_key, *batch):
        found = log_prob(batch_key, batch if wrap else batch[0])
        if np.shape(found) != np.shape(batch[0])[:1]:
            raise checks.InputError(
                f"log_prob must return one number for each of {len(batch[0])} rows; got shape "
                f"{np.shape(found)}."
            )
        return found

    total = np.zeros(len(parts[0]))
    for draw_key in jax.random.split(key, num_draws):
        total += in_batches(scored, draw_key, parts, batch_size)
    return total / num_draws


def in_batches(
    function: Callable[..., Any], key: Key, parts: tuple[np.ndarray, ...], batch_size: int
) -> Any:
    """function(key, *batch) -> a tree of [b, ...], for all rows: a tree of [n, ...] on the host.

    parts: arrays [n, ...], cut into batches of batch_size rows. Each batch has its own key, and all
    have the same shape, so that a jitted function is compiled once: the last one is padded with
    rows whose results are dropped.
    """
    num = len(parts[0])
    size = min(batch_size, num)
    found = []
    for start, batch_key in zip(
        range(0, num, size), jax.random.split(key, -(-num // size)), strict=True
    ):
        rows = np.arange(start, start + size) % num
        made = function(batch_key, *(part[rows] for part in parts))
        kept = min(size, num - start)
        found.append(jax.tree.map(lambda a: np.asarray(a)[:kept], made))
    return jax.tree.map(lambda *a: np.concatenate(a), *found)
