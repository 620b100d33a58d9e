import os
import socket
import subprocess
import sys

import pytest

from dgm_jax.runs.locks import locked

HOLD = """
import sys
from dgm_jax.runs.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_directory_in_use_is_refused_with_the_process_that_has_it(tmp_path, holder):
    for _ in range(2):
        with pytest.raises(ValueError, match=f"in use by process {holder.pid} on "):
            with locked(tmp_path):
                pass


def test_the_lock_goes_with_the_process_that_held_it(tmp_path, holder):
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        text = (tmp_path / ".lock").read_text()
    assert text == f"process {os.getpid()} on {socket.gethostname()}"


def test_a_process_may_lock_twice_and_frees_the_directory_on_leaving(tmp_path):
    with locked(tmp_path), locked(tmp_path):
        pass
    probe = "import sys; from dgm_jax.runs.locks import locked; locked(sys.argv[1]).__enter__()"
    assert subprocess.run([sys.executable, "-c", probe, tmp_path]).returncode == 0
