"""A directory keeps one run: shown when done, resumed when stopped, refused to other options."""

import dataclasses
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from dgm_jax import runs
from tests.runs import damage

PROGRAM = """
'''A promise.'''
import dataclasses, os, signal
import jax
from dgm_jax import runs

@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    does: str = "nothing"

def main(config):
    if config.does == "mistake":
        return 1 + None
    if config.does == "told to end":
        os.kill(os.getpid(), signal.SIGTERM)
    if config.does == "waits":
        print("waiting", flush=True)
        input()
    if config.does == "compiles":
        def tower(x):
            return sum(jax.numpy.sin(x * i) ** i for i in range(200))
        jax.jit(tower)(0.5).block_until_ready()
    return {"loss": 0.5}

if __name__ == "__main__":
    runs.experiment(Config, main)
"""


@pytest.fixture
def command(tmp_path):
    """The words of a program that keeps runs, in a folder of its own."""
    (tmp_path / "fake.py").write_text(PROGRAM)
    return [sys.executable, tmp_path / "fake.py", "--does"]


def run(command, *args, **env):
    cwd = command[1].parent
    env = os.environ | {"JAX_PLATFORMS": "cpu"} | env
    return subprocess.run([*command, *args], capture_output=True, text=True, cwd=cwd, env=env)


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    """An experiment."""

    num_steps: int = 3000
    hidden: tuple[int, ...] = (64, 64)
    data: str = "digits"


def refused(capsys, config, main, code=2):
    with pytest.raises(SystemExit) as stop:
        runs.keep(config, main)
    assert stop.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_run_leaves_its_options_and_results_and_is_not_run_again(tmp_path, capsys):
    config, calls = Config(workdir=tmp_path / "a" / "b"), []

    def main(config):
        assert config.workdir.is_dir()
        calls.append(config)
        return {"loss": np.float32(0.5), "per": {"maf": np.arange(2)}, "n": np.int64(3)}

    wanted = {"loss": 0.5, "per": {"maf": [0, 1]}, "n": 3}
    assert runs.keep(config, main) == wanted
    assert json.loads((tmp_path / "a/b/results.json").read_text()) == wanted
    kept = json.loads((tmp_path / "a/b/config.json").read_text())
    assert kept["num_steps"] == 3000 and kept["experiment"] == __name__ and kept["machine"]["jax"]
    capsys.readouterr()
    assert runs.keep(config, main) == wanted and len(calls) == 1
    out = capsys.readouterr().out
    assert "done already" in out and "per/maf" in out and str(tmp_path) in out
    names = {path.name for path in (tmp_path / "a/b").iterdir()}
    assert names == {".lock", "config.json", "results.json"}


def test_a_program_that_has_changed_since_is_told_beside_the_results_of_then(
    tmp_path, capsys, monkeypatch
):
    program, config = tmp_path / "mine.py", Config(workdir=tmp_path / "run")
    monkeypatch.setattr(sys.modules[__name__], "__file__", str(program))
    for text, changed in (("net = 1", False), ("net = 1", False), ("net = 2", True)):
        program.write_text(text)
        assert runs.keep(config, lambda config: {"loss": 1}) == {"loss": 1}
        assert (
            "has changed since. To run it as it is now, name" in capsys.readouterr().out
        ) == changed


def test_other_options_are_refused_and_other_places_are_not(tmp_path, capsys):
    def stopped(config):
        (config.workdir / "maf").mkdir()
        raise KeyboardInterrupt

    config = Config(workdir=tmp_path)
    assert refused(capsys, config, stopped, code=130) == "interrupted; the same command resumes"
    other = dataclasses.replace(config, num_steps=7, hidden=(1,))
    line = refused(capsys, other, lambda config: {})
    assert "hidden was [64, 64], is [1]; num_steps was 3000, is 7" in line
    moved = dataclasses.replace(config, data_dir=tmp_path, progress=False)
    assert runs.keep(moved, lambda config: {"loss": 1}) == {"loss": 1}
    assert "num_steps was 3000" in refused(capsys, other, lambda config: {})


