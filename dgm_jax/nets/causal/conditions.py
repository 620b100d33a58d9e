"""Conditions of stepwise nets: one vector for all steps, or one per step."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ... import checks
from ...protocol import Array, Shape
from ..adapter import Dense
from .time import View


class PerStep(NamedTuple):
    """A vector c_t for each step: value [batch, (steps,) n].

    A condition for all steps is a plain array [batch, n] instead.
    """

    value: Array


Condition = PerStep | Array | None  # what a body gets


def of_condition(
    view: View,
    cond: Condition,
    features: int,
    layer: Callable[..., Any] = Dense,
    **named: Any,
) -> Any:
    """V c for a condition for all steps, V c_t for one per step, 0 without a condition.

    view: the view of time; features: the size of the result; layer: the type of V, with options
    `named`.
    """
    if cond is None:
        return 0
    # Built also where `everywhere` will not call it: linen names layers by the order of building.
    v = layer(features, use_bias=False, **named)
    return v(cond.value) if isinstance(cond, PerStep) else view.everywhere(v, cond)


def of_row(view: View, cond: Condition, features: int) -> Any:
    """`of_condition` if a step is a row of pixels: V c at all its columns, or V c_hw at each."""
    v = of_condition(view, cond, features)
    return v if cond is None or isinstance(cond, PerStep) else v[..., None, :]


def check_per_step(cond_shape: Shape, height: int, width: int) -> None:
    """Allows cond_shape (n,), (height, width, n) for images, and (T, n) for sequences."""
    fits = [(height, width)] + [(width,)] * (height == 1)
    if len(cond_shape) > 1 and tuple(cond_shape[:-1]) not in fits:
        each = f"({height}, {width}, n)" if height > 1 else f"({width}, n)"
        raise checks.InputError(
            f"cond_shape must be (n,), one condition for all steps, or {each}, one for each; got "
            f"{cond_shape}."
        )
