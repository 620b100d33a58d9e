"""Commands: the options of a frozen dataclass, read from the command line.

An experiment keeps its run in a directory:

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
        runs.experiment(Config, main, quick={"num_steps": 20}, minutes=3)

A benchmark prints tables and writes the files that its options ask for:

    class Config(runs.ReportOptions): ...
    def main(config) -> dict:     # {"rows": [...], "machine": {...}}, what --out writes
    def tables(found) -> list:    # lists of rows for the terminal and for --record
    def draw(config, found):      # the figure

    if __name__ == "__main__":
        runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=2)

`minutes` is what the command takes by its defaults on two CPU cores: it is told at the start, and
in the lists of `python -m experiments` and `python -m benchmarks`.

Import modules, `from dgm_jax import flows`, not names from them. They are loaded on first use, so
that `--help`, a wrong option and a directory in use are answered in less than a second. Nothing is
computed at import, so options that must be set before JAX starts (processes, the compilation cache)
take effect.

--quick replaces the defaults by the values of `quick`; options that are given keep their value.

To run on several machines, start the same command on each, with a directory that all of them see:

    python -m experiments.flows.compare --coordinator HOST:PORT --num-processes N --process-id I

I is 0 to N-1, and HOST is the machine of process 0. On a cluster that JAX detects (Slurm, Open MPI,
TPU pods) `--distributed` is enough. Only process 0 writes and prints.

If an experiment runs on CPUs, JAX gets a device for each core, for sampling, scoring and what else
is faster so (`dgm_jax.learning.devices`), or as many as its option `devices` or the environment
variable JAX_NUM_CPU_DEVICES says. A benchmark has one, if it has no option `devices`.

`dgm_jax.runs.directory` describes the files of a run, `dgm_jax.runs.errors` the exit codes.
`dgm_jax.learning.load(directory)` loads what a run has learned.
"""

import contextlib
import dataclasses
import itertools
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import jax
import numpy as np

from .. import checks
from ..measure import num_cores
from . import errors, tables
from .directory import duration, keep, program
from .memory import collect_rarely, keep_memory
from .preemption import leaving_at_once
from .report import report

