"""Options of a command: read and refused before anything is computed; --quick changes defaults.

    python -m experiments.flows.fake --some-option of-a-command --that-is-longer than-eighty-columns

These paragraphs are what --help tells of a command of this module, so that a test sees them filled.
--quick begins a line here.
    log p(x) = log p(z) + log |det dz/dx|    for a formula in the midst of it
It goes on below that formula, and is prose again.

- an item of a list
- and another one, neither of which is joined to the other, however short they may be, nor cut at 80
"""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dgm_jax import runs
from dgm_jax.runs import command_line


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    num_steps: int = 3000
    """steps of training"""
    rate: float = 0.1
    """of learning, which is said in two
    lines here, and in one by --help"""
    hidden: tuple[int, ...] = (64, 64)  # widths of the layers
    shares: tuple[float, ...] = (0.5,)


QUICK = {"num_steps": 20, "hidden": (8,)}


def parsed(*args):
    return runs.parse(Config, "experiments.flows.fake", quick=QUICK, args=args)


def steps(config):
    return {"steps": config.num_steps, "hidden": config.hidden}


def test_help_says_what_each_option_does(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as stop:
        parsed("--help")
    said = capsys.readouterr().out
    assert stop.value.code == 0
    for text in ("python -m experiments.flows.fake", __doc__[:20], "--num-steps", "steps of"):
        assert text in said
    assert "of learning, which is said in two lines here, and in one by --help" in said
    assert "widths of the" in said and "the directory of the run" in said


def test_help_fills_prose_and_leaves_code_formulas_and_lists(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        parsed("--help")
    prose, usage = capsys.readouterr().out.split("usage: ")
    kept = [line for line in __doc__.splitlines() if line.startswith((" ", "- "))]
    lines = prose.splitlines()
    assert len(kept) == 4 and all(line in lines for line in kept)
    assert max(len(line) for line in lines if line not in kept) in range(50, 61)
    assert "tells of a" in prose and " ".join(prose.split()) == " ".join(__doc__.split())
    assert usage.startswith("python -m experiments.flows.fake")


def test_a_slip_is_refused_with_a_hint(capsys):
    with pytest.raises(SystemExit) as stop:
        parsed("--num-stpes", "3")
    assert stop.value.code == 2 and "--num-steps" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_nan_and_infinity_are_refused_before_the_run_has_a_directory(
    tmp_path, monkeypatch, capsys, value
):
    monkeypatch.chdir(tmp_path)
    for words in (["--rate", value], ["--shares", "0.5", value], ["--rate", value, "--quick"]):
        with pytest.raises(SystemExit) as stop:
            runs.experiment(Config, steps, quick=QUICK, args=words)
        said = f"error: {words[0]} must be a finite number; got {value}.\n"
        assert stop.value.code == 2 and capsys.readouterr().err == said
    assert not list(tmp_path.iterdir())


def test_quick_changes_defaults_and_keeps_what_is_given():
    """Also what is given as it would be without --quick."""
    assert parsed().num_steps == 3000 and parsed().hidden == (64, 64)
    assert (parsed("--quick").num_steps, parsed("--quick").hidden) == (20, (8,))
    given = parsed("--quick", "--num-steps", "3000")
    assert (given.num_steps, given.hidden) == (3000, (8,))
    assert parsed("--hidden", "64", "64", "--quick").hidden == (64, 64)


def test_a_run_has_a_directory_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = runs.experiment(Config, steps, quick=QUICK, args=["--quick", "--hidden", "3"])
    assert found == {"steps": 20, "hidden": [3]}
    (path,) = tmp_path.rglob("config.json")
    kept = json.loads(path.read_text())
    assert path.parent.parent.is_relative_to(tmp_path / "runs") and "-quick" in path.parent.name
    assert kept["experiment"] == steps.__module__ and kept["num_steps"] == 20 and kept["quick"]


PARTED = """
import dataclasses, jax
from dgm_jax import runs
from dgm_jax.runs import command_line

@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    devices: int | None = None

def main(config):
    return {"there": jax.device_count()}

runs.experiment(Config, main, args=["--devices", "3"])
again = runs.experiment(Config, main, args=["--devices", "5", "--workdir", "again"])
assert again == {"there": 3}, again  # JAX has started, and keeps what it has
"""


@pytest.mark.parametrize(
    ("asked", "held", "flags", "cores", "given"),
    [
        (None, -1, "", 2, 2),  # one a core
        (None, -1, "", 64, 8),  # as many as were measured
        (None, -1, "", 1, None),  # JAX's own
        (None, 3, "", 2, None),  # JAX_NUM_CPU_DEVICES
        (None, -1, "--xla_force_host_platform_device_count=3", 2, None),
        (1, -1, "", 2, None),
        (4, 2, "", 2, 4),
        (2, 4, "", 2, None),
    ],
)
def test_cpu_devices_are_as_many_as_cores_if_nothing_else_is_said(
    monkeypatch, asked, held, flags, cores, given
):
    told = []
    config = SimpleNamespace(jax_num_cpu_devices=held, update=lambda _, count: told.append(count))
    monkeypatch.setattr(command_line, "jax", SimpleNamespace(config=config))
    monkeypatch.setattr(command_line, "num_cores", lambda: cores)
    monkeypatch.setenv("XLA_FLAGS", flags)
    command_line._part_the_cpu(asked)
    assert told == ([] if given is None else [given])


def test_an_experiment_gets_as_many_cpu_devices_as_share_its_batches(tmp_path):
    script = tmp_path / "parted.py"
    script.write_text(PARTED)
    env = os.environ | {"PYTHONPATH": str(Path(runs.__file__).parents[2]), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, script], capture_output=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr.decode()
    (results,) = tmp_path.glob("runs/*/results.json")
    assert json.loads(results.read_text())["there"] == 3
