"""Functions that build a model are marked, and `learning.load` calls no others."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .. import checks

Builder = TypeVar("Builder", bound=Callable[..., Any])


def builder(function: Builder) -> Builder:
    """Marks a function that builds a model, so that `learning.load` may call it: a decorator.

        @runs.builder
        def build(config: Config, dim: int) -> Density: ...

    function: one of a module, since it is found again by its name. What is no function raises
        `ValueError` here, and a lambda or a function of a notebook where a `learning.Recipe`
        records it

    Returns the same function.
    """
    if not inspect.isfunction(function):
        raise checks.InputError(f"function must be one of a module; got {checks.shown(function)}.")
    function.__dict__["builds_a_model"] = True
    return function


def builds(function: Any) -> bool:
    """Whether a function has that mark."""
    return inspect.isfunction(function) and getattr(function, "builds_a_model", False) is True
