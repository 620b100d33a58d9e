"""The log of a training: `metrics.jsonl` on disk, a progress bar on the screen."""

import contextlib
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from .. import checks
from .locks import confirm


class MetricsLog:
    """Rows of metrics, kept in `rows` and appended to a file as lines of JSON.

    The file is for people and other programs; it is never read back. A resumed run takes its rows
    from its checkpoint, where `history` stored them. NaN, which JSON lacks, is written as null,
    infinity as "Infinity" or "-Infinity".
    """

    def __init__(self, path: Path | None, history: str = ""):
        self.path = path
        self._lines = history.splitlines()
        self.rows = [json.loads(line) for line in self._lines]

    @property
    def history(self) -> str:
        """All rows as text without loss of precision, about 25 bytes per number."""
        return "\n".join(self._lines)

    def repair(self) -> None:
        """Makes the file hold exactly these rows; says on stderr if any were lost or changed.

        Later rows, and a half-written line of a killed process, are removed silently. If the log
        was moved, the first rows may be in another file.
        """
        if self.path is None:
            return
        found, wanted = _lines_of(self.path), [_line(row) for row in self.rows]
        start = wanted.index(found[0]) if found and found[0] in wanted else 0
        kept = wanted[start:]
        if found[: len(kept)] != kept:
            same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(kept, found))
            step = self.rows[start + len(list(same))]["step"]
            print(
                f"{self.path} is written again from the checkpoint: its row of step {step} was "
                "lost or changed",
                file=sys.stderr,
            )
            kept = wanted
        if found != kept:
            whole = self.path.with_name(self.path.name + ".tmp")
            whole.write_text("".join(kept))
            os.replace(whole, self.path)

    def append(self, row: dict) -> None:
        self.rows.append(row)
        self._lines.append(json.dumps(row))
        if self.path is not None:
            confirm(self.path.parent)
            try:
                with self.path.open("a") as file:
                    file.write(_line(row))
            except OSError as error:  # a full disk; the half line is dropped on resuming
                raise OSError(error.errno, error.strerror, str(self.path)) from error


def _lines_of(path):
    text = path.read_text(errors="replace") if path.exists() else ""
    return text.splitlines(keepends=True)


def _line(row):
    return json.dumps({name: _plain(x) for name, x in row.items()}) + "\n"


def _plain(x):
    if math.isfinite(x):
        return x
    return None if math.isnan(x) else f"{'-' * (x < 0)}Infinity"


class _Clock(TimeRemainingColumn):
    """The time left; until the first step, which compiles, is done: the time that has passed."""

    max_refresh = None  # the seconds of a compilation go by while no step is done

    def render(self, task):
        if task.completed == task.fields["begun"] and not task.finished:
            return Text(f"compiling, {task.elapsed or 0.0:.0f} s", style="progress.elapsed")
        return super().render(task)


EVERY = 60.0  # seconds from line to line where there is neither terminal nor notebook


@contextlib.contextmanager
def progress_bar(
    description: str, step: int, num_steps: int, *, show: bool
) -> Generator[Callable[..., None]]:
    """update(step, row=None) moves a progress bar, on a terminal and in a notebook.

    Until the first update it says that the step is being compiled, and for how long. Elsewhere, as
    in a file, there is a line a minute.

    description: the text in front; step: where it starts; num_steps: where it ends; show: False for
    no bar.
    """
    console = Console(stderr=True)
    notebook = console.is_jupyter
    if notebook:  # no widgets: a line that is written anew from its start
        console = Console(stderr=True, force_jupyter=False, force_terminal=True, width=100)
    if show and not console.is_terminal:
        yield _lines(description, step, num_steps)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.3g}/s"),
        _Clock(),
        TextColumn("{task.fields[latest]}"),
    )
    own: dict[str, Any] = {"auto_refresh": not notebook, "redirect_stdout": not notebook}
    own["redirect_stderr"] = not notebook  # a cell shows what else is printed by itself
    with Progress(*columns, console=console, disable=not show, **own) as bar:
        fields: dict[str, Any] = {"begun": step, "rate": 0.0, "latest": ""}
        task = bar.add_task(description, total=num_steps, completed=step, **fields)
        bar.refresh()
        drawn = time.perf_counter()

        def update(step, row=None):
            nonlocal drawn
            if not show or (row is None and time.perf_counter() - drawn < 0.2):
                return
            drawn = time.perf_counter()
            latest = {} if row is None else {"latest": _text(row)}
            latest["rate"] = bar.tasks[0].speed or 0.0
            bar.update(task, completed=step, refresh=notebook, **latest)

        yield update


def _lines(description, begun, num_steps):
    """update(step, row=None), which prints a line a minute: the step, steps a second, the row."""
    began = told = time.perf_counter()

    def update(step, row=None):
        nonlocal told
        now = time.perf_counter()
        if now - told < EVERY:
            return
        told, rate = now, (step - begun) / (now - began)
        text = "" if row is None else f", {_text(row)}"
        line = f"{description}: step {step:,} of {num_steps:,}, {rate:.3g}/s{text}"
        print(line, file=sys.stderr, flush=True)

    return update


def _text(row):
    """What fits beside a bar: the loss, what `evaluate` gave last, and skipped steps if any."""
    *_, last = row
    shown = {name: row[name] for name in ("loss", last) if name in row}
    if row.get("skipped"):
        shown["skipped"] = row["skipped"]
    return "  ".join(f"{name} {value:.4g}" for name, value in shown.items())


def tensorboard(folder: Path | str) -> Callable[[int, dict], None]:
    """on_log for `train`, which writes each number of a row for TensorBoard: on_log(step, row).

        learning.train(..., on_log=runs.tensorboard("runs/board"))

    folder: where the files are written, which `tensorboard --logdir` shows. Raises `ValueError` if
        tensorboardX is not installed (pip install 'dgm_jax[log]').
    """
    folder = checks.path(folder, "folder")
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
