"""A machine that takes itself back says so with SIGTERM: save at the current step, and leave."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Preempted(SystemExit):
    """The run was told to end and has saved; uncaught, it ends the process with exit code 85."""

    def __init__(self):
        super().__init__(85)


@contextlib.contextmanager
def termination() -> Iterator[Callable[[], bool]]:
    """told_to_end(), True once this process has got SIGTERM, which then does not end it.

    A signal that was not acted on is sent again on leaving. Python delivers signals to its main
    thread only: in another one this is never True.
    """
    arrived = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield arrived.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: arrived.set())
    try:
        yield arrived.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
    if arrived.is_set():
        signal.raise_signal(signal.SIGTERM)