def test_the_directory_of_another_experiment_is_refused(tmp_path, capsys):
    runs.keep(Config(workdir=tmp_path), lambda config: {})
    kept = tmp_path / "config.json"
    kept.write_text(kept.read_text().replace(f'"{__name__}"', '"another"'))
    line = refused(capsys, Config(workdir=tmp_path, num_steps=7), lambda config: {})
    assert f'(experiment was "another", is "{__name__}")' in line  # and not all of its options


def test_a_start_that_was_refused_leaves_the_directory_free_for_other_options(tmp_path, capsys):
    config = Config(workdir=tmp_path)
    line = refused(capsys, config, lambda config: open(tmp_path / "missing.npy"))
    assert line == f"error: No such file or directory: {tmp_path}/missing.npy"
    better = dataclasses.replace(config, num_steps=7)
    assert runs.keep(better, lambda config: {"loss": 1}) == {"loss": 1}
    assert json.loads((tmp_path / "config.json").read_text())["num_steps"] == 7


@pytest.mark.parametrize("name", ["config", "results"])
def test_a_damaged_file_of_a_done_run_is_one_line_and_the_rest_is_kept(tmp_path, capsys, name):
    config, path = Config(workdir=tmp_path), tmp_path / f"{name}.json"
    runs.keep(config, lambda config: {"loss": 1})
    capsys.readouterr()
    for form, make in damage.FORMS.items():
        damage.done(path, make)
        if form == "a circle of links":  # is no file, so there are none
            continue
        line = refused(capsys, config, lambda config: {"loss": 2})
        assert line.startswith(f"error: {path} is damaged ("), form
        assert ". Delete it: the same command " in line and len(line) < 400


def test_results_of_another_form_are_refused_and_a_mistake_in_showing_is_a_mistake(
    tmp_path, capsys
):
    config = Config(workdir=tmp_path)

    def show(found):
        print(found["loss"])

    with pytest.raises(KeyError):
        runs.keep(config, lambda config: {"lass": 1}, show=show)
    with pytest.raises(SystemExit):
        runs.keep(config, lambda config: {}, show=show)
    said = capsys.readouterr().err
    assert f"{tmp_path}/results.json is not of this experiment (KeyError: 'loss')" in said


def test_results_that_json_cannot_hold_are_refused(tmp_path, capsys):
    line = refused(capsys, Config(workdir=tmp_path), lambda c: {"maf": {"nll": np.float32("nan")}})
    assert line.startswith("error: results/maf/nll is nan")
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.json"}


def test_results_that_json_cannot_hold_are_shown_before_they_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        runs.keep(Config(workdir=tmp_path), lambda config: {"nll": np.inf})
    said = capsys.readouterr()
    assert "inf" in said.out and "results/nll is inf" in said.err


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("another folder", "its data_dir was {}/a, and is {}/b"),
        ("another folder by DGM_DATA", "its data_dir was {}/a, and is {}/b"),
        ("no options", "has no config.json"),
        ("other options", "its config.json was changed"),
        ("other rows", "its files of data were changed"),
        ("other results", "its results.json was changed"),
    ],
)
def test_results_that_may_be_of_another_run_are_found_again(
    change, why, tmp_path, capsys, monkeypatch
):
    """And where that fails, they are not shown the next time either."""
    monkeypatch.delenv("DGM_DATA", raising=False)
    (tmp_path / "x.csv").write_text("1,2")
    config = Config(workdir=tmp_path, data_dir=tmp_path / "a", data=str(tmp_path / "x.csv"))
    calls = []

    def main(config):
        calls.append(config)
        if len(calls) == 2:
            raise KeyboardInterrupt  # as `train` refuses other data
        return {"calls": len(calls)}

    runs.keep(config, main)
    kept = tmp_path / "config.json"
    if change == "no options":
        kept.unlink()
    elif change == "other results":
        (tmp_path / "results.json").write_text('{"calls": 7}')
    elif change == "other rows":
        (tmp_path / "x.csv").write_text("1,3")
    elif change == "other options":
        kept.write_text(kept.read_text().replace('"seed": 0', '"seed": 1'))
        config = dataclasses.replace(config, seed=1)
    else:
        config = dataclasses.replace(config, data_dir=tmp_path / "b")
    if change.endswith("DGM_DATA"):
        config = dataclasses.replace(config, data_dir=None)
        monkeypatch.setenv("DGM_DATA", str(tmp_path / "b"))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        runs.keep(config, main)
    said = capsys.readouterr()
    told = f"{tmp_path} is done, but {why.format(tmp_path, tmp_path)}: looking again\n"
    assert "calls" not in said.out and told in said.err
    assert runs.keep(config, main) == runs.keep(config, main) == {"calls": 3}


