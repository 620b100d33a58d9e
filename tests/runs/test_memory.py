"""Memory that a process keeps."""

import gc
import subprocess
import sys

import pytest

from dgm_jax import runs
from dgm_jax.runs import memory

CODE = """
import resource, sys
import jax, jax.numpy as jnp
from dgm_jax import runs
if sys.argv[1] == "keep":
    print(runs.keep_memory())
else:
    print(None)
x = jnp.ones((4096, 8))
f = jax.jit(lambda x: (jnp.tanh(x @ x.T) @ x).sum())  # 64 MB lie between
def faults(calls):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(calls):
        f(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(2)
print(faults(3))
"""


def pages(how):
    done = subprocess.run(
        [sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True
    )
    said, count = done.stdout.split()
    return said, int(count)


def test_pages_are_not_cleared_again_at_every_call():
    said, kept = pages("keep")
    if said != "True":
        pytest.skip("there is no GNU C library here")
    _, without = pages("leave")
    assert without > 10_000 and kept < without / 20, (kept, without)


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert runs.keep_memory() is False


def test_cycles_are_looked_for_rarely():
    before = gc.get_threshold()
    try:
        memory.collect_rarely()
        assert gc.isenabled() and gc.get_threshold()[0] > 100 * 700 > before[0]
    finally:
        gc.set_threshold(*before)
