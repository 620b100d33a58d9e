"""Starts of experiments: the parts of one that is run for its first step, and their table."""

import json
import subprocess
import sys
import time

import pytest

from benchmarks import start

MARKS = {"import": (2.0, 1.0), "data": (3.0, 1.5), "init": (7.0, 4.5), "step": (9.0, 6.0)}


@pytest.mark.parametrize(("clock", "total"), [("wall", 9.0), ("cpu", 6.0)])
def test_parts_are_what_lies_between_the_marks(clock, total):
    found = start.parts(MARKS, clock)
    assert found["total"] == total == sum(found[part] for part in start.PARTS)
    assert found["evaluation"] == 0 and found["init"] == {"wall": 4.0, "cpu": 3.0}[clock]


def test_a_start_without_a_step_has_no_times():
    found = start.parts({"import": (1.0, 1.0), "end": (2.0, 2.0)}, "wall")
    assert set(found.values()) == {None}


def test_the_second_start_has_the_programs_of_the_first(monkeypatch):
    given = []

    def started(config, words, folder, cache):
        given.append((words, folder.name, cache.exists()))
        cache.mkdir(exist_ok=True)
        return MARKS

    monkeypatch.setattr(start, "started", started)
    found = start.main(start.Config(experiments=("flows.images --models glow",)))
    assert [cache for _, cache, _ in given] == ["cold", "warm"]
    assert [kept for *_, kept in given] == [False, True]
    ((line,),) = start.tables(found)
    assert line["cold s"] == line["warm s"] == "9.0" and line["init"] == "4.0"


def test_all_experiments_are_started_by_default_and_no_others():
    assert {"flows.images", "flows.images --models flow++"} <= set(start.commands())
    with pytest.raises(ValueError, match="each of experiments must be one of .* mean 'flows.toy'"):
        start.main(start.Config(experiments=("flows.toys",)))


@pytest.mark.slow
def test_an_experiment_ends_at_its_first_step_and_tells_its_parts(tmp_path):
    file = tmp_path / "marks.json"
    command = [sys.executable, "-m", "benchmarks.first_step", file, str(time.time())]
    command += ["experiments.flows.compare", "--quick", "--workdir", tmp_path / "run"]
    subprocess.run([*map(str, command), "--cache-dir", str(tmp_path)], check=True)
    marks = json.loads(file.read_text("utf-8"))
    walls = [marks[part][0] for part in start.PARTS]
    assert walls == sorted(walls) and walls[0] > 0
    assert not (tmp_path / "run" / "results.json").exists()
