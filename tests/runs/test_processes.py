import os
import subprocess
import sys

import jax
import pytest

from dgm_jax.runs import processes


def raised(work):
    with pytest.raises(jax.errors.JaxRuntimeError) as error:
        work()
    return error.value


def lost():
    raise jax.errors.JaxRuntimeError("UNAVAILABLE: Gloo all-reduce: connection closed by peer")


def mistake():
    def fail(x):
        raise ZeroDivisionError

    shape = jax.ShapeDtypeStruct((), "float32")
    jax.jit(lambda x: jax.pure_callback(fail, shape, x))(1.0).block_until_ready()


def test_a_lost_peer_is_told_from_a_mistake(monkeypatch):
    monkeypatch.setattr(processes, "several", lambda: True)
    try:
        raise OSError("not written") from raised(lost)
    except OSError as error:
        assert processes.lost_peer(error)
    assert not processes.lost_peer(raised(mistake))
    assert not processes.lost_peer(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"))
    assert not processes.lost_peer(ValueError("UNAVAILABLE")) and not processes.lost_peer(None)
    monkeypatch.setattr(processes, "several", lambda: False)
    assert not processes.lost_peer(raised(lost))


def test_one_process_is_the_first_and_asks_nobody():
    assert processes.first() and not processes.several() and not processes.any_of(False)
    assert processes.from_first(lambda: 3) == 3


def test_an_abort_of_jax_is_the_exit_code_for_a_lost_peer():
    """Where jax cannot start, because there is no cluster, the rest of `start` is all there is."""
    script = """
import os
from dgm_jax.runs import processes
try:
    processes.start()
except ValueError as error:
    print(error)
os.abort()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == processes.LOST, done.stderr
    assert done.stdout.startswith("jax detects no cluster here; give coordinator")
    assert done.stderr.endswith("the same command on all resumes\n")
