"""Conditions of stepwise nets: one vector for all steps, or one for each."""

from typing import NamedTuple

from ... import checks
from ...protocol import Array, Shape
from ..adapter import Dense
from .time import View


class PerStep(NamedTuple):
    """A vector c_t for each step: value [batch, (steps,) n].

    The condition that is one for all steps is a plain array [batch, n] instead.
    """

    value: Array


Condition = PerStep | Array | None  # what a body gets


def of_condition(view: View, cond: Condition, features: int, layer=Dense, **named):
    """V c for one condition for all steps, V c_t for one for each step, 0 without a condition."""
    if cond is None:
        return 0
    # Built also where `everywhere` will not call it: linen names layers by the order of building.
    v = layer(features, use_bias=False, **named)
    return v(cond.value) if isinstance(cond, PerStep) else view.everywhere(v, cond)


def of_row(view: View, cond: Condition, features: int):
    """`of_condition` where a step is a row: V c at all its columns, or V c_hw at each."""
    v = of_condition(view, cond, features)
    return v if cond is None or isinstance(cond, PerStep) else v[..., None, :]


def check_per_step(cond_shape: Shape, height: int, width: int) -> None:
    """Refuses all but (n,), (H, W, n) for a picture, and (T, n) for a sequence, of one row."""
    fits = [(height, width)] + [(width,)] * (height == 1)
    if len(cond_shape) > 1 and tuple(cond_shape[:-1]) not in fits:
        each = f"({height}, {width}, n)" if height > 1 else f"({width}, n)"
        raise checks.InputError(
            f"cond_shape must be (n,), one condition for all steps, or {each}, one for each; got "
            f"{cond_shape}."
        )
