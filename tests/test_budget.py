"""The costs that are told at the end of a run of the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import budget

ROOT = Path(__file__).parents[1]


def test_the_shares_are_16_core_minutes_for_what_exists_and_40_for_eight_chapters():
    assert sum(budget.SHARES.values()) == 16 * 60
    assert budget.ALL == 40 * 60


def test_every_folder_of_tests_has_a_share():
    folders = {path.parent.relative_to(ROOT).parts[:2] for path in ROOT.glob("tests/**/test_*.py")}
    known = {*budget.SHARES, *(f"tests/{chapter}" for chapter in budget.NEW_CHAPTERS)}
    # of which no test runs by default
    assert {"/".join(parts) for parts in folders} <= known | set(NEVER_BY_DEFAULT)


NEVER_BY_DEFAULT = ("tests/multiprocess", "tests/reliability")


@pytest.mark.parametrize(
    "nodeid, wanted",
    [
        ("tests/nets/causal/test_made.py::test_x[a/b::c]", "tests/nets"),
        ("tests/nets/test_mlp.py::test_x", "tests/nets"),
        ("tests/test_checks.py::test_x", "tests"),
    ],
)
def test_a_test_belongs_to_its_folder(nodeid, wanted):
    assert budget.folder(nodeid) == wanted


def test_a_folder_that_overdraws_its_share_is_named_and_no_other():
    flows, nets = budget.SHARES["tests/flows"], budget.SHARES["tests/nets"]
    spent = {"tests/flows": float(flows), "tests/nets": nets + 0.6}
    lines = budget.summary(spent, all_is_run=True)
    assert [line for line in lines if "overdraws" in line] == [
        f"tests/nets overdraws its share: {nets + 1} of {nets} seconds"
    ]
    assert lines[2].split() == ["together", f"{flows + nets + 0.6:.1f}", "of", f"{flows + nets}"]
    part = budget.summary({"tests/nets": 1e6}, all_is_run=False)  # by -m slow, say
    assert not any("overdraws" in line for line in part)


def test_a_new_chapter_has_a_share_and_adds_one_to_the_contracts():
    now, then = budget.shares(["tests/flows"]), budget.shares(["tests/flows", "tests/vae"])
    assert then["tests/vae"] == 180 and "tests/vae" not in now
    assert then["tests/contracts"] == now["tests/contracts"] + 60


BUSY = """
import subprocess, sys, time
LOOP = "import time; end = time.process_time() + 0.3\\nwhile time.process_time() < end: pass"
def test_here(): exec(LOOP)
def test_in_another_process(): subprocess.run([sys.executable, "-c", LOOP], check=True)
def test_asleep(): time.sleep(0.3)
"""


@pytest.mark.parametrize("options", [[], ["-n", "2"]])
def test_seconds_of_all_processes_are_counted_and_sleep_is_not(options, tmp_path):
    for name in ("flows", "nets"):
        file = tmp_path / "tests" / name / f"test_{name}.py"
        file.parent.mkdir(parents=True)
        file.write_text(BUSY if name == "flows" else "def test_nothing(): pass")
    command = [sys.executable, "-m", "pytest", "-p", "tests.budget", "-q", "--rootdir", tmp_path]
    done = subprocess.run(
        [*command, *options, "tests"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("tests/")]
    seconds = {row[0]: float(row[1]) for row in rows}
    assert seconds["tests/flows"] >= 0.6
    assert seconds["tests/nets"] < 0.3
