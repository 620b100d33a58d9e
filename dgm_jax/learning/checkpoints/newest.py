"""The newest intact checkpoint of a directory; damaged ones are set aside."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from .quiet import quiet
from .reading import Damaged, description, here, structure, verified

STEP = re.compile("0|[1-9][0-9]{0,17}")  # the name of a checkpoint, as it is written
ASIDE = "corrupt-"  # a damaged checkpoint is kept under this name


class NoUsableCheckpoint(RuntimeError):
    """There are checkpoints, but all are damaged; the message lists each step and its damage.

    Raised by `load`, `train` and `Checkpoints.restore`. A command that ends with it has the exit
    code 3.
    """

    exit_code = 3


def newest_intact(directory: Path, read: Callable[[int], Any]) -> tuple[Any, dict[int, str]]:
    """(read(step), damaged) of the newest intact checkpoint; (None, {}) without any.

    read(step) raises `reading.Damaged` for a damaged one; `damaged` = {step: what is wrong} lists
    those that are newer. `NoUsableCheckpoint` if all are damaged.
    """
    damaged = {}
    for step in sorted(steps(directory), reverse=True):
        try:
            return read(step), damaged
        except Damaged as error:
            if os.path.lexists(directory / str(step)):  # a link to nowhere too
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


def say_damaged(where: Path, reason: str, kept: str, step: int | None) -> None:
    """One line on stderr: what is damaged, what happens to it, and which checkpoint is used.

    where: the damaged one; reason: what is wrong; kept: what happens to it; step: the one that is
    used.
    """
    print(f"checkpoint {where} is damaged ({reason}), {kept}; taking step {step}", file=sys.stderr)


def newest_alone(directory: Path, read: Callable[[int], Any]) -> tuple[Any, dict[int, str]]:
    """`newest_intact`, which also renames the damaged newer ones and reports them on stderr."""
    aside = sorted(path.name for path in directory.glob(f"{ASIDE}*"))
    if aside and not steps(directory):
        raise NoUsableCheckpoint(
            f"{directory} has damaged checkpoints only: {', '.join(aside)}. "
            "Delete the directory to start afresh."
        )
    saved, damaged = newest_intact(directory, read)
    taken = max(set(steps(directory)) - damaged.keys(), default=None)
    for step, reason in damaged.items():
        kept = _set_aside(directory, step)
        say_damaged(directory / str(step), reason, f"kept as {kept}", taken)
    return saved, damaged


def choose_apart(directory: Path) -> dict[str, Any] | None:
    """{"step", "damaged"} of the newest intact checkpoint, chosen in a separate process.

    For runs of several processes, where orbax in this process would wait for the others before
    reading. None without a checkpoint.
    """
    if not steps(directory) and not list(directory.glob(f"{ASIDE}*")):
        return None
    program = f"from dgm_jax.learning.checkpoints import newest; newest.choose({str(directory)!r})"
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
    """Prints the result of `choose_apart`, or {"error"}, as JSON; renames damaged checkpoints."""
    with quiet():
        checkpointer = ocp.training.Checkpointer(directory)

    def read(step):
        about = description(checkpointer, step)
        verified(checkpointer, step, jax.tree.map(here, structure(checkpointer, step)), about)
        return step

    with contextlib.closing(checkpointer):
        try:
            step, damaged = newest_alone(Path(directory), read)
        except NoUsableCheckpoint as error:
            print(json.dumps({"error": str(error)}))
        else:
            print(json.dumps({"step": step, "damaged": sorted(damaged)}))


def _set_aside(directory, step):
    """Out of the way, or a later save of this step would not be made."""
    name = f"{ASIDE}{step}"
    while os.path.lexists(directory / name):
        name += "-again"
    (directory / str(step)).rename(directory / name)
    return name


def steps(directory: Path) -> list[int]:
    """The steps of all directories that look like a checkpoint, whatever their content."""
    return [int(path.name) for path in directory.iterdir() if STEP.fullmatch(path.name)]
