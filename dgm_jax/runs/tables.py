"""Tables of results: rows are dicts, for the terminal and in Markdown."""

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import checks
from .values import leaves


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Prints rows of results as a table on the terminal.

    rows: dicts {column: value}. Floats below 1000 are shown with four digits, numbers
        right-aligned, and None and missing values are left blank
    columns: which columns, in this order; by default all, in the order of their first appearance

    Raises `ValueError` if rows is not a list of dicts.
    """
    if not isinstance(rows, (list, tuple)):
        raise checks.InputError(f"rows must be a list of dicts; got {checks.shown(rows)}.")
    rows = [checks.mapping(row, "each of rows") for row in rows]
    columns = None if columns is None else checks.texts(columns, "columns")
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD)
    names = columns_of(rows) if columns is None else columns
    for name in names:
        numeric = any(isinstance(row.get(name), (int, float)) for row in rows)
        drawn.add_column(name, justify="right" if numeric else "left", no_wrap=numeric)
    for row in rows:
        drawn.add_row(*(_shown(row.get(name)) for name in names))
    console = Console(highlight=False)
    if not console.is_terminal:  # a file has no width
        console = Console(highlight=False, width=1000)
    console.on_broken_pipe = _broken_pipe
    console.print(drawn)


def listing(results: Mapping[str, Any]) -> None:
    """Prints each number of a results.json in a row of its own."""
    table([{"result": name, "value": value} for name, value in leaves(results)])


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown, one line per row."""
    names = columns_of(rows)
    body = [[_written(row.get(name)) for name in names] for row in rows]
    lines = [names, ["---"] * len(names), *body]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All columns of the rows, in the order of their first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def short(value: float) -> float:
    """A finite number rounded to four significant digits, for a table: 3.142 for π."""
    return float(f"{checks.number(value, 'value'):.4g}")


def _broken_pipe():
    """As `print` would; rich alone ends the program, with the exit code of a mistake."""
    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _shown(value):
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


def _written(value):
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
