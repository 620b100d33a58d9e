"""Conditions of stepwise nets: one vector for all steps, or one for each."""

from typing import NamedTuple

from ... import checks
from ...protocol import Array, Shape
from ..adapter import Dense
from .time import View


class PerStep(NamedTuple):
    """A vector for each step, c_t: value [batch, (steps,) n]. One for all is a plain array."""

    value: Array


Condition = PerStep | Array | None  # what a body is given


def of_condition(view: View, cond: Condition, features: int, layer=Dense, **named):
    """V c, the same for all steps, or V c_t; 0 where there is no condition."""
    if cond is None:  # and no layer, whose parameters nothing would read
        return 0
    # The layer is built at each step, since linen names layers in the order they are built.
    v = layer(features, use_bias=False, **named)
    return v(cond.value) if isinstance(cond, PerStep) else view.everywhere(v, cond)


def of_row(view: View, cond: Condition, features: int):
    """`of_condition` for steps that are rows of pixels: V c for all columns, or that of each."""
    v = of_condition(view, cond, features)
    return v if cond is None or isinstance(cond, PerStep) else v[..., None, :]


def check_per_step(cond_shape: Shape, height: int, width: int) -> None:
    """(n,), or (H, W, n) of a picture, or (T, n) of a sequence, a picture of one row."""
    fits = [(height, width)] + [(width,)] * (height == 1)
    if len(cond_shape) > 1 and tuple(cond_shape[:-1]) not in fits:
        each = f"({height}, {width}, n)" if height > 1 else f"({width}, n)"
        raise checks.InputError(
            f"cond_shape must be (n,), one condition for all steps, or {each}, one for each; got "
            f"{cond_shape}."
        )
