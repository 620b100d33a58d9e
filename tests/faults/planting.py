"""A fault is a small change of one file that the default suite must see.

Faults are kept as texts, not as numbered lines, so that they survive what moves lines. Code that is
rewritten takes its fault along: `test_faults.py` says by default which one fits no more.
"""

import ast
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TREES = ("dgm_jax", "experiments", "benchmarks", "tests")
FILES = ("pyproject.toml", "requirements.txt", "README.md")
LIBRARIES = [
    "pytest",
    "distrax",
    "flax.linen",
    "diffrax",
    "optax",
    "orbax.checkpoint",
    "matplotlib",
]
SECONDS = "core-seconds of this run:"
IMPORTED = "ignore::pytest.PytestAssertRewriteWarning"  # libraries that are there already


class Fault(NamedTuple):
    name: str
    trap: str  # what implementations get wrong, in words
    file: str  # of the repository
    old: str  # stands there once
    new: str
    tests: str | tuple[str, ...]  # below tests/, those that see it: "a/test_b.py::test_claim"

    @property
    def node_ids(self) -> list[str]:
        tests = (self.tests,) if isinstance(self.tests, str) else self.tests
        return [f"tests/{test}" for test in tests]


def faulty(fault: Fault, root: Path = ROOT) -> str:
    """The text of the file with the fault in it; `ValueError` where it does not fit."""
    path = root / fault.file
    if not path.exists():
        raise ValueError(f"{fault.name}: there is no {fault.file}; {_where(fault, root)}")
    text = path.read_text(encoding="utf-8")
    if text.count(fault.old) != 1:
        count = text.count(fault.old)
        raise ValueError(
            f"{fault.name}: its old text stands {count} times in {fault.file}, and must once; "
            f"{_where(fault, root)}"
        )
    changed = text.replace(fault.old, fault.new)
    try:
        ast.parse(changed)
    except SyntaxError as error:
        raise ValueError(f"{fault.name}: {fault.file} would be no Python, {error}") from None
    return changed


def _where(fault, root):
    files = [path for tree in TREES[:-1] for path in sorted((root / tree).rglob("*.py"))]
    found = [str(path.relative_to(root)) for path in files if fault.old in path.read_text("utf-8")]
    return f"it stands in {', '.join(found) or 'no file'}"


def missing_tests(fault: Fault, root: Path = ROOT) -> list[str]:
    """The tests it names that do not exist."""
    missing = []
    for node_id in fault.node_ids:
        file, _, function = node_id.partition("::")
        text = (root / file).read_text("utf-8") if (root / file).exists() else ""
        if f"\ndef {function.partition('[')[0]}(" not in text:
            missing.append(f"{fault.name}: no {node_id}")
    return missing


def copy_tree(to: Path, root: Path = ROOT) -> None:
    """What the tests need, to a place of its own."""
    for tree in TREES:
        shutil.copytree(root / tree, to / tree, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy2(root / file, to / file)


def plant(fault: Fault, copy: Path) -> None:
    (copy / fault.file).write_text(faulty(fault, copy), encoding="utf-8")


class Ended(NamedTuple):
    exit_code: int | None  # of pytest; None where it never came to an end
    output: str
    seconds: float  # of a core


def run_tests(copy: Path, node_ids: list[str], *options: str) -> Ended:
    """pytest on a copy, which is what its tests import, in a process of its own.

    The process is forked from one that has imported the libraries and nothing of the project:
    that halves the time of a short test.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(LIBRARIES)
    arguments = ["-q", "-p", "no:cacheprovider", "-W", IMPORTED, *options, *node_ids]
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as output:
        process = processes.Process(target=_pytest, args=(copy, arguments, output.name))
        process.start()
        process.join()
        text, _, seconds = output.read().partition(SECONDS)
    return Ended(process.exitcode if seconds else None, text, float(seconds or 0))


def _pytest(copy, arguments, output):
    with open(output, "w", encoding="utf-8") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    sys.dont_write_bytecode = True
    sys.path[:] = [str(copy), *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.partition(".")[0] in TREES]:
        del sys.modules[name]  # this one, of the sound tree
    code = int(pytest.main(arguments))
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(SECONDS, sum(times.ru_utime + times.ru_stime for times in used), flush=True)
    sys.exit(code)


def verdict(ended: Ended) -> str | None:
    """None where a test failed, as one should; else what is wrong."""
    if ended.exit_code == 1:
        return None
    if ended.exit_code == 0:
        return "not caught: its tests pass"
    return f"pytest ended with {ended.exit_code}, before a test could fail:\n{ended.output[-2000:]}"
