"""What a chapter tells the contracts of its models, and the ways in which these are compiled.

A chapter keeps its models in `tests/<chapter>/cases.py`, a dict of name -> case: a new model is one
line there, and inherits every law of its noun. Laws multiply fast, so a chapter factors: a scalar
law in one carrier, a head with one causal net, two or three whole products for the rest. What is
left of the product has `full=True` and runs under the mark of that name, where every case also runs
in float64 and with the compiler as users have it.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import pytest

from dgm_jax.protocol import Density, Flow, LatentVariable, Shape
from tests.contracts.compiled import DEFAULTS, QUICK

COND = 2  # numbers in a condition


def normal_points(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.normal(0, 1, shape)


class FlowCase(NamedTuple):
    """A flow of vectors. Parameters are N(0, spread²), away from the identity they start as."""

    make: Callable[[], Flow]
    dim: int = 3
    cond_shape: Shape | None = None
    learned: bool = True  # it has parameters
    spread: float = 0.4
    draw_x: Callable = normal_points  # draw_x(rng, shape): points of the data space
    gradients: bool = True  # here; else they are in the tests of the chapter
    tolerance: float = 0.0  # of what is solved numerically
    large: bool = False  # by default single points go one way, x -> z
    full: bool = False


class DensityCase(NamedTuple):
    """A density of one or two real numbers, in the cube [low, high]^dim but for what is nothing."""

    make: Callable[[], Density]
    dim: int = 2
    cond_shape: Shape | None = None
    low: float = -14.0
    high: float = 14.0
    full: bool = False


class LevelsCase(NamedTuple):
    """A density of a few grey levels, so that all states can be counted."""

    make: Callable[..., Density]  # make(inverse="naive") samples by the definition, if it is slow
    shape: Shape  # of an event
    num_levels: int
    cond_shape: Shape | None = None
    slow: bool = True  # whether inverse="naive" is another sampler to compare with
    order: tuple[int, ...] | None = None  # None: of no one order
    sees: int | None = None  # how many of those before it a coordinate looks at; None: all
    sharpens: bool = True  # whether it can be
    sharp: bool = False  # whether it is sharpened and completed, which is not a matter of the net
    full: bool = False

    @property
    def dim(self) -> int:
        return int(np.prod(self.shape))


class LatentCase(NamedTuple):
    """A latent variable model of so few levels that all x can be counted, or of one number."""

    make: Callable[[], LatentVariable]
    shape: Shape  # of an x
    num_levels: int | None = None  # None: x is one number in low..high but for what is nothing
    num_latents: int | None = 2  # 1 or 2, to be summed over; None where z is no such vector
    cond_shape: Shape | None = None
    spread: float = 0.3  # of the parameters
    low: float = -8.0
    high: float = 8.0
    full: bool = False


class Way(NamedTuple):
    """How a contract is computed."""

    x64: bool = False
    options: dict = QUICK

    def dtype(self):
        return np.float64 if self.x64 else np.float32

    def jit(self, function):
        return jax.jit(function, compiler_options=self.options)

    def precision(self) -> contextlib.AbstractContextManager:
        return jax.enable_x64(self.x64)


WAYS = {
    "quick": Way(),
    "float64": Way(x64=True),
    "as compiled for users": Way(options=DEFAULTS),
}


def parametrize(cases: dict, where: Callable = lambda name, way: True, ways=tuple(WAYS)):
    """A test of every case in every way, where where(name, way); all but the quick are `full`."""
    return pytest.mark.parametrize(
        "name, way",
        [
            pytest.param(
                name,
                way,
                id=name if way == "quick" else f"{name}, {way}",
                marks=[pytest.mark.full] if case.full or way != "quick" else [],
            )
            for way in ways
            for name, case in cases.items()
            if where(name, way)
        ],
    )


quickly = partial(parametrize, ways=("quick",))


def drawn(tree, seed: int, spread: float, dtype=np.float32):
    """N(0, spread²) for each entry of a tree of shapes, on the host: there is nothing to compile.

    What is no number, such as an order, stays what it was: zeros.
    """
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(0, spread, a.shape).astype(dtype), tree)
