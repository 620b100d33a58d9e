"""Checkpoints: a tree of arrays on disk, whole or not at all, that know when they are damaged.

A checkpoint is a directory `<directory>/<step>` that appears by one rename, so a process killed
while writing leaves the older checkpoints as they were. A fingerprint of each array and a checksum
of all that is said about them are written beside the arrays. Arrays come back bit by bit, bfloat16
and typed keys included, on whatever devices the template asks for, or not at all: where the newest
checkpoint is damaged the one before it is taken.
"""

import contextlib
import errno
import functools
import gc
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from .. import checks
from ..protocol import Array, State
from ..runs import processes

ASIDE = "corrupt-"  # a damaged checkpoint is kept under this name
ROOM = 1_000_000  # bytes of a checkpoint besides its arrays, at most


class NoUsableCheckpoint(RuntimeError):
    """There are checkpoints, and all are damaged; the message has each step and what is wrong."""

    exit_code = 3


class NotFinite(ValueError):
    """An array to be saved holds NaN or infinity: the checkpoints before it are better."""


class Saved(NamedTuple):
    step: int
    state: State
    note: dict  # what `save` was told to note


class Checkpoints:
    """The newest `keep` checkpoints of one run.

        with Checkpoints(workdir / "checkpoints") as checkpoints:
            saved = checkpoints.restore(template)  # None, or (step, state, note)
            checkpoints.save(100, state)

    `save` blocks while the arrays are copied to the host and writes in the background; an error
    of the writing (a full disk) is an `OSError` of the next `save`, or on leaving the block.

    On several processes all of them call everything here, and all see one directory.
    """

    def __init__(self, directory, *, keep: int = 3):
        checks.positive_int(keep, "keep")
        self.directory = Path(directory).absolute()
        self._keep = keep
        self._open()

    def _open(self):
        with quiet():
            self._checkpointer = ocp.training.Checkpointer(
                self.directory,
                preservation_policy=ocp.training.preservation_policies.LatestN(self._keep),
                cleanup_tmp_directories=True,
            )

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(_muted("absl", "asyncio"))
        self._stack.callback(setattr, threading, "excepthook", threading.excepthook)
        threading.excepthook = functools.partial(_in_thread, threading.excepthook)
        return self

    def __exit__(self, kind, error, _):
        with self._stack:
            if processes.lost_peer(error):
                return  # without the lost one a checkpoint that is being written never ends
            with contextlib.suppress(Exception) if kind else self._writing():
                self._checkpointer.close()

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint on disk, damaged or not (waits for it), or None."""
        self._wait()
        return processes.from_first(lambda: max(_steps(self.directory), default=None))

    def save(self, step: int, state: State, *, note: dict | None = None) -> None:
        """Starts writing `state`, and with it `note`: a dict of what JSON can hold.

        `NotFinite`, a `ValueError`, names an array with NaN or infinity; then nothing is written.
        """
        checks.positive_int(step, "step", least=0)
        latest = self.latest
        if latest is not None and step <= latest:
            raise ValueError(f"step {step} is not after the newest checkpoint, {latest}.")
        empty = [name for name, leaf in _named(state).items() if leaf.size == 0]
        if empty:
            raise ValueError(f"{empty[0]} has no elements, which a checkpoint cannot hold.")
        inspected = _inspected(state)
        bad = [name for name, (_, finite) in inspected.items() if not finite]
        if bad:
            raise NotFinite(f"{bad[0]} is not finite")
        about = {
            "step": step,
            "leaves": describe(state),
            "fingerprints": {name: int(mark) for name, (mark, _) in inspected.items()},
            "note": json.loads(json.dumps(note or {})),  # as it will be read
        }
        about["checksum"] = _checksum(about)
        if processes.several():
            processes.from_first(lambda: self._check_room(state))
        with self._writing():
            begun = self._checkpointer.save_async(step, state, force=True, custom_metadata=about)
            if begun is None:
                raise OSError(f"orbax did not take step {step}")

    def restore(self, template: State) -> Saved | None:
        """The newest intact checkpoint, with the shapes, dtypes and devices of `template`.

        `template` has arrays or `jax.ShapeDtypeStruct` for leaves. Damaged checkpoints that are
        newer are renamed corrupt-<step>, each with a line on stderr. None where nothing was ever
        saved. `NoUsableCheckpoint` where all are damaged; then none is renamed. `ValueError`
        names the leaves that differ from the template: nothing is cast or reshaped.
        """
        self._wait()
        if processes.several():
            return self._restore_together(template)
        saved, damaged = _newest_alone(
            self.directory, lambda step: _restore(self._checkpointer, step, template)
        )
        if damaged:
            self._reopen()
        return saved

    def _restore_together(self, template):
        """A process that fails leaves the others waiting, so one decides before all read."""
        chosen = processes.from_first(lambda: _choose_apart(self.directory))
        if chosen is None:
            return None
        if chosen["damaged"]:
            self._reopen()
        try:
            return _restore(self._checkpointer, chosen["step"], template)
        except _Damaged as error:  # for this process only
            where = self.directory / str(chosen["step"])
            raise OSError(f"{where} was intact and cannot be read ({error}); try again.") from error

    def _wait(self):
        """Until nothing is being written.

        Several processes ask each other meanwhile: one that waits in silence would hear of the
        loss of another only when its heartbeat is missed.
        """
        while processes.several() and processes.any_of(self._checkpointer.is_saving_in_progress()):
            time.sleep(0.01)
        with self._writing():
            self._checkpointer.wait()

    def _check_room(self, state):
        """Where one of several processes cannot write, orbax has the others wait 20 minutes."""
        needed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
        with self._writing():
            if shutil.disk_usage(self.directory).free < needed + ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _reopen(self):
        with quiet():
            self._checkpointer.close()
        self._open()

    @contextlib.contextmanager
    def _writing(self):
        """An error of writing, whatever orbax makes of it, as one line about the disk."""
        try:
            with quiet():
                yield
        except Exception as error:
            if processes.lost_peer(error):
                raise
            reason, remedy = _reason(error), "see to it"
            if "RESOURCE_EXHAUSTED" in reason or getattr(error, "errno", 0) == errno.ENOSPC:
                reason, remedy = "no space left on the disk", "free some"
            latest = max(_steps(self.directory), default="none")
            raise OSError(
                f"a checkpoint could not be written to {self.directory} ({reason}; the newest "
                f"there is {latest}); {remedy}, and the same command resumes."
            ) from error


def _newest_alone(directory, read):
    """`newest_intact`, with the damaged ones that are newer renamed: the newest stands alone."""
    aside = sorted(path.name for path in directory.glob(f"{ASIDE}*"))
    if aside and not _steps(directory):
        raise NoUsableCheckpoint(
            f"{directory} has damaged checkpoints only: {', '.join(aside)}. "
            "Delete the directory to start afresh."
        )
    saved, damaged = newest_intact(directory, read)
    taken = max(set(_steps(directory)) - damaged.keys(), default=None)
    for step, reason in damaged.items():
        kept = _set_aside(directory, step)
        say_damaged(directory / str(step), reason, f"kept as {kept}", taken)
    return saved, damaged


def _choose_apart(directory):
    """`choose` in a process of its own, which reads alone: here orbax would wait for the others."""
    if not _steps(directory) and not list(directory.glob(f"{ASIDE}*")):
        return None
    program = f"from dgm_jax.learning import checkpoints; checkpoints.choose({str(directory)!r})"
    child = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
    )
    if child.returncode:
        raise OSError(f"{directory} could not be read (exit code {child.returncode}).")
    told = json.loads(child.stdout)
    if "error" in told:
        raise NoUsableCheckpoint(told["error"])
    return told


def choose(directory: str) -> None:
    """Prints {"step", "damaged"} of the newest intact one, or {"error"}; renames the rest."""
    directory = Path(directory)
    with quiet():
        checkpointer = ocp.training.Checkpointer(directory)

    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def read(step):
        about = description(checkpointer, step)
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here),
            structure(checkpointer, step),
        )
        verified(checkpointer, step, abstract, about)
        return step

    with contextlib.closing(checkpointer):
        try:
            step, damaged = _newest_alone(directory, read)
        except NoUsableCheckpoint as error:
            print(json.dumps({"error": str(error)}))
        else:
            print(json.dumps({"step": step, "damaged": sorted(damaged)}))


def newest_intact(directory: Path, read) -> tuple[Any, dict[int, str]]:
    """read(step) of the newest checkpoint that is what was saved, and {step: what is wrong} of
    those newer; (None, {}) where there is none. `NoUsableCheckpoint` where all are damaged.
    """
    damaged = {}
    for step in sorted(_steps(directory), reverse=True):
        try:
            return read(step), damaged
        except _Damaged as error:
            if (directory / str(step)).exists():
                damaged[step] = str(error)
            else:  # a run in progress has deleted it, and has newer ones
                return newest_intact(directory, read)
    if damaged:
        each = "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())
        raise NoUsableCheckpoint(
            f"all checkpoints in {directory} are damaged ({each}). "
            "Restore one from a copy, or delete the directory to start afresh."
        )
    return None, {}


def say_damaged(where: Path, reason: str, kept: str, step: int) -> None:
    print(f"checkpoint {where} is damaged ({reason}), {kept}; taking step {step}", file=sys.stderr)


# --------------------------------------------------------------------------------- fingerprints
def fingerprints(tree: State) -> dict[str, int]:
    """{"params/w": Σ_i mix(w_i + i φ) mod 2^32, ...} over the bit words w_i of each array.

    The same on every layout of devices. mix is a bijection of 32 bits, so a change of one word
    is always seen, any other with probability 1 - 2^-32. (A sum of w_i times odd weights is
    simpler and blind: 2^k equal words of few bits, such as ones, weigh the same as zeros.)
    """
    return {name: int(fingerprint) for name, (fingerprint, _) in _inspected(tree).items()}


def _inspected(tree) -> dict[str, tuple[Array, Array]]:
    """{"params/w": (fingerprint, whether all is finite), ...}"""
    return jax.device_get({name: _inspect(leaf) for name, leaf in _named(tree).items()})


@jax.jit
def _inspect(x: Array) -> tuple[Array, Array]:
    finite = jnp.isfinite(x).all() if jnp.issubdtype(x.dtype, jnp.inexact) else True
    return _fingerprint(x), finite


def _fingerprint(x: Array) -> Array:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        x = jnp.stack([x.real, x.imag], -1)
    if x.dtype == bool:
        x = x.astype(jnp.uint8)
    word = {1: jnp.uint8, 2: jnp.uint16}.get(x.dtype.itemsize, jnp.uint32)
    words = jax.lax.bitcast_convert_type(x, word).astype(jnp.uint32)  # 64 bits: [..., 2]
    index, stride = jnp.uint32(0), 1  # of an element, without a reshape, so shards stay in place
    for axis in reversed(range(words.ndim)):
        here = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        index += here * jnp.uint32(stride % 2**32)
        stride *= words.shape[axis]
    return _mix(words + index * jnp.uint32(0x9E3779B9)).sum(dtype=jnp.uint32)


def _mix(h: Array) -> Array:
    """The last lines of MurmurHash3 (Appleby, 2011): each bit flips half of the others."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> shift)) * jnp.uint32(factor)
    return h ^ (h >> 16)


