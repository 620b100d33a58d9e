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


def not_written():
    try:
        raise OSError("not written") from raised(lost)
    except OSError as error:
        return error


def no_number():
    try:
        lost()
    except jax.errors.JaxRuntimeError:
        try:
            float(None)
        except TypeError as error:
            return error


GLOO = "Gloo all-reduce failed: Connection closed by peer"
LOSSES = {
    "a step": lambda: raised(lost),
    "a broadcast": lambda: ValueError(f"UNKNOWN: {GLOO}"),
    "a checkpoint": not_written,
    "a barrier of one": lambda: TimeoutError("Barrier timed out. Id: save"),
    "the coordinator": lambda: RuntimeError("UNAVAILABLE: failed to connect to all addresses"),
    "several at once": lambda: ExceptionGroup("2 errors", [ValueError("a"), raised(lost)]),
    "an evaluation that hides it": no_number,
}
MISTAKES = {
    "in a callback": lambda: raised(mistake),
    "no memory": lambda: jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"),
    "not for this machine": lambda: jax.errors.JaxRuntimeError("UNIMPLEMENTED: conv of int4"),
    "other words": lambda: ValueError("UNAVAILABLE"),
    "told already": lambda: checks.InputError("UNAVAILABLE: 3"),
}


@pytest.mark.parametrize("how", LOSSES)
def test_a_lost_peer_is_one_error_however_it_shows(monkeypatch, how):
    monkeypatch.setattr(processes, "several", lambda: True)
    error = LOSSES[how]()
    assert processes.lost_peer(error)
    with pytest.raises(processes.PeerLost, match="same command on all resumes") as told:
        with processes.peers(), processes.peers():
            raise error
    assert told.value.exit_code == processes.LOST and told.value.__cause__ is error
    monkeypatch.setattr(processes, "several", lambda: False)
    with pytest.raises(type(error)), processes.peers():
        raise error


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_not_taken_for_a_lost_peer(monkeypatch, what):
    monkeypatch.setattr(processes, "several", lambda: True)
    error = MISTAKES[what]()
    with pytest.raises(type(error)) as told, processes.peers():
        raise error
    assert told.value is error and not processes.lost_peer(None)


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
