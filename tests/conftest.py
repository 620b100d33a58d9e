"""What every test runs under: several virtual CPU devices, key reuse as an error, no display.

On CPUs programs are compiled quickly and not well, in the processes that tests start too: most of
the time of a test is compilation. `XLA_FLAGS= python -m pytest` takes the compiler as users have
it.

Processes of `-n` share the tests by file, those of a contract by case, since these are what
compiles once for several tests.

Warnings are errors too; the few named exceptions stand in `pyproject.toml`.

`jax_debug_key_reuse` sees a typed key through distrax, `jit`, `vmap` and `scan`. It has one known
false alarm: a key handed to a diffrax solver in `args` counts as used once a stage. Draw the noise
first and hand that over, which also keeps it fixed along the path, as Hutchinson's trace needs.
"""

import functools
import gc
import os
import signal

import jax
import matplotlib
import pytest

from dgm_jax.runs import command_line
from tests import budget
from tests.contracts.compiled import QUICK

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # for the processes that tests start
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")
if os.environ["JAX_PLATFORMS"] == "cpu":  # before the first computation
    flags = (f"--{name}={str(value).lower()}" for name, value in QUICK.items())
    os.environ.setdefault("XLA_FLAGS", " ".join(flags))
jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])
jax.config.update("jax_num_cpu_devices", 8)  # before the first computation, or it is an error
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_enable_compilation_cache", False)
matplotlib.use("Agg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, which control-C
    signal.signal(signal.SIGINT, signal.default_int_handler)  # would not reach; children inherit it


def pytest_collection_finish(session):
    """What libraries hold stays to the end: a collection of garbage need not walk it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    budget.pytest_collection_finish(session)


pytest_runtest_makereport = budget.pytest_runtest_makereport
pytest_terminal_summary = budget.pytest_terminal_summary


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session", autouse=True)
def memory_is_given_back():
    """Commands keep the memory that they free, and collect it rarely: not that of all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "keep_memory", lambda: False)
        patch.setattr(command_line, "collect_rarely", lambda: None)
        yield


@pytest.fixture(scope="module")
def compiled_once():
    """Runs of one algorithm share its compiled step, where each would compile it for itself."""
    from dgm_jax.learning import run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_compiled", functools.cache(run._compiled))
        yield


@pytest.fixture
def small_heap():
    """gc.collect() walks what the test makes, not all that the suite holds, which takes seconds."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrCase(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            return file + test[test.find("[") :] if "/contracts/" in file and "[" in test else file

    if config.getvalue("dist") != "load":  # another was asked for
        return None
    config.option.loadscopereorder = False  # the last ones are small as they are
    return ByFileOrCase(config, log)
