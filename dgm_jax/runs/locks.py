"""One run to a directory: a lock that goes with the process that holds it, however it ends."""

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import checks


@contextlib.contextmanager
def locked(directory: Path | str) -> Iterator[None]:
    """Holds `<directory>/.lock`, in which stand the process and the machine that hold it.

    `ValueError` names both where another process has it. A process may lock a directory twice.
    Where the file system knows no locks, one line on stderr says so and the run goes on.
    """
    here = f"process {os.getpid()} on {socket.gethostname()}"
    with (Path(directory) / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another process"
            if holder != here:
                raise checks.InputError(
                    f"{directory} is in use by {holder}; wait for it to end, or name another."
                ) from None
        except OSError as error:
            print(f"{directory} cannot be locked ({error.strerror})", file=sys.stderr)
        else:
            file.truncate(0)
            file.write(here)
            file.flush()
        yield
