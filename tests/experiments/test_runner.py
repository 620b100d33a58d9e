import dataclasses
import json
import os
import re
import subprocess
import sys
from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import learning
from dgm_jax.data import readers
from experiments import runner

EXPERIMENT = """
'''A promise: one second on any machine, and a loss of 0.5.'''
import dataclasses
from experiments import runner

@dataclasses.dataclass(frozen=True)
class Config(runner.Config):
    data: runner.DataName = "digits"  # the set to learn
    hidden: tuple[int, ...] = (64, 64)  # widths of the layers
    num_steps: int = 3000  # steps of training

if __name__ == "__main__":
    CONFIG = runner.parse(Config, "experiments.flows.fake")

print("the slow imports", flush=True)

def main(config):
    if config.num_steps == 1:
        from dgm_jax import checks
        checks.positive_int(0, "num_layers")
    if config.num_steps == 2:
        return 1 + None
    if config.num_steps == 3:
        raise KeyboardInterrupt
    if config.num_steps == 5:
        import os, signal
        os.kill(os.getpid(), signal.SIGTERM)
    if config.num_steps == 6:
        print("waiting", flush=True)
        input()
    if config.num_steps == 7:
        import jax
        tower = lambda x: sum(jax.numpy.sin(x * i) ** i for i in range(300))
        jax.jit(jax.grad(tower))(0.5).block_until_ready()
    if config.num_steps == 4:
        open(config.workdir / "missing.npy")
    return {"loss": 0.5, "steps": config.num_steps}

if __name__ == "__main__":
    runner.run(CONFIG, main, quick={"num_steps": 20})
"""


@pytest.fixture
def command(tmp_path):
    """Runs the experiment above as a program, in a folder of its own."""
    script = tmp_path / "fake.py"
    script.write_text(EXPERIMENT)

    def run(*args, **env):
        return subprocess.run(
            [sys.executable, script, *args],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | env,
        )

    return run


@dataclasses.dataclass(frozen=True)
class Config(runner.Config):
    """An experiment."""

    num_steps: int = 3000
    hidden: tuple[int, ...] = (64, 64)


def one_line(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def refused(capsys, config, main, code=2):
    with pytest.raises(SystemExit) as stop:
        runner.run(config, main, quick={"num_steps": 20})
    assert stop.value.code == code
    return one_line(capsys)


# ------------------------------------------------------------------------------ command line
def test_help_answers_without_the_slow_imports(command):
    """In seconds of a processor, which a busy machine does not stretch."""
    before = os.times().children_user
    done = command("--help")
    seconds = os.times().children_user - before
    assert done.returncode == 0 and "the slow imports" not in done.stdout
    for text in (
        "python -m experiments.flows.fake",
        "A promise",
        "--num-steps",
        "widths of the",
        "tiny_shakespeare",
    ):
        assert text in done.stdout
    assert seconds < 1.5


def test_parsing_imports_no_array_library(tmp_path):
    script = "import sys; from experiments import runner; runner.parse(runner.Config, 'x', []);"
    script += "print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert not {"jax", "numpy", "scipy", "orbax"} & set(done.stdout.split())


def test_options_are_read_and_slips_are_hinted_at(command, tmp_path):
    done = command("--hidden", "32", "16", "--data", "mnist", "--quick")
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "runs/flows/fake-quick/config.json").read_text())
    assert kept["hidden"] == [32, 16] and kept["data"] == "mnist" and kept["num_steps"] == 20
    slip = command("--num-stpes", "3")
    assert slip.returncode == 2 and "--num-steps" in slip.stderr
    slip = command("--data", "mnits")
    assert slip.returncode == 2 and "fashion_mnist" in slip.stderr


def test_a_file_in_the_place_of_the_directory_is_said_before_the_slow_imports(command, tmp_path):
    (tmp_path / "runs").write_text("a file")
    done = command()
    assert done.returncode == 2 and "the slow imports" not in done.stdout
    assert done.stderr == (
        "error: workdir runs/flows/fake cannot be written to (Not a directory); "
        "name another with --workdir.\n"
    )


def test_errors_of_the_user_are_one_line_and_ours_keep_their_traceback(command):
    done = command("--num-steps", "1")
    assert done.returncode == 2
    assert done.stderr == "error: num_layers must be an integer of at least 1; got 0.\n"
    assert "Traceback" in command("--num-steps", "1", DGM_TRACEBACK="1").stderr
    done = command("--workdir", "b", "--num-steps", "2")
    assert done.returncode == 1 and "Traceback" in done.stderr and "TypeError" in done.stderr
    done = command("--workdir", "c", "--num-steps", "3")
    assert (done.returncode, done.stderr) == (130, "interrupted; the same command resumes\n")
    done = command("--workdir", "d", "--num-steps", "4")
    assert (done.returncode, done.stderr) == (
        2,
        "error: No such file or directory: d/missing.npy\n",
    )


@pytest.mark.parametrize(
    ("name", "code"), [("Diverged", 4), ("NoUsableCheckpoint", 3), ("Preempted", 85)]
)
def test_each_way_to_end_has_its_exit_code(tmp_path, capsys, name, code):
    def main(config):
        raise getattr(learning, name)(*["it is so."] * (name != "Preempted"))

    with pytest.raises(SystemExit) as stop:
        runner.run(Config(workdir=tmp_path), main, quick={})
    assert stop.value.code == code
    assert capsys.readouterr().err == ("" if name == "Preempted" else "error: it is so.\n")
    assert re.search(rf"^    {code} ", runner.__doc__, re.MULTILINE)


def test_sigterm_between_two_trainings_is_exit_85(command):
    done = command("--num-steps", "5")
    assert (done.returncode, done.stderr) == (85, "told to end; the same command resumes\n")


