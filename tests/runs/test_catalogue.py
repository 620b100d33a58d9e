"""The lists of commands: all of them, with a promise of one sentence and how long they take."""

import subprocess
import sys
from pathlib import Path

import pytest

from dgm_jax.runs.catalogue import catalogue
from dgm_jax.runs.directory import duration

ROOT = Path(__file__).parents[2]
FOLDERS = ("experiments", "benchmarks")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_command_promises_a_sentence_and_a_time(folder):
    rows = catalogue(ROOT / folder)
    calls = [
        f for f in (ROOT / folder).rglob("*.py") if 'if __name__ == "__main__"' in f.read_text()
    ]
    # a comparison of two files, and what benchmarks.start runs in other processes
    apart = ("compare", "first_step") if folder == "benchmarks" else ()
    others = ("__main__", "results", *apart)
    assert len(rows) == len([f for f in calls if f.stem not in others])
    for row in rows:
        assert row["promise"].endswith(".") and len(row["promise"]) <= 110, row
        assert row["takes"] and row["takes"].startswith("about "), row


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_package_as_a_command_lists_them(folder):
    done = subprocess.run([sys.executable, "-m", folder], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert all(row["command"] in done.stdout for row in catalogue(ROOT / folder))


def test_a_module_without_a_command_is_none(tmp_path):
    (tmp_path / "a.py").write_text('"""No command."""\nrun = runs.keep(1)\n')
    (tmp_path / "b.py").write_text(
        '"""Shows\nit.\n\nMore."""\nruns.experiment(C, main, minutes=2)\n'
    )
    command = f"python -m {tmp_path.name}.b"
    known = {"command": command, "promise": "Shows it.", "takes": "about 2 minutes"}
    assert catalogue(tmp_path) == [known]


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (0.25, "15 seconds"),
        (1, "1 minute"),
        (1.5, "1.5 minutes"),
        (45, "45 minutes"),
        (120, "2 hours"),
    ],
)
def test_minutes_are_told_in_words(minutes, words):
    assert duration(minutes) == f"about {words}"
