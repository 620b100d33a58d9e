"""SIGTERM and control-C during training: save at the current step, then leave."""

import contextlib
import functools
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator

from jax.experimental import multihost_utils

from . import processes

_asked = itertools.count(1)  # over all trainings: jax waits for one number after those it has seen


class Preempted(SystemExit):
    """The run was told to end by SIGTERM, and has saved: an exit of `learning.train`.

    It is raised in a run with a `workdir`, and is a `SystemExit`: uncaught, it ends the process
    with the exit code 85, and the same command resumes the run.
    """

    def __init__(self):
        super().__init__(85)


# What a training leaves with when it was told to end by a signal, and has saved.
LEAVES_WITH = {signal.SIGTERM: Preempted, signal.SIGINT: KeyboardInterrupt}
NOT_HEARD = (None, signal.SIG_IGN)  # handlers that are not of Python, and of nohup: they stay


@contextlib.contextmanager
def termination() -> Generator[Callable[[], type[BaseException] | None]]:
    """told_to_end(): None until SIGTERM or control-C arrives, then the exception to raise.

    The exception is `Preempted` or `KeyboardInterrupt`. A second control-C interrupts at once. A
    signal that was not acted on is sent again on leaving. Python delivers signals to its main
    thread only; in any other thread the function always returns None. With several processes, JAX
    receives SIGTERM and all of them are told at the same later step (a process that got a control-C
    leaves with that). Every process must call the function at every step.
    """
    if threading.current_thread() is not threading.main_thread():
        told = _told_together if processes.several() else _never
        yield functools.partial(told, [])
        return
    arrived = []
    before = {signum: signal.getsignal(signum) for signum in LEAVES_WITH}
    if processes.several():
        del before[signal.SIGTERM]

    def note(signum, _):
        arrived.append(signum)
        if signum == signal.SIGINT:
            signal.signal(signum, before[signum])
            with contextlib.suppress(RuntimeError):  # it may be printing just now
                print("interrupted: saving; once more to end at once", file=sys.stderr)
            if processes.several():
                signal.raise_signal(signal.SIGTERM)

    before = {s: handler for s, handler in before.items() if handler not in NOT_HEARD}
    for signum in before:
        signal.signal(signum, note)
    try:
        yield functools.partial(_told_together if processes.several() else _told_alone, arrived)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if arrived:
        signal.raise_signal(arrived[0])


def _told_alone(arrived):
    return LEAVES_WITH[arrived[0]] if arrived else None


def _told_together(arrived):
    told = multihost_utils.reached_preemption_sync_point(next(_asked))
    return LEAVES_WITH[arrived[0] if arrived else signal.SIGTERM] if told else None


def _never(_):
    return None


@contextlib.contextmanager
def leaving_at_once(*signums: signal.Signals) -> Generator[None]:
    """Ends this process at once at these signals: outside of training, nothing needs to be saved.

    The exit code is 85 for SIGTERM and 130 for control-C. It raises no exception, because one
    raised in a callback of the garbage collector would be lost.
    """

    def leave(signum, _):
        code, what = (130, "interrupted") if signum == signal.SIGINT else (85, "told to end")
        with contextlib.suppress(Exception):  # it may be printing just now
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a progress bar hides
            os.write(2, f"{cursor}{what}; the same command resumes\n".encode())
        os._exit(code)

    before = {}
    # on several processes the signal is jax's, for all to agree on a step
    if threading.current_thread() is threading.main_thread() and not processes.several():
        before = {signum: signal.getsignal(signum) for signum in signums}
    before = {s: handler for s, handler in before.items() if handler not in NOT_HEARD}
    for signum in before:
        signal.signal(signum, leave)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
