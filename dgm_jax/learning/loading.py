"""What a run has learned, in one line: its options and its parameters."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp

from ..protocol import Params, State
from . import checkpoints


class Loaded(NamedTuple):
    config: dict[str, Any] | None  # config.json of the experiment; None where there is none
    params: Params  # what to evaluate and to sample with
    step: int  # of the checkpoint


def load(workdir: Path | str) -> Loaded:
    """config, params, step = load("runs/flows/compare/maf"): the run `train` kept in `workdir`.

    `params` is what algorithm.params selects, of the best state, or of the last checkpoint where
    nothing was monitored. Tuples come back as lists, named tuples as dicts. The arrays are checked
    bit by bit and go to the first device, whatever machine they come from; the rest of the state,
    such as that of an optimiser, stays on disk.

    `config` is the config.json in `workdir` or in the folder above. Where the newest checkpoint
    is damaged a line on stderr says so, and the one before it is taken; nothing is changed on
    disk, so a run in progress may be loaded. `FileNotFoundError` where there is no run,
    `checkpoints.NoUsableCheckpoint` where all of it is damaged.
    """
    directory = _directory(Path(workdir))
    with checkpoints.quiet():
        checkpointer = ocp.training.Checkpointer(directory.absolute())
    with contextlib.closing(checkpointer):
        found, damaged = checkpoints.newest_intact(
            directory, lambda step: (step, _params(checkpointer, step))
        )
    if found is None:
        raise FileNotFoundError(f"no checkpoint in {directory} yet.")
    step, params = found
    for worse, reason in damaged.items():
        checkpoints.say_damaged(directory / str(worse), reason, "left as it is", step)
    return Loaded(_config(directory.parent), params, step)


def places(select: Callable[[State], Params], template: State) -> Any:
    """Where the parts that `select` picks stand in a state, in what JSON can hold.

    A part of the template is its name, such as "params" or "players/critic/ema" ("" is all of it);
    a dict, list or tuple of parts is one of names. `select` sees a state whose leaves are their
    own names, so it can pick parts and compute nothing: else `ValueError`.
    """
    names = jax.tree_util.tree_map_with_path(lambda path, _: _name(path), template)
    try:
        picked = select(names)
        return _named_parts(picked, {id(node): name for name, node in _nodes(names)})
    except Exception as error:
        raise ValueError(
            "algorithm.params must pick parts of the state and compute nothing, so that a "
            f"checkpoint can say where they stand ({type(error).__name__}: {error})."
        ) from error


def _named_parts(picked, name_of):
    if picked is None or id(picked) in name_of:
        return None if picked is None else name_of[id(picked)]
    if hasattr(picked, "_asdict"):
        picked = picked._asdict()
    if isinstance(picked, dict):
        return {name: _named_parts(part, name_of) for name, part in picked.items()}
    if isinstance(picked, (list, tuple)):
        return [_named_parts(part, name_of) for part in picked]
    raise TypeError(f"{picked!r} is no part of it")


def _at(parts, nodes):
    """What stands at the places `parts` of a tree whose nodes have these names."""
    if isinstance(parts, dict):
        return {name: _at(part, nodes) for name, part in parts.items()}
    if isinstance(parts, list):
        return [_at(part, nodes) for part in parts]
    return None if parts is None else nodes[parts]


def _nodes(tree, path=()) -> Iterator[tuple[str, Any]]:
    """("params/w", node) of the tree itself, whose name is "", and of all that is in it."""
    yield _name(path), tree
    for key, child in jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda n: n is not tree):
        if key:
            yield from _nodes(child, path + key)


def _name(path):
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _params(checkpointer, step):
    about = checkpoints.description(checkpointer, step)
    parts = _parts(about)
    names = [name for name in jax.tree.leaves(parts)]
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def wanted(path, leaf):
        if any(checkpoints.within(_name(path), name) for name in names):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)
        return ocp.PLACEHOLDER

    abstract = jax.tree_util.tree_map_with_path(wanted, checkpoints.structure(checkpointer, step))
    return _at(
        parts, dict(_nodes(checkpoints.verified(checkpointer, step, abstract, about, names)))
    )


def _parts(about):
    """The places of what to load, in all that the checkpoint holds."""
    tree = "state" if about["note"].get("best_value") is None else "best"
    if "params" in about["note"]:
        return jax.tree.map(lambda name: f"{tree}/{name}".rstrip("/"), about["note"]["params"])
    # written before the places were noted, or not by `train`
    known = (f"{tree}/ema", f"{tree}/params", tree, "")
    return next(p for p in known if any(checkpoints.within(n, p) for n in about["leaves"]))


def _directory(workdir):
    directory = workdir / "checkpoints"
    if directory.is_dir():
        return directory
    inside = sorted(path.parent.name for path in workdir.glob("*/checkpoints"))
    if inside:
        raise FileNotFoundError(
            f"{workdir} holds several runs ({', '.join(inside)}); name one: {workdir / inside[0]}."
        )
    raise FileNotFoundError(f"no checkpoints in {workdir}; name the workdir of a run.")


def _config(workdir):
    for folder in (workdir, workdir.parent):
        if (folder / "config.json").is_file():
            return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return None
