"""A data file is read as a plain reader reads it, or refused in a line that names it.

Each of some 12,000 damaged or forged files is loaded in a process with little memory: none ends it,
none is read for ever, none is answered by a traceback, and none is read wrongly.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reliability import hostile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NUM = 500


@pytest.mark.parametrize("target", hostile.targets(np.random.default_rng(0)))
def test_a_hostile_file_is_refused_in_a_line_or_read_as_it_is(target, tmp_path):
    last = tmp_path / "last"  # what the process may have died of
    command = [sys.executable, "-m", "tests.reliability.hostile", "--target", target]
    command += ["--seed", "7", "--num", str(NUM), "--keep", str(last)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"ended with {done.returncode} by {last}\n{done.stderr[-3000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    verdicts = found["verdicts"]
    assert verdicts.keys() <= {"refused", "read"}, "\n".join(found["told"])
    assert sum(verdicts.values()) == NUM
    assert verdicts["refused"] > NUM // 4  # the changes hurt
