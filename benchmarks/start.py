"""The first minute: the time from the command of an experiment to its first training step.

    taskset -c 1 python -m benchmarks.start --clock cpu

starts each experiment with its default options in a process of its own, one after the other, until
its first step is done, and ends it there: first with an empty folder of compiled programs (cold),
then with the programs that this start has kept (warm). The seconds are told by part:

    import        Python, JAX and the modules, up to the first line of the experiment
    data          reading and preparing the data, and building the model
    init          tracing both programs, compiling the first parameters, and computing them
    evaluation    compiling the evaluation before the first step, and making it
    step          compiling the step, and making it

Experiments that train by a loop within one program (`learning.fit`) end when this program is
compiled. Those that train nothing, have a loop of their own, need a trained run, miss their data,
or come to no step within --limit seconds have no total. A run of several models begins with the
first of them; its --models chooses another.

Aims: 15 s for Flow++ and 30 s for all others, cold, on one core that does nothing else; RESULTS.md
says which are reached. Three quarters of an hour on two CPU cores; one experiment takes half a
minute:

    python -m benchmarks.start --experiments "flows.images --models flow++"
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import contextlib
import dataclasses
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dgm_jax import checks, measure, plots, runs
from dgm_jax.runs import catalogue

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "experiments"
MORE = ("flows.images --models glow", "flows.images --models flow++")  # beside the defaults
PARTS = ("import", "data", "init", "evaluation", "step")
CACHES = ("cold", "warm")


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    experiments: tuple[str, ...] = ()
    """names, each with options if there are any, as "vae.images --data mnist"; by default all"""
    clock: Literal["wall", "cpu"] = "wall"
    """time that passes, or that the process computes: pin it to one core then"""
    repeats: int = 1
    """starts of each, whose median is told"""
    limit: float = 300.0
    """seconds after which a start without a step is given up"""


def commands() -> tuple[str, ...]:
    """All experiments, by their names in `experiments`, and further models of them."""
    names = [row["command"].split("experiments.")[1] for row in catalogue.catalogue(FOLDER)]
    return (*names, *MORE)


def started(config: Config, words: str, folder: Path, cache: Path | None) -> Any:
    """The marks of one start, {part: (wall, processor)}; {} if it came to no step."""
    marks, workdir = folder / "marks.json", folder / "run"
    place = ["--workdir", str(workdir), "--cache-dir", str(cache)]
    name, *options = shlex.split(words)
    command = [sys.executable, "-m", "benchmarks.first_step", str(marks), repr(time.time())]
    command += [f"experiments.{name}", *options, *place]
    with contextlib.suppress(subprocess.TimeoutExpired):
        ended = subprocess.run(
            command, cwd=FOLDER.parent, capture_output=True, text=True, timeout=config.limit
        )
        if ended.returncode:
            print(f"{words}: {ended.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
    return json.loads(marks.read_text("utf-8")) if marks.exists() else {}


def parts(marks: dict[str, tuple], clock: str) -> dict:
    """{part: its seconds} and the total; a part that an experiment does not have takes none."""
    if "step" not in marks:
        return dict.fromkeys((*PARTS, "total"))
    times, before = {}, 0.0
    for part in PARTS:
        now = marks[part][("wall", "cpu").index(clock)] if part in marks else before
        times[part], before = now - before, now
    return times | {"total": before}


def rows_of(config: Config, words: str) -> Iterator:
    """A row for each cache: the medians of the parts."""
    found = {cache: [] for cache in CACHES}
    for _ in range(config.repeats):
        with tempfile.TemporaryDirectory() as folder:
            for cache in CACHES:
                own = Path(folder, cache)
                own.mkdir()
                marks = started(config, words, own, Path(folder, "programs"))
                found[cache].append(parts(marks, config.clock))
    for cache, each in found.items():
        seconds = {part: _median([times[part] for times in each]) for part in each[0]}
        yield {"experiment": words, "cache": cache, **seconds}


def _median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def main(config: Config) -> dict:
    checks.positive_int(config.repeats, "repeats")
    checks.positive(config.limit, "limit")
    known = [words.split()[0] for words in commands()]
    chosen = config.experiments or commands()
    for words in chosen:
        checks.choice(shlex.split(words)[0], known, "each of experiments")
    rows = []
    for words in chosen:
        rows += rows_of(config, words)
        told = [_said(row["total"]) or "no step" for row in rows[-len(CACHES) :]]
        print(f"{words}: {' s cold, '.join(told)} s warm", flush=True)
    return {"rows": rows, "machine": measure.machine() | {"clock": config.clock}}


def _said(seconds):
    return "" if seconds is None else f"{seconds:.1f}"


def tables(found: dict) -> list[list]:
    """A line for each experiment: its total warm, and its parts cold."""
    warm = {row["experiment"]: row["total"] for row in found["rows"] if row["cache"] == "warm"}
    lines = []
    for row in found["rows"]:
        if row["cache"] == "cold":
            name = row["experiment"]
            line = {"experiment": name, "cold s": _said(row["total"]), "warm s": _said(warm[name])}
            lines.append(line | {part: _said(row[part]) for part in PARTS})
    return [lines]


def draw(config: Config, found: dict) -> Figure:
    """Seconds to the first step, cold and warm."""
    values = {}
    for row in found["rows"]:
        name = row["experiment"].replace(" --models", "\n")
        values.setdefault(name, {})[row["cache"]] = row["total"] or 0.0
    title = "From the command to the first step"
    return plots.bars(values, ylabel="seconds", title=title)


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=45)
