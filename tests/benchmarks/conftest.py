"""Runs `python -m benchmarks.<name>` as a program, away from the repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path):
    def run(name, *args):
        line = [sys.executable, "-m", f"benchmarks.{name}", *map(str, args)]
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        env = os.environ | {"PYTHONPATH": paths}
        return subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=env)

    return run
