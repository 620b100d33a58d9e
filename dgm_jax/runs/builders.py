"""Functions that build a model, known by a mark: a run names one, and no other is called."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .. import checks

Builder = TypeVar("Builder", bound=Callable[..., Any])


def builder(function: Builder) -> Builder:
    """Marks a function of a module as one that builds a model, which `learning.load` may call."""
    if not inspect.isfunction(function):
        raise checks.InputError(f"function must be one of a module; got {checks.shown(function)}.")
    function.builds_a_model = True
    return function


def builds(function: Any) -> bool:
    """Whether it is a function with that mark."""
    return inspect.isfunction(function) and getattr(function, "builds_a_model", False) is True