def test_a_program_that_may_open_few_files_says_so_before_it_writes_any(
    tmp_path, capsys, monkeypatch
):
    limits = [32, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda which: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda which, new: limits.__setitem__(0, new[0]))
    assert runs.keep(Config(workdir=tmp_path / "a"), lambda config: {"loss": 1}) == {"loss": 1}
    assert limits == [1024, 4096]  # as many as it may ask for
    limits[:] = 32, 48
    line = refused(capsys, Config(workdir=tmp_path / "b"), lambda config: {})
    assert line == "error: this program may have 48 files open, and needs 64 (ulimit -n 1024)."
    assert not (tmp_path / "b").exists()


def test_a_file_in_the_place_of_the_directory_is_refused_and_no_directory_too(tmp_path, capsys):
    (tmp_path / "runs").write_text("a file")
    line = refused(capsys, Config(workdir=tmp_path / "runs" / "a"), lambda config: {})
    assert line.startswith(f"error: workdir {tmp_path}/runs/a cannot be written to (Not a dir")
    assert "workdir is missing" in refused(capsys, Config(), lambda config: {})


def test_a_program_ends_with_the_code_of_its_end(command):
    done = run(command, "mistake")
    assert done.returncode == 1 and "Traceback" in done.stderr and "TypeError" in done.stderr
    done = run(command, "told to end", "--workdir", "b")
    assert (done.returncode, done.stderr) == (85, "told to end; the same command resumes\n")


def test_a_second_process_in_the_directory_is_refused(command):
    cwd, pipe = command[1].parent, subprocess.PIPE
    first = subprocess.Popen([*command, "waits"], cwd=cwd, text=True, stdin=pipe, stdout=pipe)
    with first:
        while first.stdout.readline() != "waiting\n":
            pass
        done = run(command, "waits")
        first.kill()
    assert done.returncode == 2 and "waiting" not in done.stdout
    assert f"runs/fake is in use by process {first.pid} on " in done.stderr


def test_compiled_programs_are_kept_where_they_are_asked_for(command, tmp_path):
    """By default, and where jax was told: test_cache.py."""
    home = tmp_path / "home"
    on = {"JAX_ENABLE_COMPILATION_CACHE": "true", "XDG_CACHE_HOME": str(home), "XLA_FLAGS": ""}
    done = run(command, "compiles", "--cache-dir", "cache", **on)
    assert done.returncode == 0, done.stderr
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert any(name.startswith("jit_tower") for name in kept) and not home.exists()


@pytest.mark.full
def test_compiled_programs_are_kept_by_default_and_where_jax_was_told(command, tmp_path):
    home, mine = tmp_path / "home", tmp_path / "mine"
    on = {"JAX_ENABLE_COMPILATION_CACHE": "true", "XDG_CACHE_HOME": str(home), "XLA_FLAGS": ""}
    assert run(command, "compiles", **on).returncode == 0
    (folder,) = (home / "dgm_jax").iterdir()  # of this processor
    assert any(path.name.startswith("jit_tower") for path in folder.iterdir())
    on |= {"JAX_COMPILATION_CACHE_DIR": str(mine), "XDG_CACHE_HOME": "/never"}
    assert run(command, "compiles", "--workdir", "c", **on).returncode == 0
    assert list(mine.iterdir())
