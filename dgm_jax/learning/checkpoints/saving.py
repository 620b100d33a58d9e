"""The newest checkpoints of one run: saved in the background, restored bit by bit."""

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from ... import checks
from ...protocol import State
from ...runs import processes
from ...runs.locks import confirm
from . import newest, reading
from .fingerprints import inspected
from .leaves import describe, named
from .quiet import of_the_machine, quiet, quiet_threads, reason

ROOM = 1_000_000  # bytes of a checkpoint besides its arrays, at most


class NotFinite(ValueError):
    """An array to be saved holds NaN or infinity, so the older checkpoints are kept instead."""


class Checkpoints:
    """The newest checkpoints of one run: saved in the background, restored bit by bit.

        with Checkpoints(workdir / "checkpoints") as checkpoints:
            saved = checkpoints.restore(template)  # None, or (step, state, note)
            checkpoints.save(100, state)

    directory: where they are, a folder for each step. keep: how many are kept, the newest

    `save` blocks while the arrays are copied to the host and writes in the background. An error in
    writing, such as a full disk, is an `OSError` of the next `save` or at the end of the block.
    `train` uses it; to save parameters alone use `learning.save`. In runs of several processes all
    of them make all calls here, and all see one directory.
    """

    def __init__(self, directory: Path | str, *, keep: int = 3):
        keep = checks.positive_int(keep, "keep")
        self.directory = checks.path(directory, "directory").absolute()
        self._keep = keep
        self._open()

    def _open(self):
        policy = ocp.training.preservation_policies.LatestN(self._keep)
        with quiet():
            self._checkpointer = ocp.training.Checkpointer(
                str(self.directory),
                # orbax's types want other metrics of its policies than these declare
                preservation_policy=policy,  # ty: ignore[invalid-argument-type]
                cleanup_tmp_directories=True,
            )

    def __enter__(self):
        self._quiet = quiet_threads()
        self._quiet.__enter__()
        return self

    def __exit__(self, kind, error, _):
        with contextlib.ExitStack() as stack:
            stack.callback(self._quiet.__exit__, None, None, None)
            if processes.lost_peer(error):
                return  # without the lost one a checkpoint that is being written never ends
            with contextlib.suppress(Exception) if kind else self._writing():
                self._checkpointer.close()

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint, damaged or not, or None; waits for pending writes."""
        self._wait()
        return processes.from_first(lambda: max(newest.steps(self.directory), default=None))

    def save(self, step: int, state: State, *, note: dict[str, Any] | None = None) -> None:
        """Starts to write `state`, a tree of arrays, as the checkpoint of this step.

        step: after the newest checkpoint; otherwise `ValueError`
        note: a dict of JSON values that is kept with it

        Raises `NotFinite`, a `ValueError`, that names an array with NaN or infinity; then nothing
        is written.
        """
        step = checks.positive_int(step, "step", least=0)
        processes.from_first(lambda: confirm(self.directory.parent))
        latest = self.latest
        if latest is not None and step <= latest:
            raise checks.InputError(f"step {step} is not after the newest checkpoint, {latest}.")
        about = _about(step, state, note or {})
        if processes.several():
            processes.from_first(lambda: self._check_room(state, about))
        with self._writing():
            begun = self._checkpointer.save_async(step, state, force=True, custom_metadata=about)
            if begun is None:
                raise OSError(f"orbax did not take step {step}")

    def restore(
        self, template: State, *, check: Callable[[int, dict], None] | None = None
    ) -> reading.Saved | None:
        """(step, state, note) of the newest intact checkpoint, or None if nothing was saved.

        template: a tree like the state, with arrays or `jax.ShapeDtypeStruct` as leaves, which says
            the shapes, dtypes and devices. Nothing is cast or reshaped: a `ValueError` names the
            leaves that differ
        check: check(step, note) may raise before that, to refuse a checkpoint

        Newer, damaged checkpoints are renamed corrupt-<step>, each with a line on stderr. Raises
        `NoUsableCheckpoint` if all are damaged; then none is renamed.
        """
        self._wait()
        if processes.several():
            return self._restore_together(template, check)
        saved, damaged = newest.newest_alone(
            self.directory, lambda step: reading.restore(self._checkpointer, step, template, check)
        )
        if damaged:
            self._reopen()
        return saved

    def _restore_together(self, template, check):
        """A process that fails leaves the others waiting, so one decides before all read."""
        chosen = processes.from_first(lambda: newest.choose_apart(self.directory))
        if chosen is None:
            return None
        if chosen["damaged"]:
            self._reopen()
        try:
            return reading.restore(self._checkpointer, chosen["step"], template, check)
        except reading.Damaged as error:  # for this process only
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

    def _check_room(self, state, about):
        """Where one of several processes cannot write, orbax has the others wait 20 minutes."""
        needed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
        needed += len(json.dumps(about))
        with self._writing():
            if shutil.disk_usage(self.directory).free < needed + ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _reopen(self):
        with quiet():
            self._checkpointer.close()
        self._open()

    @contextlib.contextmanager
    def _writing(self) -> Generator[None]:
        """An error of writing, whatever orbax makes of it, as one line about the disk."""
        try:
            with quiet():
                yield
        except Exception as error:
            if processes.lost_peer(error):
                raise
            why, remedy = of_the_machine(error) or (reason(error), "see to it")
            latest = max(newest.steps(self.directory), default="none")
            raise OSError(
                f"a checkpoint could not be written to {self.directory} ({why}; the newest "
                f"there is {latest}); {remedy}, and the same command resumes."
            ) from error


def _about(step, state, note):
    """What stands beside the arrays: their types and fingerprints, the note, a checksum of all."""
    for name, leaf in named(state).items():
        if leaf.size == 0:
            raise checks.InputError(f"{name} has no elements, which a checkpoint cannot hold.")
    found = inspected(state)
    for name, (_, finite) in found.items():
        if not finite:
            raise NotFinite(f"{name} is not finite")
    about = {
        "step": step,
        "leaves": describe(state),
        "fingerprints": {name: int(mark) for name, (mark, _) in found.items()},
        "note": json.loads(json.dumps(note)),  # as it will be read
    }
    return about | {"checksum": reading.checksum(about)}
