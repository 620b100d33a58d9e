"""A fault is a small change of one file that the default suite must see.

Faults are kept as texts, not as numbered lines, so that they survive what moves lines. Code that is
rewritten takes its fault along: `test_faults.py` says by default which one fits no more.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TREES = ("dgm_jax", "experiments", "benchmarks", "tests")
FILES = ("pyproject.toml", "requirements.txt", "README.md")


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
        same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(text))
    except SyntaxError as error:
        raise ValueError(f"{fault.name}: {fault.file} would be no Python, {error}") from None
    if same:
        raise ValueError(f"{fault.name} changes nothing that runs in {fault.file}")
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
        path = root / file
        tree = ast.parse(path.read_text("utf-8")) if path.exists() else ast.Module([], [])
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if function.partition("[")[0] not in functions:
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


def run_tests(copy: Path, node_ids: list[str], *options: str) -> tuple[int, str]:
    """The exit code and the output of pytest on a copy, which is what its tests import."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *node_ids]
    ended = subprocess.run(
        command,
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return ended.returncode, ended.stdout


def verdict(exit_code: int, output: str) -> str | None:
    """None where a test failed, as one should; else what is wrong. (Codes are those of pytest.)"""
    if exit_code == 1:
        return None
    if exit_code == 0:
        return "not caught: its tests pass"
    return f"pytest ended with {exit_code}, before a test could fail:\n{output[-2000:]}"
