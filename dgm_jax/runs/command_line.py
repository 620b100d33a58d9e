"""Commands: options of a frozen dataclass, read from the command line before anything is computed.

An experiment keeps a run in a directory:

    '''One paragraph, a promise: command, machine, time, expected number.'''
    import dataclasses
    from dgm_jax import flows, runs

    @dataclasses.dataclass(frozen=True)
    class Config(runs.RunOptions):
        num_steps: int = 3000
        '''steps of training: this line is what --help says'''

    def main(config: Config) -> dict:
        ...
        return {"test_nll": nll}

    if __name__ == "__main__":
        runs.experiment(Config, main, quick={"num_steps": 20})

A benchmark prints tables and writes the files that its options ask for:

    class Config(runs.ReportOptions): ...
    def main(config) -> dict:     # {"rows": [...], "machine": {...}}, what --out writes
    def tables(found) -> list:    # lists of rows for the terminal and for --record
    def draw(config, found):      # the figure

    if __name__ == "__main__":
        runs.benchmark(Config, main, tables, draw, save=plots.save)

Imports stand at the top of a module, as everywhere. Those of modules, `from dgm_jax import flows`,
are executed when something of them is first used, so `--help`, and the refusal of a wrong option or
of a directory in use, take less than a second. No module computes anything when it is imported, so
options that must be known before jax starts (processes, the folder of compiled programs) come in
time.

With --quick the values of `quick` are the defaults; options that are given keep their value.

On several machines, with one directory they all see, the same command is started on each:

    python -m experiments.flows.compare --coordinator HOST:PORT --num-processes N --process-id I

with I from 0 to N-1, and HOST that of process 0; on a cluster that jax detects (Slurm, Open MPI,
TPU pods) `--distributed` alone. Process 0 writes and prints, the others are silent.

An experiment with an option `devices` gets that many CPU devices, where it runs on CPUs.

`dgm_jax.runs.directory` says what a run leaves, `dgm_jax.runs.errors` how a command ends. What a
run learned is `dgm_jax.learning.load(directory)`.
"""

import contextlib
import dataclasses
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax

from . import errors, tables
from .directory import keep, program
from .preemption import leaving_at_once
from .report import report

Options = TypeVar("Options")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What every experiment can be told."""

    workdir: Path | None = None
    """where the run is kept and resumed from; runs/<experiment> by default"""
    data_dir: Path | None = None
    """the folder of the data sets; the environment variable DGM_DATA by default"""
    cache_dir: Path | None = None
    """the folder of compiled programs; ~/.cache/dgm_jax by default"""
    seed: int = 0
    """every random number follows from it"""
    quick: bool = False
    """a run of seconds, to see that everything works; its numbers mean nothing"""
    progress: bool = True
    """a progress bar, on a terminal"""
    distributed: bool = False
    """one of several processes, on a cluster that jax detects; elsewhere the next three tell"""
    coordinator: str | None = None
    """HOST:PORT of process 0"""
    num_processes: int | None = None
    """how many processes there are"""
    process_id: int | None = None
    """which of them this is, from 0"""

    @property
    def joins(self) -> bool:
        """Whether this process is one of several."""
        given = (self.coordinator, self.num_processes, self.process_id)
        return self.distributed or any(value is not None for value in given)


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What every benchmark can be told."""

    out: Path | None = None
    """a JSON file for the rows, with the machine"""
    figure: Path | None = None
    """a PNG file for the picture; runs/benchmarks/<name>.png by default"""
    record: Path | None = None
    """a Markdown file to which the tables are added, such as benchmarks/RESULTS.md"""
    note: str = ""
    """a remark for the record: who else used the machine"""


def experiment(
    config_type: type[RunOptions],
    main: Callable[[Any], dict],
    *,
    quick: Mapping[str, Any] | None = None,
    show: Callable[[dict], None] = tables.listing,
    args: Sequence[str] | None = None,
) -> dict:
    """Reads the options, then keeps the run of main(config): see `dgm_jax.runs.keep`."""
    with leaving_at_once(signal.SIGTERM, signal.SIGINT):
        name = program(main)
        config = errors.told(lambda: parse(config_type, name, quick=quick, args=args))
        if config.workdir is None:
            folder = Path("runs", *name.split(".")[1:] or [name])
            quickly = folder.with_name(folder.name + "-quick")
            config = dataclasses.replace(config, workdir=quickly if config.quick else folder)
        _part_the_cpu(config)
        return keep(config, main, show=show)


def _part_the_cpu(config):
    """All cores are one device of JAX, unless it is told before it starts that they are more."""
    count = getattr(config, "devices", None)
    if isinstance(count, int) and count > max(jax.config.jax_num_cpu_devices, 1):
        if not config.joins:
            with contextlib.suppress(RuntimeError):  # JAX has started: they are what they are
                jax.config.update("jax_num_cpu_devices", count)


def benchmark(
    config_type: type[ReportOptions],
    main: Callable[[Any], dict],
    to_tables: Callable[[dict], list[list[Mapping]]],
    draw: Callable,
    *,
    save: Callable,
    args: Sequence[str] | None = None,
) -> None:
    """Reads the options, measures main(config), prints the tables and writes the files.

    save(figure, path) writes what draw(config, found) returns.
    """
    name = program(main)
    config = errors.told(lambda: parse(config_type, name, args=args))
    figure = config.figure or Path("runs", *name.split(".")).with_suffix(".png")
    config = dataclasses.replace(config, figure=figure)
    words = sys.argv[1:] if args is None else args
    errors.told(lambda: report(config, name, words, main, to_tables, draw, save))


def parse(
    config_type: type[Options],
    name: str,
    *,
    quick: Mapping[str, Any] | None = None,
    args: Sequence[str] | None = None,
) -> Options:
    """The options of `python -m <name>`.

    With --quick, those that are not given have the values of `quick`. Leaves the program with 0
    after --help, and with 2 where an option is wrong.
    """
    import tyro

    described = {
        "prog": f"python -m {name}",
        "description": sys.modules[config_type.__module__].__doc__,
        "args": args,
    }
    config = tyro.cli(config_type, **described)
    if quick and config.quick:
        config = tyro.cli(config_type, default=config_type(**quick), **described)
    return config
