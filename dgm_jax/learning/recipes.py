"""A recipe records how a model was built, so that `load` can build it again.

    @runs.builder
    def build(config: Config, dim: int) -> Density: ...

    recipe = learning.Recipe(build, {"config": config, "dim": 64})
    model = recipe.model()
    learning.train(..., workdir="runs/mine", recipe=recipe)

    loaded = learning.load("runs/mine")
    loaded.model.dist(loaded.params).log_prob(x)

A checkpoint holds the name of the builder and its arguments as JSON, and no code. To rebuild the
model, the module of that name is imported and the function is called. So the module must be
importable where the run is loaded, and only functions marked by `runs.builder` are called.
"""

import base64
import dataclasses
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import checks
from ..protocol import Algorithm, Params
from ..runs.builders import builds
from ..runs.directory import program
from ..runs.values import plain


class Recipe(NamedTuple):
    """model = builder(**arguments): how a model is built, a record for `load`.

    builder: a function of a module, marked by `runs.builder`, that returns a model with an `init`
    arguments: {name: value}. A value is a JSON value (no NaN or infinity), an array (kept bit by
        bit), a dataclass, or a dict, list or tuple of these. Lists come back as tuples. For a
        dataclass, the parameter of the builder must be annotated with its type. Its fields that are
        paths come back with their default values

    Give it to `train` or `save`. A checkpoint then holds the name of the builder and the arguments
    as JSON, and no code: the module must be importable where the run is loaded.
    """

    builder: Callable[..., Any]
    arguments: dict[str, Any]

    def __repr__(self):
        given = (f"{name}={checks.shown(value)}" for name, value in self.arguments.items())
        return f"Recipe: {getattr(self.builder, '__qualname__', self.builder)}({', '.join(given)})"

    def model(self) -> Any:
        """builder(**arguments), with the arguments as they would come back from a checkpoint."""
        return _built(self.builder, self.record()["arguments"])

    def record(self) -> dict[str, Any]:
        """{"builder": "module:function", "arguments": {...}} as JSON: what a checkpoint holds.

        Raises `ValueError` for a builder that cannot be imported by name, and for an argument that
        cannot be recorded.
        """
        checks.function(self.builder, "builder of the recipe")
        name = getattr(self.builder, "__qualname__", "")
        module = program(self.builder) if name else ""
        if not name.isidentifier() or module == "__main__" or not builds(self.builder):
            raise checks.InputError(
                f"builder of the recipe must be a function of a module, which {name or 'it'} of "
                f"{module or 'no module'} is not, marked with @runs.builder. One that is "
                "written in a notebook cannot be found again: put it in a file, or leave the "
                "recipe out."
            )
        types = inspect.get_annotations(self.builder, eval_str=True)
        arguments = {
            name: _encoded(value, f"recipe/{name}", types.get(name))
            for name, value in self.arguments.items()
        }
        return {"builder": f"{module}:{name}", "arguments": arguments}

    def check(self, params: Params) -> None:
        """Compares params with the parameters of the model of this recipe.

        Returns nothing. Raises `ValueError` if their structure or a shape differs.
        """
        try:
            checks.parameters(params, self.model().init)
        except checks.InputError as error:
            raise checks.InputError(
                f"recipe builds another model than the one that is trained: {error}"
            ) from error


def recorded(
    recipe: Recipe | None, algorithm: Algorithm, workdir: Path | str | None
) -> dict[str, Any] | None:
    """The record of a recipe for a run in `workdir`, after checking that it fits the algorithm."""
    if recipe is None:
        return None
    if workdir is None:
        raise checks.InputError("recipe needs workdir, which was not given.")
    state = jax.eval_shape(lambda: algorithm.init(jax.random.key(0)))
    return checked(recipe, algorithm.params(state))


def checked(recipe: Recipe, params: Params) -> dict[str, Any]:
    """The record of a recipe, after checking that it builds the model of these parameters."""
    checks.noun(recipe, Recipe, "recipe")
    recipe.check(params)
    return recipe.record()


def rebuilt(record: dict[str, Any]) -> Any:
    """The model of a record.

    `InputError` if the builder cannot be imported, or no longer takes these arguments.
    """
    where = record["builder"]
    module, _, name = where.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise checks.InputError(
            f"the model is built by {where}, which cannot be imported here ({error}). Start Python "
            "in the folder that holds it, or put that folder into PYTHONPATH; without it, build "
            "the model yourself: the parameters are here."
        ) from error
    if not builds(found):
        raise checks.InputError(
            f"the model is built by {where}, which is no function marked with @runs.builder "
            "here: another version of the code wrote this run."
        )
    return _built(found, record["arguments"], hint=" Another version of the code wrote this run.")


def _built(function, arguments, hint=""):
    types = inspect.get_annotations(function, eval_str=True)
    try:
        given = {name: _decoded(value, types.get(name)) for name, value in arguments.items()}
        inspect.signature(function).bind(**given)
    except TypeError as error:
        raise checks.InputError(
            f"{function.__module__}.{function.__qualname__} does not take the arguments of the "
            f"recipe ({error}).{hint}"
        ) from error
    return function(**given)


# ------------------------------------------------------------------------ arguments in JSON
def _encoded(value, place, kind=None):
    """`value` in JSON: what is no number, word or list there is {"array" | "dict" | "fields": ...}.

    `kind` is its annotation.
    """
    if isinstance(value, (np.ndarray, jax.Array)):
        value = np.asarray(value)
        if value.dtype.kind not in "biuf":
            raise checks.InputTypeError(f"{place} must be an array of numbers; got {value.dtype}.")
        said = {"dtype": str(value.dtype), "shape": list(value.shape)}
        return said | {"array": base64.b64encode(value.tobytes()).decode()}
    if isinstance(value, (list, tuple)):
        return [_encoded(part, f"{place}/{i}") for i, part in enumerate(value)]
    if isinstance(value, dict):
        return {"dict": {name: _encoded(part, f"{place}/{name}") for name, part in value.items()}}
    if dataclasses.is_dataclass(value):
        if kind is not type(value):
            raise checks.InputError(
                f"{place} is a {type(value).__name__}: the builder must annotate that parameter "
                "with its type, so that it can be made again."
            )
        types = inspect.get_annotations(kind, eval_str=True)
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {
            "fields": {
                name: _encoded(part, f"{place}/{name}", types.get(name))
                for name, part in parts.items()
                if not isinstance(part, Path)
            }
        }
    return plain(value, place)


def _decoded(value, kind=None):
    if isinstance(value, list):
        return tuple(map(_decoded, value))
    if not isinstance(value, dict):
        return value
    if "array" in value:
        numbers = np.frombuffer(base64.b64decode(value["array"]), value["dtype"])
        return numbers.reshape(value["shape"]).copy()
    if "dict" in value:
        return {name: _decoded(part) for name, part in value["dict"].items()}
    types = inspect.get_annotations(kind, eval_str=True) if inspect.isclass(kind) else {}
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind} is no dataclass")
    return kind(**{name: _decoded(part, types.get(name)) for name, part in value["fields"].items()})
