"""What all benchmarks share: options that are told, and slips that are refused in one line."""

import importlib
from pathlib import Path

import pytest

from dgm_jax import runs

FOLDER = Path(__file__).parents[2] / "benchmarks"
NAMES = sorted(f.stem for f in FOLDER.glob("*.py") if "runs.benchmark(" in f.read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_help_tells_the_options_of_each(name, capsys):
    module = importlib.import_module(f"benchmarks.{name}")
    with pytest.raises(SystemExit) as stop:
        runs.parse(module.Config, f"benchmarks.{name}", args=["--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"python -m benchmarks.{name}" in said and "--out" in said
    assert module.__doc__.split(":")[0].split()[0] in said


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("passes", ["--inverse", "unit_twice"], "inverse must be one of"),
        ("passes", ["--dims", "1"], "each of dims must be an integer of at least 2; got 1"),
        ("peers", ["--hidden", "8", "16"], "hidden must be two or more equal widths; got (8, 16)"),
        ("scaling", ["--dims"], "dims is empty"),
        ("continuous", ["--traces", "zuko"], "traces must begin with one of ours"),
        ("memory", ["--nets"], "nets and depths must each name at least one"),
    ],
)
def test_a_slip_is_one_line_and_exit_code_2(command, capsys, name, args, message):
    with pytest.raises(SystemExit) as stop:
        command(name, *args)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and message in said, said
    assert len(said.splitlines()) == 1
