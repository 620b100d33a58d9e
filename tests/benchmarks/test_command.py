"""What all benchmarks share: an instant --help, one-line errors, dated records."""

import subprocess
import sys
import time

import pytest

from benchmarks import command as cli

NAMES = ("passes", "peers", "scaling")


@pytest.mark.parametrize("name", NAMES)
def test_help_is_quick_and_imports_no_array_library(command, name):
    start = time.process_time()
    done = command(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python -m benchmarks.{name}" in done.stdout and "--out" in done.stdout
    assert time.process_time() - start < 5
    script = "import runpy, sys\nsys.argv[1:] = ['--help']\ntry: runpy.run_module(%r, run_name="
    script += "'__main__')\nexcept SystemExit: print(*{m.partition('.')[0] for m in sys.modules})"
    found = subprocess.run(
        [sys.executable, "-c", script % f"benchmarks.{name}"], capture_output=True, text=True
    ).stdout.splitlines()[-1]
    assert not {"jax", "numpy", "distrax", "torch", "matplotlib"} & set(found.split())


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("passes", ["--inverse", "unit_twice"], "inverse must be one of"),
        ("passes", ["--dims", "1"], "each of dims must be an integer of at least 2; got 1"),
        ("passes", ["--figure", "picture.pdf"], "figure must end in .png"),
        ("peers", ["--hidden", "8", "16"], "hidden must be two or more equal widths; got (8, 16)"),
        ("scaling", ["--dims"], "dims is empty"),
        ("scaling", ["--out", "."], "out . cannot be written"),
    ],
)
def test_a_slip_is_one_line_and_exit_code_2(command, name, args, message):
    done = command(name, *args)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_record_says_when_where_and_how():
    machine = {"date": "2026-11-20", "cpu": "a cpu", "device": "1 x cpu", "jax": "0.10.2"}
    rows = [{"model": "maf", "ms": 1.23456}, {"model": "iaf", "params": 3}]
    assert cli.section("benchmarks.x", "python -m benchmarks.x", machine, "shared", [rows]) == (
        "\n## 2026-11-20, benchmarks.x\n\n`python -m benchmarks.x`\n\n"
        "a cpu; 1 x cpu; jax 0.10.2; shared.\n\n"
        "| model | ms | params |\n| --- | --- | --- |\n| maf | 1.235 |  |\n| iaf |  | 3 |\n"
    )


def test_a_record_keeps_the_command_without_the_files_of_this_machine():
    args = ["--dims", "8", "64", "--out", "/tmp/a.json"]
    args += ["--note=shared", "--figure=b.png", "--batch=4"]
    assert cli.command_line("x", args) == "python -m x --dims 8 64 --batch=4"