Options = TypeVar("Options")
MOST = 8  # devices of a CPU by default: with more nothing was measured
FORCED = "--xla_force_host_platform_device_count"  # the other way to say how many


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The options of every experiment, a frozen dataclass that each extends by its own.

    workdir: the directory of the run, from which it is also resumed; by default runs/<experiment>
    data_dir: the folder of the data sets; by default the environment variable DGM_DATA
    cache_dir: the folder of compiled programs; by default ~/.cache/dgm_jax
    seed: of all random numbers
    quick: a run of seconds that shows that everything works; its results are meaningless
    progress: whether to show a progress bar
    distributed: this process is one of several on a cluster that JAX detects
    coordinator, num_processes, process_id: of several processes elsewhere: HOST:PORT of process 0,
        how many there are, and the number of this one, from 0
    """

    workdir: Path | None = None
    """the directory of the run, from which it is also resumed; runs/<experiment> by default"""
    data_dir: Path | None = None
    """the folder of the data sets; the environment variable DGM_DATA by default"""
    cache_dir: Path | None = None
    """the folder of compiled programs; ~/.cache/dgm_jax by default"""
    seed: int = 0
    """the seed of all random numbers"""
    quick: bool = False
    """a run of seconds that shows that everything works; its results are meaningless"""
    progress: bool = True
    """show a progress bar, on a terminal and in notebooks; elsewhere a line a minute"""
    distributed: bool = False
    """this process is one of several on a cluster that JAX detects; elsewhere use the next three"""
    coordinator: str | None = None
    """HOST:PORT of process 0"""
    num_processes: int | None = None
    """the number of processes"""
    process_id: int | None = None
    """the number of this process, from 0"""

    @property
    def directory(self) -> Path:
        """`workdir`, which `experiment` sets if it is not given; without it `ValueError`."""
        if self.workdir is None:
            raise checks.InputError("workdir is missing; give the directory that keeps the run.")
        return self.workdir

    @property
    def joins(self) -> bool:
        """Whether this process is one of several."""
        given = (self.coordinator, self.num_processes, self.process_id)
        return self.distributed or any(value is not None for value in given)


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """The options of every benchmark, a frozen dataclass that each extends by its own.

    out: a JSON file for the rows, with the machine; None for none
    figure: a PNG file for the picture; by default runs/benchmarks/<name>.png
    record: a Markdown file to which the tables are added, such as benchmarks/RESULTS.md
    note: a text for the record, such as who else used the machine
    """

    out: Path | None = None
    """a JSON file for the rows, with the machine"""
    figure: Path | None = None
    """a PNG file for the picture; runs/benchmarks/<name>.png by default"""
    record: Path | None = None
    """a Markdown file to which the tables are added, such as benchmarks/RESULTS.md"""
    note: str = ""
    """a note for the record, such as who else used the machine"""


def experiment(
    config_type: type[RunOptions],
    main: Callable[[Any], dict],
    *,
    quick: Mapping[str, Any] | None = None,
    show: Callable[[dict], None] = tables.listing,
    minutes: float | None = None,
    args: Sequence[str] | None = None,
) -> dict:
    """main(config), with config read from the command line and the results kept in config.workdir.

    config_type: the dataclass of the options, which extends `RunOptions`
    main: a function of the options that returns a dict of results that JSON can hold
    quick: {option: value} that replace the defaults under --quick
    show: prints the results; by default as a list of names and values
    minutes: what a default run takes on two CPU cores; it is printed at the start
    args: the command line, a list of words; by default that of the program

    Returns the results. A finished run is not computed again, and a stopped one is resumed
    (`runs.keep`). On a CPU JAX gets a device for each core, if it has not started yet. Ends the
    program with a message and an exit code for a wrong option (2) and for an error of the run
    (`dgm_jax.runs.errors`).
    """
    with leaving_at_once(signal.SIGTERM, signal.SIGINT):
        name = program(config_type)
        config = errors.told(lambda: parse(config_type, name, quick=quick, args=args))
        if config.workdir is None:
            folder = Path("runs", *name.split(".")[1:] or [name])
            quickly = folder.with_name(folder.name + "-quick")
            config = dataclasses.replace(config, workdir=quickly if config.quick else folder)
        if not config.joins:
            _part_the_cpu(getattr(config, "devices", None))
        keep_memory()
        collect_rarely()
        return keep(config, main, show=show, minutes=minutes)


def _part_the_cpu(asked):
    """All cores are one device of JAX, unless it is told before it starts that they are more.

    asked: how many there are to be; by default one for each core.
    """
    held = jax.config.jax_num_cpu_devices  # ty: ignore[missing-attribute]  # set when jax starts
    if not isinstance(asked, int):
        told = held > 0 or FORCED in os.environ.get("XLA_FLAGS", "")
        asked = 1 if told else min(num_cores(), MOST)
    if asked > max(held, 1):
        with contextlib.suppress(RuntimeError):  # JAX has started: they are what they are
            jax.config.update("jax_num_cpu_devices", asked)


def benchmark(
    config_type: type[ReportOptions],
    main: Callable[[Any], dict],
    to_tables: Callable[[dict], list[list[Mapping]]],
    draw: Callable,
    *,
    save: Callable,
    minutes: float | None = None,
    args: Sequence[str] | None = None,
) -> None:
    """main(config), with config read from the command line; prints its tables, writes files.

    config_type: the dataclass of the options, which extends `ReportOptions`
    main: a function of the options that returns a dict with "rows", the measurements, and
        "machine", that of `measure.machine`; --out writes both
    to_tables: to_tables(found) -> the tables for the terminal and for --record, lists of dicts
    draw: draw(config, found) -> a figure
    save: save(figure, path) writes it, such as `plots.save`
    minutes: what it takes by default on two CPU cores; it is printed at the start
    args: the command line, a list of words; by default that of the program

    Returns nothing. Ends the program with a message and an exit code if something fails.
    """
    name = program(config_type)
    config = errors.told(lambda: parse(config_type, name, args=args))
    figure = config.figure or Path("runs", *name.split(".")).with_suffix(".png")
    config = dataclasses.replace(config, figure=figure)
    if hasattr(config, "devices"):
        _part_the_cpu(max(np.atleast_1d(config.devices).tolist(), default=1))
    words = sys.argv[1:] if args is None else args
    keep_memory()
    if minutes is not None:
        print(f"Measuring takes {duration(minutes)} by default.", file=sys.stderr)
    errors.told(lambda: report(config, name, words, main, to_tables, draw, save))


def parse(
    config_type: type[Options],
    name: str,
    *,
    quick: Mapping[str, Any] | None = None,
    args: Sequence[str] | None = None,
) -> Options:
    """The options of `python -m <name>`, an object of config_type.

    config_type: a frozen dataclass, whose fields are the options and their defaults
    name: of the module, for the help
    quick: values of the options that are not given, if --quick is given
    args: the command line, a list of words; by default that of the program

    Exits with code 0 after --help, which begins with the docstring of the module of config_type,
    and with 2 for a wrong option. Raises `ValueError` for NaN and infinity.
    """
    import tyro

    words = sys.argv[1:] if args is None else args
    if {"-h", "--help"} & set(words):
        print(_wrapped(sys.modules[config_type.__module__].__doc__ or ""), end="\n\n")
        config_type = _told_in_one_line(config_type)
    # Without a description of its own, which it would print in lines of any length.
    described: dict[str, Any] = {"prog": f"python -m {name}", "description": "", "args": args}
    config = tyro.cli(config_type, **described)
    if quick and config.quick:
        config = tyro.cli(config_type, default=config_type(**quick), **described)
    _check_finite(config)
    return config


def _check_finite(config):
    """Refuses NaN and infinity, which `float` reads as numbers and no option can mean."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for entry in value if isinstance(value, tuple) else (value,):
            if isinstance(entry, float):
                checks.number(entry, f"--{field.name.replace('_', '-')}")


