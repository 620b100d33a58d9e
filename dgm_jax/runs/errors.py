"""How a command ends. What the user can mend is told in one line on stderr, without a traceback.

    0    done
    1    a mistake in the program, with its traceback
    2    wrong input, a directory in use, a full disk: change something
    3    there are checkpoints, and none is intact
    4    diverged: NaN or infinity that skipping steps did not cure
    75   a peer process was lost: run the same command again on all (runs of several processes;
         what jax would end with SIGABRT, it ends with this)
    85   told to end (SIGTERM), and a training has saved: run the same command again (of several
         processes all leave with it, at one step of a training; between trainings they do not
         hear of it)
    130  interrupted (control-C): the same command resumes, where a training was interrupted from
         that step; a second control-C ends at once, and it resumes from the last checkpoint
    143  told to end (SIGTERM) in its first second, before it had read its options: run it again

So a queue restarts on three of them:
`until COMMAND; do case $? in 75|85|143) ;; *) break;; esac; done`.
With DGM_TRACEBACK=1 in the environment every error shows its traceback.

The type of an exception says whose it is. One with an attribute `exit_code` is for the user: 2 for
`checks.InputError`, which all checks of arguments raise, 3 for `learning.NoUsableCheckpoint`, 4 for
`learning.Diverged`, 75 for `processes.PeerLost`. So is an `OSError`. Anything else, such as a
`ValueError` of jax, is a mistake in the program.
"""

import os
import sys
from collections.abc import Callable
from typing import Any


def exit_code(error: BaseException) -> int:
    """The exit code of an error; 1 for a mistake in the program."""
    return getattr(error, "exit_code", 2 if isinstance(error, OSError) else 1)


def told(work: Callable[[], Any]) -> Any:
    """work(); an error of the user's becomes one line on stderr, and `SystemExit` with its code."""
    try:
        return work()
    except KeyboardInterrupt as error:
        print(f"interrupted; {str(error) or 'the same command resumes'}", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        mistake = exit_code(error) == 1 and not hasattr(error, "exit_code")
        if mistake or os.environ.get("DGM_TRACEBACK"):
            raise
        print(f"error: {_line(error)}", file=sys.stderr)
        raise SystemExit(exit_code(error)) from None


def _line(error):
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split())
