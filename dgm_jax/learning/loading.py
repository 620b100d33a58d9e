"""Loads what a run has learned: its options, its parameters and its model."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp

from .. import checks
from ..protocol import Params, State, num_params
from ..runs.directory import writable
from ..runs.values import read_json
from .checkpoints import Checkpoints, NotFinite, newest, reading
from .checkpoints.leaves import name, parts, within
from .checkpoints.quiet import quiet
from .recipes import Recipe, checked, rebuilt


class Loaded(NamedTuple):
    """The result of `load`.

    config: the options of the experiment, from its config.json; None if it has none
    params: the parameters to evaluate and to sample with
    step: the step of the checkpoint they come from
    recipe: the record of how the model is built (`learning.Recipe`), a dict; None if the run has
        none
    model: the model, rebuilt from `recipe` at every access
    """

    config: dict[str, Any] | None  # config.json of the experiment; None where there is none
    params: Params  # what to evaluate and to sample with
    step: int  # of the checkpoint
    recipe: dict[str, Any] | None  # how the model is built (`learning.Recipe`), if the run says it

    def __repr__(self):
        model = f", model by {self.recipe['builder']}" if self.recipe else ""
        return f"Loaded: step {self.step}, {num_params(self.params):,} parameters{model}"

    @property
    def model(self) -> Any:
        """The model of `params`, rebuilt at every access.

        Raises `ValueError` if the run has no recipe, or if its builder cannot be imported here.
        """
        if self.recipe is None:
            raise checks.InputError(
                "the run does not say how its model is built. Build it as for training, and use "
                "it with these params; train(..., recipe=learning.Recipe(...)) would say it."
            )
        return rebuilt(self.recipe)


def load(workdir: Path | str) -> Loaded:
    """The result of the run in `workdir`, or of the only run below it, as `Loaded`.

        loaded = load("runs/flows/compare/maf")
        log_prob = jax.jit(lambda params, x: loaded.model.dist(params).log_prob(x))
        log_prob(loaded.params, x)

    workdir: the directory that was given to `train`, `fit_to_data` or `save`

    The result has params, step, config and model. `params` is what algorithm.params selects from
    the best state, or from the last checkpoint if nothing was monitored. Tuples come back as lists,
    named tuples as dicts. The arrays are verified bit by bit and placed on the first device. The
    rest of the state, such as that of an optimiser, is not read. `model` is there if `train` or
    `save` was given a recipe, as in all experiments; it scores and samples in the units of the
    data. `config` is read from config.json in `workdir` or in the folder above.

    If the newest checkpoint is damaged, the one before it is loaded and a line on stderr says so.
    Nothing is changed on disk, so that a run in progress can be loaded. Raises `FileNotFoundError`
    if there is no run, `ValueError` if there are several, `NoUsableCheckpoint` if all checkpoints
    are damaged.
    """
    directory = _directory(checks.path(workdir, "workdir"))
    with quiet():
        checkpointer = ocp.training.Checkpointer(directory.absolute())
    with contextlib.closing(checkpointer):
        found, damaged = newest.newest_intact(
            directory, lambda step: (step, *_learned(checkpointer, step))
        )
    if found is None:
        raise FileNotFoundError(f"no checkpoint in {directory} yet.")
    step, params, recipe = found
    for worse, reason in damaged.items():
        newest.say_damaged(directory / str(worse), reason, "left as it is", step)
    return Loaded(_config(directory.parent), params, step, recipe)


def save(workdir: Path | str, params: Params, *, recipe: Recipe | None = None) -> None:
    """Saves parameters for `load`, such as those that `fit` returned.

        learning.save("runs/moons", params)
        params = learning.load("runs/moons").params

    workdir: a directory of its own, which is made if it does not exist. Saving again adds a
        version: the newest is loaded, the three newest are kept
    params: a tree of arrays
    recipe: how to build their model, for `load(workdir).model`; None for none

    Raises `ValueError` for parameters that are not finite or do not fit the model of the recipe,
    and `OSError` if the disk is full.
    """
    workdir = checks.path(workdir, "workdir")
    for part in jax.tree.leaves(params) or [None]:
        checks.array(part, "each part of params")
    params = jax.tree.map(jnp.asarray, params)
    record = None if recipe is None else checked(recipe, params)
    writable(workdir)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        step = 0 if checkpoints.latest is None else checkpoints.latest + 1
        try:
            checkpoints.save(step, {"state": params}, note={"params": "", "recipe": record})
        except NotFinite as error:
            raise checks.InputError(f"params cannot be kept: {error}.") from error


def places(select: Callable[[State], Params], template: State) -> Any:
    """Where in a state the parts are that `select` picks, as JSON.

    A part of the template is its name, such as "params" or "players/critic/ema" ("" is all of it);
    a dict, list or tuple of parts is one of names. `select` is called with a state whose leaves are
    their own names, so it can only select; if it computes, it raises a `ValueError`.
    """
    names = jax.tree_util.tree_map_with_path(lambda path, _: name(path), template)
    try:
        picked = select(names)
        return _places(picked, {id(part): where for where, part in parts(names)})
    except Exception as error:
        raise checks.InputError(
            "algorithm.params must pick parts of the state and compute nothing, so that a "
            f"checkpoint can say where they stand ({type(error).__name__}: {error})."
        ) from error


def _places(picked, place_of):
    if picked is None or id(picked) in place_of:
        return None if picked is None else place_of[id(picked)]
    if hasattr(picked, "_asdict"):  # a named tuple
        picked = picked._asdict()
    if isinstance(picked, dict):
        return {key: _places(part, place_of) for key, part in picked.items()}
    if isinstance(picked, (list, tuple)):
        return [_places(part, place_of) for part in picked]
    raise TypeError(f"{picked!r} is no part of it")


def _at(places, part_of):
    """What stands at these places of a tree whose parts are part_of[name]."""
    if isinstance(places, dict):
        return {key: _at(place, part_of) for key, place in places.items()}
    if isinstance(places, list):
        return [_at(place, part_of) for place in places]
    return None if places is None else part_of[places]


def _learned(checkpointer, step):
    """The selected parameters, and how the model of them is built."""
    about = reading.description(checkpointer, step)
    selected = _selected(about)
    names = jax.tree.leaves(selected)

    def wanted(path, leaf):
        asked = any(within(name(path), part) for part in names)
        return reading.here(leaf) if asked else ocp.PLACEHOLDER

    on_disk = reading.structure(checkpointer, step)
    abstract = jax.tree_util.tree_map_with_path(wanted, on_disk)
    state = reading.verified(checkpointer, step, abstract, about, names)
    return _at(selected, dict(parts(state))), about["note"].get("recipe")


def _selected(about):
    """The places of what to load, in all that the checkpoint holds."""
    tree = "state" if about["note"].get("best_value") is None else "best"
    if "params" in about["note"]:
        return jax.tree.map(lambda name: f"{tree}/{name}".rstrip("/"), about["note"]["params"])
    # written before the places were noted, or not by `train`
    known = (f"{tree}/ema", f"{tree}/params", tree, "")
    return next(p for p in known if any(within(n, p) for n in about["leaves"]))


def _directory(workdir):
    directory = workdir / "checkpoints"
    if directory.is_dir():
        return directory
    inside = sorted(workdir.glob("*/checkpoints"))
    if len(inside) == 1:
        return inside[0]
    if inside:
        runs = ", ".join(path.parent.name for path in inside)
        raise checks.InputError(
            f"{workdir} holds several runs ({runs}); name one: {inside[0].parent}."
        )
    gone = "" if workdir.exists() else ", which does not exist"
    raise FileNotFoundError(f"no checkpoints in {workdir}{gone}; name the workdir of a run.")


def _config(workdir):
    for folder in (workdir, workdir.parent):
        path = folder / "config.json"
        if path.exists():
            return _options(path)
    return None


def _options(path):
    """The parameters do not depend on them: where they are damaged a line says so."""
    try:
        return read_json(path)
    except (checks.InputError, PermissionError) as error:
        print(f"{error} config is None", file=sys.stderr)
