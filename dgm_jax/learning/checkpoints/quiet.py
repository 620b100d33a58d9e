"""Orbax without its logs and warnings; errors are raised as one line."""

import contextlib
import functools
import logging
import re
import threading
import warnings
from collections.abc import Generator

TROUBLES = (  # as the system says it, and orbax of it
    ("Too many open files", ("too many open files", "raise the limit (ulimit -n 4096)")),
    ("[Qq]uota", ("the quota of the disk is used up", "free some")),
    ("No space left", ("no space left on the disk", "free some")),
    ("PermissionError|Permission denied", ("permission denied", "see to it")),
)


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Within `with quiet():`, no warning of Python and no log of orbax, absl or asyncio is shown.

    The root logger is silent too, and all threads of the process are concerned. The levels of the
    loggers and the filters of warnings are restored at the end, also after an error, which is
    raised as usual.
    """
    with _muted("", "absl", "asyncio"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def quiet_threads() -> Generator[None]:
    """Silences the threads that write in the background, as long as there are any.

    The error of such a thread is raised again by the next call that waits for it.
    """
    before = threading.excepthook
    threading.excepthook = functools.partial(_unless_of_orbax, before)
    try:
        with _muted("absl", "asyncio"):
            yield
    finally:
        threading.excepthook = before


def reason(error: BaseException) -> str:
    """The first cause of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def of_the_machine(error: BaseException) -> tuple[str, str] | None:
    """(what is wrong, what to do) if an error is about the machine and not about a file."""
    told, met = "", error
    while met is not None:
        told, met = f"{told} {type(met).__name__} {met}", met.__cause__ or met.__context__
    return next((said for words, said in TROUBLES if re.search(words, told)), None)


def _unless_of_orbax(hook, args):
    if not type(args.thread).__module__.startswith("orbax"):
        hook(args)


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
