"""Reads one checkpoint bit by bit as it was saved, or reports it as damaged."""

import contextlib
import gc
import io
import json
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp

from ... import checks
from ...protocol import State
from .fingerprints import fingerprints
from .leaves import describe, name, named, within
from .quiet import of_the_machine, quiet, reason


class Saved(NamedTuple):
    """One checkpoint, as `restore` returns it."""

    step: int
    state: State
    note: dict[str, Any]  # what `save` was told to note


class Damaged(Exception):
    """A damaged checkpoint; the message says what is wrong."""


def restore(
    checkpointer: ocp.training.Checkpointer,
    step: int,
    template: State,
    check: Callable[[int, dict], None] | None = None,
) -> Saved:
    """Reads one checkpoint into the tree structure of `template`: (step, state, note), a `Saved`.

    Leaves are matched by their names, and must have the shapes and dtypes of those of `template`;
    its values are not used. Each leaf is placed on the devices of its counterpart, or on the first
    device of this process if that is no array of JAX.

    checkpointer, step: the orbax checkpointer of the directory, and the number of the step to read
    check: a function of (step, note) that is called before any array is read; it refuses the
        checkpoint by raising an error

    Raises `InputError` if the checkpoint is of another model, `Damaged` if its files are not as
    they were saved, and `OSError` if the machine is at fault, such as for a missing permission.
    """
    about = description(checkpointer, step)
    if check is not None:
        check(step, about["note"])
    _compare(about["leaves"], describe(template), f"{checkpointer.directory}/{step}")
    wanted = {where: _like(leaf) for where, leaf in named(template).items()}
    on_disk = structure(checkpointer, step)
    if unknown := named(on_disk).keys() - wanted.keys():
        raise Damaged(f"{min(unknown)} is in its table of contents only")
    abstract = jax.tree_util.tree_map_with_path(lambda path, _: wanted[name(path)], on_disk)
    found = named(verified(checkpointer, step, abstract, about))
    state = jax.tree.unflatten(jax.tree.structure(template), [found[where] for where in wanted])
    return Saved(step, state, about["note"])


def description(checkpointer: ocp.training.Checkpointer, step: int) -> dict[str, Any]:
    """{"step", "leaves", "fingerprints", "note"}: the metadata of one checkpoint."""
    about = _attempt(lambda: checkpointer.metadata(step).custom_metadata)
    if not isinstance(about, dict) or about.pop("checksum", None) != checksum(about):
        raise Damaged("its description fails its checksum")
    if about["step"] != step:
        raise Damaged(f"it is of step {about['step']}")
    return about


def structure(checkpointer: ocp.training.Checkpointer, step: int) -> State:
    """The tree of one checkpoint on disk: dicts and lists with shapes and dtypes as leaves."""
    return _attempt(lambda: checkpointer.metadata(step).metadata)


def here(leaf: Any) -> jax.ShapeDtypeStruct:
    """A request for a leaf on the first device of this process."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)


def verified(
    checkpointer: ocp.training.Checkpointer,
    step: int,
    abstract: State,
    about: dict[str, Any],
    parts: Sequence[str] = ("",),
) -> State:
    """Reads some leaves of one checkpoint and compares their fingerprints with those saved.

    checkpointer, step: the orbax checkpointer of the directory, and the number of the step to read
    abstract: the tree that `structure` returns, with a `jax.ShapeDtypeStruct` in place of each leaf
        to be read, and orbax's placeholder in place of every other
    about: the dict that `description` returns, which has the names and fingerprints of all leaves
    parts: the names of the subtrees or leaves that must be there; "" is the whole tree

    Returns the tree on disk with the arrays. Raises `Damaged` if a leaf is missing or is not what
    was saved, and `OSError` if the machine is at fault.
    """
    state = _attempt(lambda: checkpointer.load(step, abstract))
    types = describe(state)
    wanted = {leaf for leaf in about["leaves"] if any(within(leaf, part) for part in parts)}
    missing = wanted - types.keys()
    if missing:
        raise Damaged(f"{min(missing)} is missing")
    for leaf, mark in fingerprints(state).items():
        if (types[leaf], mark) != (about["leaves"].get(leaf), about["fingerprints"].get(leaf)):
            raise Damaged(f"{leaf} is not what was saved")
    return state


def _attempt(read: Callable[[], Any]) -> Any:
    """read(); raises `Damaged` if the files are at fault, `OSError` if the machine is (no room)."""
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            return read()
    except (jax.errors.JaxRuntimeError, MemoryError):  # no room, or a lost peer
        raise
    except Exception as error:
        what, trouble = reason(error), of_the_machine(error)
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        time.sleep(0.2)  # the other reads of this checkpoint end, and complain, one by one
        gc.collect()
    if trouble:
        raise OSError(f"a checkpoint could not be read ({trouble[0]}); {trouble[1]}.")
    raise Damaged(what)


def _compare(saved, wanted, where):
    differing = [
        f"{leaf} is {saved.get(leaf, 'absent')}, wanted {wanted.get(leaf, 'absent')}"
        for leaf in sorted(saved.keys() | wanted.keys())
        if saved.get(leaf) != wanted.get(leaf)
    ]
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise checks.InputError(
            f"checkpoint {where} is of another model: {'; '.join(differing[:3])}{more}. "
            "Use the configuration it was made with, or another directory."
        )


def checksum(about: dict[str, Any]) -> int:
    """A checksum of the metadata of a checkpoint."""
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _like(leaf):
    """What asks for a leaf where that of the template is, or else here."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return here(leaf)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
