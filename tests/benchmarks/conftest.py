"""Runs a benchmark with given options, as its command does, in this process."""

import importlib

import jax
import pytest

from dgm_jax import plots, runs
from dgm_jax.measure import timing


@pytest.fixture
def command(tmp_path, monkeypatch):
    """command("passes", "--dims", 3): benchmarks.passes, in a folder of its own."""

    def run(name, *args):
        monkeypatch.chdir(tmp_path)
        module = importlib.import_module(f"benchmarks.{name}")
        parts = module.Config, module.main, module.tables, module.draw
        with jax.debug_key_reuse(False):  # a call that is timed again draws again what it drew
            runs.benchmark(*parts, save=plots.save, args=list(map(str, args)))

    return run


@pytest.fixture
def traced(monkeypatch):
    """Programs are traced and not compiled: what stands in a table is all that a test looks at."""

    def program(function, *args):
        jax.eval_shape(function, *args)
        return timing.Program(lambda: None, 1.0, None)

    monkeypatch.setattr(timing, "program", program)
