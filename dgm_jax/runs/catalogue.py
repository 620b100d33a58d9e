"""Lists of commands: what each promises and how long it takes, read from the files."""

import ast
from pathlib import Path
from typing import Any, TypeGuard

from . import errors
from .directory import duration

STARTS = ("experiment", "benchmark")  # of `runs`, which start a command


def catalogue(folder: Path) -> list[dict[str, Any]]:
    """{"command", "promise", "takes"} of every command below a folder of modules, by its path.

    promise: the first paragraph of the module's docstring. takes: the `minutes` that it gives to
    `runs.experiment` or `runs.benchmark`, in words.
    """
    rows = []
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        start = next((node for node in ast.walk(tree) if _starts(node)), None)
        if start is None or path.name == "__main__.py":
            continue
        given = {keyword.arg: keyword.value for keyword in start.keywords}
        promise = (ast.get_docstring(tree) or "").split("\n\n")[0]
        name = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        row = {"command": f"python -m {name}", "promise": " ".join(promise.split())}
        row["takes"] = duration(ast.literal_eval(given["minutes"])) if "minutes" in given else None
        rows.append(row)
    return rows


def tell(folder: Path, *more: str) -> None:
    """Prints the catalogue of a folder, and further lines."""
    lines = [
        f"{row['command']}   ({row['takes']})\n    {row['promise']}" for row in catalogue(folder)
    ]
    errors.told(lambda: print("\n".join([*lines, *more])))


def _starts(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether it is a call of runs.experiment or runs.benchmark."""
    function = getattr(node, "func", None)
    named = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    return named and function.value.id == "runs" and function.attr in STARTS