# ------------------------------------------------------------------------------------- reading
class _Damaged(Exception):
    """What is wrong with one checkpoint."""


def _restore(checkpointer, step, template):
    """One checkpoint, as `template`: each leaf by its name, whatever holds it on disk."""
    about = description(checkpointer, step)
    _compare(about["leaves"], describe(template), f"{checkpointer.directory}/{step}")
    wanted = {name: _abstract(leaf) for name, leaf in _named(template).items()}
    on_disk = structure(checkpointer, step)
    if unknown := _named(on_disk).keys() - wanted.keys():
        raise _Damaged(f"{min(unknown)} is in its table of contents only")
    abstract = jax.tree_util.tree_map_with_path(lambda path, _: wanted[_name(path)], on_disk)
    found = _named(verified(checkpointer, step, abstract, about))
    state = jax.tree.unflatten(jax.tree.structure(template), [found[name] for name in wanted])
    return Saved(step, state, about["note"])


def description(checkpointer, step: int) -> dict:
    """{"step", "leaves", "fingerprints", "note"} of one checkpoint."""
    about = _attempt(lambda: checkpointer.metadata(step).custom_metadata)
    if not isinstance(about, dict) or about.pop("checksum", None) != _checksum(about):
        raise _Damaged("its description fails its checksum")
    if about["step"] != step:
        raise _Damaged(f"it is of step {about['step']}")
    return about


