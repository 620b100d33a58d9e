import os
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

from dgm_jax import checks
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


def asked(monkeypatch, *values):
    """What `same` says in each of several processes; here they are threads."""
    meeting, given = threading.Barrier(len(values)), [None] * len(values)
    place, said = threading.local(), [None] * len(values)

    def gather(row):
        given[place.i] = row
        meeting.wait(10)
        rows = np.stack(given)
        meeting.wait(10)
        return rows

    def ask(i):
        place.i = i
        try:
            processes.same(values[i], "options")
        except checks.InputError as error:
            said[i] = str(error)

    monkeypatch.setattr(processes, "several", lambda: True)
    monkeypatch.setattr(processes.multihost_utils, "process_allgather", gather)
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(values))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_values_that_differ_are_refused_in_all_processes_and_named(monkeypatch):
    processes.same({"seed": 0}, "options")  # alone
    assert asked(monkeypatch, {"seed": 0, "x": [1.5]}, {"x": [1.5], "seed": 0}) == [None, None]
    one, two, three = asked(monkeypatch, {"seed": 0}, {"seed": 0}, {"seed": 11, "rate": "x" * 99})
    assert one == two == three
    assert "the same options: seed 0 / 11, rate absent / " in one and "process 0 / process 2" in one
    assert "...: 3 / null" in asked(monkeypatch, 3, None)[0].replace("options", "...")


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
