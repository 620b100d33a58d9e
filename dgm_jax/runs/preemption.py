"""A machine that takes itself back says so with SIGTERM: save at the current step, and leave."""

import contextlib
import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from jax.experimental import multihost_utils

from . import processes

_asked = itertools.count(1)  # over all trainings: jax waits for one number after those it has seen


class Preempted(SystemExit):
    """The run was told to end and has saved; uncaught, it ends the process with exit code 85."""

    def __init__(self):
        super().__init__(85)


@contextlib.contextmanager
def termination() -> Iterator[Callable[[], bool]]:
    """told_to_end(), True once this process has got SIGTERM, which then does not end it.

    A signal that was not acted on is sent again on leaving. Python delivers signals to its main
    thread only: in another one this is never True. On several processes jax has the signal: it is
    True in all of them at one later step, whichever got it; each must ask at every step.
    """
    if processes.several():
        yield lambda: multihost_utils.reached_preemption_sync_point(next(_asked))
        return
    arrived = threading.Event()

    def told_to_end():
        return arrived.is_set()

    if threading.current_thread() is not threading.main_thread():
        yield told_to_end
        return
    before = signal.signal(signal.SIGTERM, lambda *_: arrived.set())
    try:
        yield told_to_end
    finally:
        signal.signal(signal.SIGTERM, before)
    if arrived.is_set():
        signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def leaving_on_sigterm() -> Iterator[None]:
    """Exit code 85 for a SIGTERM between two trainings too: what they saved is all there is."""

    def leave(*_):
        print("told to end; the same command resumes", file=sys.stderr)
        raise Preempted

    if threading.current_thread() is not threading.main_thread() or processes.several():
        yield  # on several processes the signal is jax's, for all to agree on a step
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
