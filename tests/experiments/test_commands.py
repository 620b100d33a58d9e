"""Every command that the texts of the project tell can be given."""

import dataclasses
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tyro

from dgm_jax.runs import command_line
from dgm_jax.runs.catalogue import catalogue
from dgm_jax.runs.directory import program

ROOT = Path(__file__).parents[2]
FILES = [
    *ROOT.glob("*.md"),
    *(
        f
        for folder in ("dgm_jax", "experiments", "benchmarks")
        for f in ROOT.glob(f"{folder}/**/*")
        if f.suffix in (".py", ".md")
    ),
]
COMMAND = re.compile(r"python -m ((?:experiments|benchmarks)\.[a-z0-9_.]+[a-z0-9])([^\n`#&]*)")
STANDS_FOR = {  # what the reader puts in its place
    "S": "0",
    "MODEL": "gru",
    "SET": "adult",
    "D": "uniform",
    "L": "affine",
    "N": "2",
    "I": "0",
}


SCRIPT = """
import importlib, sys
for name in {names}:
    importlib.import_module(name)
print(*{{name.partition(".")[0] for name in sys.modules}})
import jax
jax.config.update("jax_num_cpu_devices", 3)  # an error where jax has started
"""


def test_commands_load_nothing_slow_and_start_nothing_before_they_know_their_options():
    """So that --help and the refusal of a directory that is in use take less than a second."""
    files = [f for folder in ("experiments", "benchmarks") for f in ROOT.glob(f"{folder}/**/*.py")]
    files += ROOT.glob("tests/*/job.py")
    files = [f for f in files if f.parent.name != "notebooks"]  # which run as they are read
    modules = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files]
    script = SCRIPT.format(names=[name for name in modules if "__init__" not in name])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    slow = {"distrax", "flax", "diffrax", "orbax", "sklearn", "matplotlib", "torch", "zuko"}
    assert not slow & set(done.stdout.split())


def test_help_takes_a_second():
    """Of a processor, which a busy machine does not stretch much."""
    before = os.times().children_user
    line = [sys.executable, "-m", "experiments.flows.compare", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "bits/dim" in done.stdout and "tiny_shakespeare" in done.stdout
    assert os.times().children_user - before < 1.5


NAMES = [
    row["command"].removeprefix("python -m ")
    for folder in ("experiments", "benchmarks")
    for row in catalogue(ROOT / folder)
]


def test_every_option_has_a_help():
    """Of its own, or that of the class from which the options of the command derive."""
    silent = []
    for name in NAMES:
        config = importlib.import_module(name).Config
        told = command_line._told_in_one_line(config).__annotations__
        silent += [f"{name}: {f.name}" for f in dataclasses.fields(config) if f.name not in told]
    assert silent == []


def test_every_command_calls_itself_by_its_name():
    """In its usage, and in the config.json of its runs: also where `main` is that of another."""
    assert len(NAMES) > 60
    for name in NAMES:
        module = importlib.import_module(name)
        (options,) = re.findall(
            r"^    runs\.(?:experiment|benchmark)\(\s*(\w+)",
            Path(module.__file__).read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        assert program(getattr(module, options)) == name


def told():
    """(module, options) of each command, once."""
    found = set()
    for file in FILES:
        text = re.sub(r"\\+\n\s*", " ", file.read_text(encoding="utf-8"))
        found |= {(m[1], m[2].strip()) for m in COMMAND.finditer(text) if " -" in m[2]}
    return sorted(found)


def test_the_texts_tell_commands():
    assert len(told()) > 40


@pytest.mark.parametrize("module", sorted({module for module, _ in told()}))
def test_each_command_parses(module):
    config = getattr(importlib.import_module(module), "Config", None)
    for options in (options for name, options in told() if name == module and config):
        given = [STANDS_FOR.get(word, word) for word in shlex.split(options)]
        try:
            tyro.cli(config, args=given, console_outputs=False)
        except SystemExit as stop:
            assert stop.code == 0, f"python -m {module} {options}"  # --help leaves with 0


EXPERIMENTS = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in ROOT.glob("experiments/*/*.py")
    if "runs.experiment(" in file.read_text(encoding="utf-8")  # and not what several share
)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("module", EXPERIMENTS)
def test_every_experiment_runs_quickly_with_nothing_downloaded(module, tmp_path):
    """Twice: what is compiled is kept, so the second start is within a minute."""
    environment = {name: value for name, value in os.environ.items() if name != "DGM_DATA"}
    environment |= {"JAX_ENABLE_COMPILATION_CACHE": "true", "XLA_FLAGS": ""}
    for start in ("first", "second"):
        before = os.times().children_user
        places = ["--workdir", tmp_path / start, "--cache-dir", tmp_path / "compiled"]
        line = [sys.executable, "-m", module, "--quick", "--no-progress", *places]
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment)
        assert done.returncode == 0, done.stderr
    assert os.times().children_user - before < 45
    assert (tmp_path / "second" / "results.json").is_file()