def structure(checkpointer, step: int) -> State:
    """The tree of one checkpoint, with what has a shape and a dtype for leaves."""
    return _attempt(lambda: checkpointer.metadata(step).metadata)


def verified(
    checkpointer, step: int, abstract: State, about: dict, parts: Sequence[str] = ("",)
) -> State:
    """The `parts` of one checkpoint, which `abstract` asks for, if it is what was saved."""
    state = _attempt(lambda: checkpointer.load(step, abstract))
    types = describe(state)
    wanted = {name for name in about["leaves"] if any(within(name, part) for part in parts)}
    missing = wanted - types.keys()
    if missing:
        raise _Damaged(f"{min(missing)} is missing")
    for name, value in fingerprints(state).items():
        if (types[name], value) != (about["leaves"].get(name), about["fingerprints"].get(name)):
            raise _Damaged(f"{name} is not what was saved")
    return state


def _attempt(read):
    """read(), or one line on what is wrong with the files; not on what is with the machine."""
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            return read()
    except (jax.errors.JaxRuntimeError, MemoryError):  # no room, or a lost peer
        raise
    except Exception as error:
        reason = _reason(error)
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        time.sleep(0.2)  # the other reads of this checkpoint end, and complain, one by one
        gc.collect()
    raise _Damaged(reason)


