"""The notebooks: each runs from its first cell to its last, and is what its script says."""

import contextlib
import io
import json
import re
from pathlib import Path

import jax
import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
NAMES = [script.stem for script in SCRIPTS]
QUICK = re.compile(r"^(\w+ = ).*  # quick: (.+)$", re.MULTILINE)


def quick(code):
    """The numbers that a script names for a run of seconds, in the place of its own."""
    changed, count = QUICK.subn(r"\1\2", code)
    assert count, "no line says '# quick: ...'"
    return changed


def run(code, name):
    with contextlib.redirect_stdout(io.StringIO()) as said, jax.debug_key_reuse(False):
        exec(compile(code, name, "exec"), {"__name__": name})
    return said.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_each_runs_quickly_from_its_first_cell_to_its_last(name):
    said = run(quick((FOLDER / f"{name}.py").read_text("utf-8")), name)
    assert said and "nan" not in said.lower().split()


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_each_runs_as_it_is(name):
    assert run((FOLDER / f"{name}.py").read_text("utf-8"), name)


def cells(code):
    """[(kind, text)] of a script in the percent format."""
    parts = re.split(r"^# %%(.*)\n", code, flags=re.MULTILINE)
    found = []
    for mark, text in zip(parts[1::2], parts[2::2], strict=True):
        words = "[markdown]" in mark
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE) if words else text
        found.append(("markdown" if words else "code", text.strip()))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_notebook_is_its_script_run_through(name):
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))
    told = [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in notebook["cells"]]
    assert told == cells((FOLDER / f"{name}.py").read_text("utf-8"))
    outputs = [out for cell in notebook["cells"] for out in cell.get("outputs", ())]
    assert all(out["output_type"] != "error" for out in outputs)
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert 2 <= len(pictures) <= 4
    text = json.dumps([out for out in outputs if out not in pictures])
    assert "/" + "home" not in text and "/tmp" not in text and "site-packages" not in text
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 500_000


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_formula_an_oracle_and_three_exercises(name):
    words = "\n".join(
        text
        for kind, text in cells((FOLDER / f"{name}.py").read_text("utf-8"))
        if kind == "markdown"
    )
    assert words.startswith("# ") and "$$" in words
    assert "## An oracle" in words
    exercises = words.split("## Exercises")[1]
    assert re.findall(r"^(\d)\. ", exercises, re.MULTILINE) == ["1", "2", "3"]
