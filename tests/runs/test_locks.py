import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from dgm_jax.runs import locks
from dgm_jax.runs.locks import confirm, locked

HOLD = """
import os, socket, sys
os.getpid = lambda: 7  # as in a container
socket.gethostname = lambda: "a"
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
        with pytest.raises(ValueError, match="in use by process 7 on a;"):
            with locked(tmp_path):
                pass


def test_two_containers_with_one_name_and_one_number_are_told_apart(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(socket, "gethostname", lambda: "a")
    with pytest.raises(ValueError, match="in use by process 7 on a;"):
        with locked(tmp_path):
            pass


def test_the_lock_goes_with_the_process_that_held_it(tmp_path, holder):
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        text = (tmp_path / ".lock").read_text()
    assert text.startswith(f"process {os.getpid()} on {socket.gethostname()}\n")


def test_a_process_may_lock_twice_and_frees_the_directory_on_leaving(tmp_path):
    with locked(tmp_path), locked(tmp_path):
        pass
    probe = "import sys; from dgm_jax.runs.locks import locked; locked(sys.argv[1]).__enter__()"
    assert subprocess.run([sys.executable, "-c", probe, tmp_path]).returncode == 0


def test_a_thread_may_not_have_the_directory_of_another(tmp_path):
    said = []

    def lock():
        with pytest.raises(ValueError, match=f"in use by process {os.getpid()} on "):
            with locked(tmp_path):
                pass
        said.append(True)

    with locked(tmp_path):
        thread = threading.Thread(target=lock)
        thread.start()
        thread.join()
        confirm(tmp_path)
    assert said


def test_the_lock_is_not_of_a_process_that_is_forked_off(tmp_path, monkeypatch):
    """Nor does one that lives on keep the directory. (Under jax a real fork is a warning.)"""
    with locked(tmp_path):
        confirm(tmp_path)
        (file,) = [held.file for held in locks._held.values()]
        monkeypatch.setattr(locks, "_held", dict(locks._held))
        locks._forget()
        assert file.closed and not locks._held


def test_a_directory_that_was_removed_or_made_again_is_no_longer_held(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with locked(run), locked(run):
        confirm(run)
        shutil.rmtree(run)
        with pytest.raises(ValueError, match="was removed during the run"):
            confirm(run)
        run.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(ValueError, match="made again .* is now of process 7 on a;"):
                confirm(run)
            other.kill()
    confirm(run)  # not held, so nothing was promised


def test_where_no_file_can_be_locked_the_first_of_two_is_ended(tmp_path, monkeypatch, capsys):
    def unknown(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", unknown)
    with locked(tmp_path):
        confirm(tmp_path)
        (tmp_path / ".lock").write_text("process 1 on b\n1\n")
        with pytest.raises(ValueError, match="is now of process 1 on b"):
            confirm(tmp_path)
    assert capsys.readouterr().err == f"{tmp_path} cannot be locked (No locks available)\n"
