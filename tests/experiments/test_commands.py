"""Every command that the texts of the project tell can be given."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

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
COMMAND = re.compile(r"python -m ((?:experiments|benchmarks)\.[a-z_.]+[a-z])([^\n`#&]*)")
STANDS_FOR = {  # what the reader puts in its place
    "S": "0",
    "MODEL": "gru",
    "SET": "adult",
    "D": "uniform",
    "L": "affine",
    "N": "2",
    "I": "0",
}


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
