"""Exit codes of a command. An error that the user can correct is one line on stderr.

    0    done
    1    a bug in the program, with its traceback
    2    wrong input, a directory in use, a full disk: change something
    3    there are checkpoints, and all are damaged
    4    diverged: NaN or infinity, in spite of skipped steps
    75   another process of the run was lost: run the same command again on all
    85   told to end (SIGTERM), and training has saved: run the same command again. Of several
         processes all leave at the same training step; between trainings they are not told
    130  interrupted (control-C): the same command resumes from the step of the interruption;
         after a second control-C, from the last checkpoint
    141  the reader of the output is gone (`| head`): the same command resumes
    143  told to end (SIGTERM) in the first second, before the options were read: run it again

A job queue restarts on three of them:
`until COMMAND; do case $? in 75|85|143) ;; *) break;; esac; done`.
With DGM_TRACEBACK=1 in the environment every error shows its traceback.

An exception with an attribute `exit_code` is for the user: 2 for `checks.InputError`, which all
checks of arguments raise, 3 for `learning.NoUsableCheckpoint`, 4 for `learning.Diverged`, 75 for
`processes.PeerLost`. So is an `OSError`. Any other, such as a `ValueError` of JAX, is a bug.
"""

import contextlib
import os
import select
import sys
from collections.abc import Callable
from typing import Any

UNHEARD = 141  # as a shell says of what SIGPIPE ended


def exit_code(error: BaseException) -> int:
    """The exit code of an error; 1 for a bug in the program."""
    return getattr(error, "exit_code", 2 if isinstance(error, OSError) else 1)


def told(work: Callable[[], Any]) -> Any:
    """work(); an error for the user becomes one line on stderr, and `SystemExit` with its code.

    Characters that the terminal cannot show are printed as "?".
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if getattr(stream, "errors", None) == "strict" and reconfigure is not None:
            reconfigure(errors="replace")
    try:
        return _told(work)
    except BaseException:
        _unheard()  # or python would complain at its end
        raise


def _told(work):
    try:
        found = work()
        if sys.stdout is not None:  # None where it was closed from the beginning
            sys.stdout.flush()
        return found
    except KeyboardInterrupt as error:
        _say(f"interrupted; {str(error) or 'the same command resumes'}")
        raise SystemExit(130) from None
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _unheard():
            raise SystemExit(UNHEARD) from None
        mistake = exit_code(error) == 1 and not hasattr(error, "exit_code")
        if mistake or os.environ.get("DGM_TRACEBACK"):
            raise
        _say(f"error: {_line(error)}")
        raise SystemExit(exit_code(error)) from None


def _say(line):
    with contextlib.suppress(OSError):  # nobody listens
        print(line, file=sys.stderr)


def _unheard():
    """Whether the reader of what is printed is gone; then nothing is sent there any more."""
    gone = [stream for stream in (sys.stdout, sys.stderr) if _closed_at_its_end(stream)]
    for stream in gone:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return bool(gone)


def _closed_at_its_end(stream):
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # no stream, or none of a file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _line(error):
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split())
