"""Inputs of causal nets: real numbers, or levels 0..K-1 encoded as vectors."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.typing import DTypeLike

from ... import checks
from ...protocol import Array, Shape, described


class Encoding(NamedTuple):
    """e: {0, ..., K-1} → R^p: how a net sees a level, as a vector of p numbers.

    num_levels: K, the number of levels
    size: p
    encode: e, levels [...] of integers -> [..., p]

    Made by `nets.one_hot` and `nets.scaled`; given to a causal net as `encoding`.
    """

    num_levels: int
    size: int
    encode: Callable[[Array], Array]  # levels [...] -> [..., size]

    __repr__ = described


def one_hot(num_levels: int) -> Encoding:
    """v ↦ (1[v = 1], ..., 1[v = K-1]): levels [...] -> [..., K-1], and level 0 is the vector 0.

    A unit has one weight for each level, where a single number (`nets.scaled`) would make it
    monotone in the level. Level 0 needs no entry, because the bias of the unit serves as its
    weight. For K = 2 the code is the bit itself.

    num_levels: K, at least 2, else InputError
    Returns an `Encoding`: this function, K and the size K - 1 of its result, which says how a net
    sees levels; the argument `encoding` of causal nets such as `nets.made` and `nets.transformer`.
    """
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    size = num_levels - 1
    return Encoding(
        num_levels,
        size,
        lambda x: jax.nn.one_hot(x - 1, size),  # -1, of level 0, is no level: all zeros
    )


def scaled(num_levels: int) -> Encoding:
    """v ↦ 2 v / (K - 1) - 1: levels [...] -> [..., 1], evenly spaced over [-1, 1].

    How a causal net sees levels whose order has a meaning, such as 256 grey levels: each level is
    one number, so that a unit has one weight for it, where `nets.one_hot` gives K - 1 numbers and
    weights. The sum that enters the unit is then linear in the level.

    num_levels: K, at least 2, else InputError
    Returns an `Encoding` with the fields num_levels = K, size = 1 (numbers per level) and encode,
    the map above, levels 0, ..., K - 1 as integers [...] -> [..., 1]. It is given to a causal net:

        net = nets.made(784, hidden=(500,), num_outputs=2, encoding=nets.scaled(256))
    """
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    half = (num_levels - 1) / 2
    return Encoding(
        num_levels,
        1,
        lambda x: (x / half - 1)[..., None],
    )


def check_encoding(encoding: Encoding | None) -> None:
    """`InputError` unless this is an encoding, or None for real numbers."""
    if encoding is not None:
        checks.noun(encoding, Encoding, "encoding")


def encoded(x: Array, encoding: Encoding | None, dtype: DTypeLike) -> Array:
    """x [...] as the net sees it, [..., size]: encoded levels, or numbers as they are (size 1)."""
    return x[..., None] if encoding is None else encoding.encode(x).astype(dtype)


def batch_of(
    x: Array,
    cond: Array | None,
    dim: int,
    cond_shape: Shape | None,
    encoding: Encoding | None,
) -> tuple[int, ...]:
    """The common batch shape of x [..., dim] and cond [..., *cond_shape]; checks both.

    encoding: that of x, None for real numbers.
    """
    if encoding is None:
        checks.events(x, dim)
    else:
        checks.levels(x, dim, encoding.num_levels)
    return checks.common_batch({"x": x.shape[:-1], "cond": checks.condition(cond, cond_shape)})