def _told_in_one_line(config_type):
    """config_type with what is said of each option in one line, since tyro keeps its line breaks.

    It has the name of config_type, whose source holds the comments that tyro looks for too.
    """
    import docstring_parser
    import tyro

    said = {
        option.arg_name: " ".join(option.description.split())
        for one in reversed(config_type.__mro__[:-1])
        for option in docstring_parser.parse_from_object(one).params
        if option.description
    }
    hints = get_type_hints(config_type, include_extras=True)
    fields = [field for field in dataclasses.fields(config_type) if field.name in said]
    body = {name: getattr(config_type, name) for name in ("__module__", "__qualname__", "__doc__")}
    body |= {field.name: field.default for field in fields if hasattr(config_type, field.name)}
    body["__annotations__"] = {
        field.name: Annotated[hints[field.name], tyro.conf.arg(help=said[field.name])]  # ty: ignore[invalid-type-form]
        for field in fields
    }
    return dataclasses.dataclass(frozen=True)(type(config_type.__name__, (config_type,), body))


def _wrapped(text):
    """A docstring in lines that fit the terminal, or 80 columns where there is none.

    Paragraphs are filled anew. What is indented, such as commands, formulas and tables, stays as it
    is, and so do the items of lists.
    """
    width = min(shutil.get_terminal_size().columns, 100)
    fill = textwrap.TextWrapper(width, break_on_hyphens=False, break_long_words=False).wrap
    told = []
    for prose, group in itertools.groupby(text.strip().split("\n"), _is_prose):
        lines = list(group)
        told += fill(" ".join(lines)) if prose else lines
    return "\n".join(told)


def _is_prose(line):
    return bool(line) and not line.startswith((" ", "- ", "|"))
