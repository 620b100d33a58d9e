"""The log-likelihood of a whole set, example by example."""

from collections.abc import Callable

import jax
import numpy as np

from .. import checks
from ..protocol import Array, Key


def expected_log_prob(
    log_prob: Callable[[Key, Array], Array],
    key: Key,
    x: np.ndarray,
    *,
    num_draws: int = 1,
    batch_size: int = 1000,
) -> np.ndarray:
    """E log p(x_n), one value for each row of x [n, ...], in nats: the mean of num_draws draws.

    log_prob(key, batch) -> [b], jitted by the caller, may be random, as dequantization at
    evaluation is: log p(x + u) for a fresh u. The rows go through it in batches of one shape, so
    it is compiled once. Cost: num_draws times one evaluation of the set.
    """
    checks.key(key)
    checks.finite_rows(x, "x")
    checks.positive_int(num_draws, "num_draws")
    checks.positive_int(batch_size, "batch_size")
    size = min(batch_size, len(x))
    total = np.zeros(len(x))
    for draw_key in jax.random.split(key, num_draws):
        batch_keys = jax.random.split(draw_key, -(-len(x) // size))
        for start, batch_key in zip(range(0, len(x), size), batch_keys, strict=True):
            rows = np.arange(start, start + size) % len(x)  # the last batch is filled up
            kept = min(size, len(x) - start)
            total[start : start + kept] += np.asarray(log_prob(batch_key, x[rows]))[:kept]
    return total / num_draws
