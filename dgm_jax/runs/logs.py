"""What a run says while it learns: `metrics.jsonl` for later, a progress bar for now."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import checks
from .locks import confirm


class MetricsLog:
    """Rows of metrics, kept in `rows` and appended to a file as whole lines of JSON.

    Opened again at `step`, it forgets the rows after it: every step stands in the file once,
    however often the run was killed. NaN and infinities, which JSON lacks, are written as null
    and read as NaN.
    """

    def __init__(self, path: Path | None, step: int):
        self.path = path
        self.rows = [] if path is None else _rows_until(path, step)
        if path is not None:
            whole = path.with_name(path.name + ".tmp")
            whole.write_text("".join(map(_line, self.rows)))
            os.replace(whole, path)

    def append(self, row: dict) -> None:
        self.rows.append(row)
        if self.path is not None:
            confirm(self.path.parent)
            try:
                with self.path.open("a") as file:
                    file.write(_line(row))
            except OSError as error:  # a full disk; the half line is dropped on resuming
                raise OSError(error.errno, error.strerror, str(self.path)) from error


def _rows_until(path, step):
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the half line of a killed process
            break
        if row["step"] <= step:
            rows.append({name: math.nan if x is None else x for name, x in row.items()})
    return rows


def _line(row):
    return json.dumps({name: x if math.isfinite(x) else None for name, x in row.items()}) + "\n"


@contextlib.contextmanager
def progress_bar(description: str, step: int, num_steps: int, *, show: bool):
    """update(step, row=None) moves a bar, on a terminal and in a notebook; nothing elsewhere."""
    console = Console(stderr=True)
    notebook = console.is_jupyter
    if notebook:  # no widgets: a line that is written anew from its start
        console = Console(stderr=True, force_jupyter=False, force_terminal=True, width=100)
    quiet = not (show and console.is_terminal)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.3g}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[latest]}"),
    )
    own = {"auto_refresh": not notebook, "redirect_stdout": not notebook}
    own["redirect_stderr"] = not notebook  # a cell shows what else is printed by itself
    with Progress(*columns, console=console, disable=quiet, **own) as bar:
        task = bar.add_task(description, total=num_steps, completed=step, rate=0.0, latest="")
        drawn = time.perf_counter()

        def update(step, row=None):
            nonlocal drawn
            if quiet or (row is None and time.perf_counter() - drawn < 0.2):
                return
            drawn = time.perf_counter()
            latest = {} if row is None else {"latest": _text(row)}
            latest["rate"] = bar.tasks[0].speed or 0.0
            bar.update(task, completed=step, refresh=notebook, **latest)

        yield update


def _text(row):
    """What fits beside a bar: the loss, what `evaluate` gave last, and skipped steps if any."""
    *_, last = row
    shown = {name: row[name] for name in ("loss", last) if name in row}
    if row.get("skipped"):
        shown["skipped"] = row["skipped"]
    return "  ".join(f"{name} {value:.4g}" for name, value in shown.items())


def tensorboard(folder: Path | str) -> Callable[[int, dict], None]:
    """train(..., on_log=tensorboard("runs/board")) writes each number of a row for TensorBoard.

    Needs tensorboardX (pip install 'dgm_jax[log]'). Any other logger is as many lines.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        message = "tensorboard needs tensorboardX: pip install 'dgm_jax[log]'."
        raise checks.InputError(message) from None
    writer = SummaryWriter(str(folder))

    def on_log(step, row):
        for name in row.keys() - {"step"}:
            writer.add_scalar(name, row[name], step)
        writer.flush()

    return on_log
