"""How the weights of nets start: the initialisers of `jax.nn`, in a form that compiles fast.

They draw the numbers of `jax.nn.initializers.normal` and `variance_scaling` from the same keys, by
`arrays.in_a_row`.
"""

import math
from collections.abc import Callable

import jax

from ..arrays import in_a_row
from ..protocol import Array

Start = Callable[..., Array]  # start(key, shape, dtype=float)

CUT = 0.87962566103423978  # the deviation of N(0, 1) cut off at ±2


def normal(std: float) -> Start:
    """N(0, std²)."""

    def start(key, shape, dtype=float):
        return std * in_a_row(jax.random.normal, key, shape, dtype)

    return start


def scaled(scale: float = 1.0, *, cut: bool = True) -> Start:
    """N(0, scale / n) for kernels [..., out] of n inputs to each output.

    With inputs of variance 1 the outputs have the variance `scale`. cut: whether it is cut off at
    two deviations, without a change of its variance. LeCun et al. (1998), "Efficient backprop",
    section 4.6.
    """

    def start(key, shape, dtype=float):
        std = math.sqrt(scale / math.prod(shape[:-1]))
        if cut:
            return std / CUT * in_a_row(_within_two, key, shape, dtype)
        return std * in_a_row(jax.random.normal, key, shape, dtype)

    return start


def _within_two(key, shape, dtype):
    return jax.random.truncated_normal(key, -2, 2, shape, dtype)
