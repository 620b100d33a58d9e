"""One process at a time in a directory: a file lock, which ends with the process that holds it."""

import contextlib
import fcntl
import os
import secrets
import socket
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import IO, NamedTuple

from .. import checks


class Held(NamedTuple):
    """A lock that this process holds."""

    text: str  # what stands in the file: the process, the machine, a number nobody else has
    thread: int
    file: IO[str]


_held: dict[Path, Held] = {}  # by directory


@contextlib.contextmanager
def locked(directory: Path | str) -> Generator[None]:
    """`with locked(directory): ...` runs the block only if no other process runs one there.

    directory: an existing one, in which the file .lock names the process and the machine that hold
        it

    Raises `ValueError`, which names both, if another process, or another thread of this one, holds
    the lock; a thread may lock a directory twice. It is released at the end of the block, and also
    if the process dies. On a file system without locks a line on stderr says so and the run goes
    on; `train` then stops the first of two processes that write to one directory.
    """
    where = checks.path(directory, "directory").resolve()
    if where in _held and _held[where].thread == threading.get_ident():
        yield
        return
    with (where / ".lock").open("a+", encoding="utf-8") as file:
        _take(file, directory)
        # two containers may have one name and one number of a process, so these say not enough
        text = f"process {os.getpid()} on {socket.gethostname()}\n{secrets.token_hex(16)}\n"
        file.truncate(0)
        file.write(text)
        file.flush()
        _held[where] = Held(text, threading.get_ident(), file)
        try:
            yield
        finally:
            _held.pop(where, None)


def confirm(directory: Path | str) -> None:
    """`InputError` if this process has lost its lock of a directory.

    This happens if the directory was removed, and perhaps made again by another run. Call it before
    writing there.
    """
    mine = _held.get(Path(directory).resolve())
    if mine is None:
        return
    try:
        text = (Path(directory) / ".lock").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise checks.InputError(
            f"{directory} or its .lock was removed during the run; nothing more is written there. "
            "Start again, in a directory that stays."
        ) from None
    if text != mine.text:
        raise checks.InputError(
            f"{directory} was made again during the run and is now of {_holder(text)}; nothing "
            "more is written there. Name another directory."
        )


def _take(file, directory):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise checks.InputError(
            f"{directory} is in use by {_holder(file.read())}; wait for it to end, or name another."
        ) from None
    except OSError as error:
        print(f"{directory} cannot be locked ({error.strerror})", file=sys.stderr)


def _holder(text):
    return text.partition("\n")[0] or "another process"


def _forget():
    """In a process that is forked off: the lock stays with the one that took it."""
    for held in _held.values():
        held.file.close()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