def _reason(error):
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def _compare(saved, wanted, where):
    differing = [
        f"{leaf} is {saved.get(leaf, 'absent')}, wanted {wanted.get(leaf, 'absent')}"
        for leaf in sorted(saved.keys() | wanted.keys())
        if saved.get(leaf) != wanted.get(leaf)
    ]
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ValueError(
            f"checkpoint {where} is of another model: {'; '.join(differing[:3])}{more}. "
            "Use the configuration it was made with, or another directory."
        )


def _set_aside(directory, step):
    """Out of the way, or a later save of this step would not be made."""
    name = f"{ASIDE}{step}"
    while (directory / name).exists():
        name += "-again"
    (directory / str(step)).rename(directory / name)
    return name


def _steps(directory):
    """Of all that looks like a checkpoint, whatever is in it."""
    return [int(path.name) for path in directory.iterdir() if path.name.isdecimal()]


def within(name: str, part: str) -> bool:
    """Whether the leaf "state/params/w" lies in the part "state/params"; all do in ""."""
    return not part or f"{name}/".startswith(f"{part}/")


def _named(tree) -> dict[str, Array]:
    """{"params/w": array, ...}, without what was not loaded."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_name(path): leaf for path, leaf in leaves if leaf is not ...}


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def describe(tree) -> dict[str, str]:
    """{"params/w": "float32[2, 3]", ...}: what a checkpoint must agree on."""
    return {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in _named(tree).items()}


def _checksum(about) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _abstract(leaf):
    sharding = getattr(leaf, "sharding", None)
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=sharding)


def _in_thread(hook, args):
    """What a thread of orbax meets is raised again by `save`, without its traceback."""
    if not type(args.thread).__module__.startswith("orbax"):
        hook(args)


@contextlib.contextmanager
def quiet():
    """Silences what orbax logs and warns of: what matters is raised."""
    with _muted("", "absl", "asyncio"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _muted(*names):
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