def test_a_second_process_in_the_directory_is_refused_before_the_slow_imports(command, tmp_path):
    first = subprocess.Popen(
        [sys.executable, tmp_path / "fake.py", "--num-steps", "6"],
        cwd=tmp_path,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with first:
        while first.stdout.readline() != "waiting\n":
            pass
        done = command("--num-steps", "6")
        first.kill()
    assert done.returncode == 2 and "the slow imports" not in done.stdout
    assert f"runs/flows/fake is in use by process {first.pid} on " in done.stderr


def test_compiled_programs_are_kept_where_they_are_asked_for(command, tmp_path):
    on = {"JAX_ENABLE_COMPILATION_CACHE": "true", "XDG_CACHE_HOME": str(tmp_path / "home")}
    done = command("--num-steps", "7", "--cache-dir", "cache", **on)
    assert done.returncode == 0, done.stderr
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept and not (tmp_path / "home").exists()
    done = command("--num-steps", "7", "--workdir", "b", **on)
    (folder,) = (tmp_path / "home" / "dgm_jax").iterdir()  # of this processor
    towers = {name for name in kept if name.startswith("jit_tower")}
    assert {path.name for path in folder.iterdir()} >= towers
    on |= {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "mine"), "XDG_CACHE_HOME": "/never"}
    assert command("--num-steps", "7", "--workdir", "c", **on).returncode == 0
    assert list((tmp_path / "mine").iterdir())


def test_the_experiment_has_its_name_in_the_directory(command, tmp_path, capsys):
    assert command("--quick").returncode == 0
    kept = tmp_path / "runs/flows/fake-quick/config.json"
    assert json.loads(kept.read_text())["experiment"] == "fake"
    kept.write_text(kept.read_text().replace('"fake"', '"another"'))
    done = command("--quick")
    assert done.returncode == 2 and 'experiment was "another", is "fake"' in done.stderr


def test_the_data_names_are_those_of_the_readers():
    assert set(get_args(runner.DataName)) == set(readers.LOADERS)


# ------------------------------------------------------------------------------------ the run
def test_a_run_leaves_its_options_and_results_and_is_not_run_again(tmp_path, capsys):
    config, calls = Config(workdir=tmp_path / "a" / "b"), []

    def main(config):
        assert config.workdir.is_dir()
        calls.append(config)
        return {"loss": np.float32(0.5), "per": {"maf": jnp.arange(2)}, "n": np.int64(3)}

    wanted = {"loss": 0.5, "per": {"maf": [0, 1]}, "n": 3}
    assert runner.run(config, main, quick={}) == wanted
    assert json.loads((tmp_path / "a/b/results.json").read_text()) == wanted
    assert json.loads((tmp_path / "a/b/config.json").read_text())["num_steps"] == 3000
    capsys.readouterr()
    assert runner.run(config, main, quick={}) == wanted and len(calls) == 1
    out = capsys.readouterr().out
    assert "done already" in out and "per/maf" in out and str(tmp_path) in out
    names = {path.name for path in (tmp_path / "a/b").iterdir()}
    assert names == {".lock", "config.json", "results.json"}


def test_quick_replaces_only_what_was_left_at_its_default(tmp_path):
    def steps(config):
        return {"steps": config.num_steps, "hidden": config.hidden}

    quick = {"num_steps": 20, "hidden": (8,)}
    given = Config(workdir=tmp_path / "a", quick=True, num_steps=50)
    assert runner.run(given, steps, quick=quick) == {"steps": 50, "hidden": [8]}
    given = Config(workdir=tmp_path / "b")
    assert runner.run(given, steps, quick=quick) == {"steps": 3000, "hidden": [64, 64]}


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
    assert runner.run(moved, lambda config: {"loss": 1}, quick={}) == {"loss": 1}
    assert "num_steps was 3000" in refused(capsys, other, lambda config: {})


def test_a_start_that_was_refused_leaves_the_directory_free_for_other_options(tmp_path, capsys):
    config = Config(workdir=tmp_path)
    assert "missing" in refused(capsys, config, lambda config: open(tmp_path / "missing"))
    better = dataclasses.replace(config, num_steps=7)
    assert runner.run(better, lambda config: {"loss": 1}, quick={}) == {"loss": 1}
    assert json.loads((tmp_path / "config.json").read_text())["num_steps"] == 7


def test_results_that_json_cannot_hold_are_refused(tmp_path, capsys):
    line = refused(capsys, Config(workdir=tmp_path), lambda c: {"maf": {"nll": np.float32("nan")}})
    assert line.startswith("error: results/maf/nll is nan")
    line = refused(capsys, Config(workdir=tmp_path), lambda c: {"model": object()})
    assert line.startswith("error: results/model is a object")
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.json"}


def test_an_error_from_inside_a_library_keeps_its_traceback(tmp_path):
    config = Config(workdir=tmp_path)
    with pytest.raises(TypeError, match="incompatible shapes"):
        runner.run(config, lambda config: jnp.zeros(3) + jnp.zeros(4), quick={})
    with pytest.raises(ValueError, match="matmul"):
        runner.run(config, lambda config: np.zeros(3) @ np.ones(4), quick={})


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    runner.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="x/a/1 is inf"):
        runner.write_json(path, {"a": [1.0, float("inf")]})
    assert json.loads(path.read_text()) == {"a": 1}


def test_tables_line_up_whole_when_piped(capsys):
    rows = [{"model": "maf", "nats": -1.25, "steps": 12}, {"model": "x" * 120, "nats": 1234.56}]
    runner.table(rows, ("model", "nats", "steps"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 4 and "x" * 120 in lines[3]
    assert lines[2].index("-1.25") + len("-1.25") == lines[3].index("1234.56") + len("1234.56")
    assert lines[2].endswith("12")
