"""One run in several processes: `jax.distributed`, and what the first process does for all.

    processes.start("10.0.0.1:8476", num_processes=4, process_id=I)  # before any use of JAX
    train(...)                                                       # the same call in each

Every process runs the same program over one mesh of all devices. Only the first writes files
(except the arrays of a checkpoint, which all write) and makes the decisions that depend on a clock
or a disk. If a process is lost, the others exit with `LOST`; the same command, started again on
all, resumes the run.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import re
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from .. import checks
from . import errors

LOST = 75  # exit code: a peer was lost, start all again
# What the runtime says where a peer is gone, in errors of any type: its codes, and its libraries
# for what processes do together.
SIGNS = re.compile(
    r"Gloo|NCCL|[Cc]oordination ?[Ss]ervice|[Bb]arrier"
    r"|(UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED|UNKNOWN|INTERNAL): "
)
# ... and where none is: too little memory, a mistake in the program
OWN = ("RESOURCE_EXHAUSTED", "error calling callback", "INVALID_ARGUMENT", "UNIMPLEMENTED")
HEARTBEAT_SECONDS = 20  # until a process that neither works nor closes its connections is missed


class PeerLost(RuntimeError):
    """Another process of the run is lost; the same command, started again on all, resumes."""

    exit_code = LOST


class FailedElsewhere(RuntimeError):
    """The first process failed, with the error in the message; `exit_code` is that of the error."""

    exit_code: int


def start(
    coordinator: str | None = None,
    *,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the processes of a run. Give all arguments, or none on a cluster that JAX detects.

    coordinator: "host:port", where process 0 listens; num_processes: how many; process_id: which of
    them this is, from 0. Waits up to five minutes for the others.
    """
    given = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < 3:
        raise checks.InputError(
            f"{missing[0]} is missing; give {', '.join(given)}, or none of them."
        )
    if coordinator is not None:
        num_processes = checks.positive_int(num_processes, "num_processes")
        process_id = checks.positive_int(process_id, "process_id", least=0)
        if process_id >= num_processes:
            raise checks.InputError(
                f"process_id must be below num_processes={num_processes}; got {process_id}. "
                "The first is 0."
            )
        _, colon, port = coordinator.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise checks.InputError(f"coordinator must be HOST:PORT; got {coordinator!r}.")
        if process_id == 0:
            _check_free(int(port))
    # in C: a handler of Python's own comes too late for the abort() of a library
    ctypes.CDLL(None).signal(signal.SIGABRT, _aborted)
    try:
        jax.distributed.initialize(
            coordinator, num_processes, process_id, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except ValueError as error:
        raise checks.InputError(
            "jax detects no cluster here; give coordinator, num_processes and process_id."
        ) from error


def _check_free(port):
    """jax may crash where it cannot listen."""
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise checks.InputError(
            f"process 0 cannot listen at port {port} ({error.strerror}); name a free one."
        ) from error


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _aborted(signum):
    """How jax ends a process that lost process 0, or that heard of a loss while it waited."""
    os.write(2, b"ended by jax, most likely for a lost peer; the same command on all resumes\n")
    os._exit(LOST)


def several() -> bool:
    """Whether this process is one of several; the question does not start a JAX backend."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def first() -> bool:
    """Whether this process writes and prints; True if there is only one."""
    return not several() or jax.process_index() == 0


def from_first(work: Callable[[], Any]) -> Any:
    """The result of work() in the first process, in all of them; all must call it.

    The result is None or a JSON value. An error is raised there, and elsewhere as
    `FailedElsewhere`.
    """
    if not several():
        return work()
    told, error = {}, None
    if first():
        try:
            told = {"value": work()}
        except Exception as met:
            line, error = " ".join(str(met).split()), met
            told = {"error": line, "exit_code": errors.exit_code(met)}
    told = _broadcast(told)
    if error is not None:
        raise error
    if "error" in told:
        failed = FailedElsewhere(f"the first process failed: {told['error']}")
        failed.exit_code = told["exit_code"]
        raise failed
    return told["value"]


def any_of(flag: bool) -> bool:
    """Whether `flag` is true in any of the processes; all must call it."""
    return bool(multihost_utils.process_allgather(np.bool_(flag)).any())


def same(value: Any, what: str) -> None:
    """`InputError` in all processes unless `value` is the same in all of them; all must call it.

    value: None or a JSON value. For dicts the error names the entries that differ. what: its name.
    """
    if not several():
        return
    text = json.dumps(value, sort_keys=True).encode()
    mark = hashlib.sha256(text).digest() + len(text).to_bytes(8, "big")
    marks = [bytes(row) for row in multihost_utils.process_allgather(_bytes(mark))]
    if len(set(marks)) == 1:
        return
    lengths = [int.from_bytes(mark[-8:], "big") for mark in marks]
    texts = multihost_utils.process_allgather(_bytes(text.ljust(max(lengths))))
    values = [json.loads(bytes(row)) for row in texts]
    other = next(i for i, mark in enumerate(marks) if mark != marks[0])
    raise checks.InputError(
        f"all processes of a run must have the same {what}: {_apart(values[0], values[other])} "
        f"(process 0 / process {other}). Start the same command, on the same data, in each."
    )


def _apart(one, other):
    """ "seed 0 / 1" of {"seed": 0, ...} and {"seed": 1, ...}, at most three."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return f"{_short(one)} / {_short(other)}"
    names = [name for name in one | other if one.get(name, ...) != other.get(name, ...)]
    more = [f"and {len(names) - 3} more"] if len(names) > 3 else []
    told = [
        f"{name} {_short(one.get(name, 'absent'))} / {_short(other.get(name, 'absent'))}"
        for name in names[:3]
    ]
    return ", ".join(told + more)


def _short(value):
    text = value if value == "absent" else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _bytes(text):
    return np.frombuffer(text, np.uint8)


def _broadcast(told):
    text = np.frombuffer(json.dumps(told).encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    room = -(-length // 256) * 256  # few sizes, or each would be compiled
    padded = np.zeros(room, np.uint8)
    if first():
        padded[:length] = text
    return json.loads(multihost_utils.broadcast_one_to_all(padded)[:length].tobytes())


@contextlib.contextmanager
def peers() -> Generator[None]:
    """Raises `PeerLost` instead of the runtime's errors when another process is lost."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "exit_code") or not lost_peer(error):
            raise
        reason = " ".join(str(error).split())[:150]
        raise PeerLost(
            f"a peer process was lost ({reason}); the same command on all resumes"
        ) from error


def lost_peer(error: BaseException | None) -> bool:
    """Whether `error`, or one of its causes, is a sign that another process is lost."""
    return several() and any(map(_shows_loss, _led_to(error, [])))


def _led_to(error, seen):
    """All errors that stand behind one."""
    if error is not None and error not in seen:
        seen.append(error)
        for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
            _led_to(other, seen)
    return seen


def _shows_loss(error):
    text = str(error)
    if isinstance(error, PeerLost) or any(cause in text for cause in OWN):
        return isinstance(error, PeerLost)
    return isinstance(error, jax.errors.JaxRuntimeError) or bool(SIGNS.search(text))


def together(work: Callable[[], Any]) -> Any:
    """work(), with errors reported as by `errors.told`; no process waits for a failed one."""

    def guarded():
        with peers():
            return work()

    try:
        return errors.told(guarded)
    except BaseException as error:
        if not several():
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exception(error)
            leave(errors.exit_code(error), alone=isinstance(error, PeerLost))
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        leave(code, alone=code == LOST)


def leave(code: int, *, alone: bool = False, seconds: float = 5.0) -> NoReturn:
    """Ends this process at once with exit code `code`, after waiting `seconds` unless `alone`.

    The usual exit would wait minutes for a process that may never come.
    """
    if not alone:
        waiting = threading.Thread(target=_shut_down, daemon=True)
        waiting.start()
        waiting.join(seconds)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _shut_down():
    with contextlib.suppress(Exception):
        jax.distributed.shutdown()
