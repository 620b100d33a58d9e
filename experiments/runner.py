"""The command line of an experiment: options, a directory, its results; nothing of jax.

An experiment is a module such as

    '''One paragraph, a promise: command, machine, time, expected number.'''
    import dataclasses
    from experiments import runner

    @dataclasses.dataclass(frozen=True)
    class Config(runner.Config):
        data: runner.DataName = "digits"  # the set to learn: the comment is its --help
        num_steps: int = 3000  # steps of training

    if __name__ == "__main__":
        CONFIG = runner.parse(Config, "experiments.flows.compare")  # before the slow imports

    import jax

    def main(config: Config) -> dict:
        ...
        return {"test_nll": nll}

    if __name__ == "__main__":
        runner.run(CONFIG, main, quick={"num_steps": 20})

On several machines, with one directory they all see, the same command is started on each:

    python -m experiments.flows.compare --coordinator HOST:PORT --num-processes N --process-id I

with I from 0 to N-1, and HOST that of process 0; on a cluster that jax detects (Slurm, Open MPI,
TPU pods) `--distributed` alone. Process 0 writes and prints, the others are silent.

It leaves `config.json` (the options, the machine and the day of the last start) and `results.json`
in its directory. The same command finds a finished run and shows it, or resumes one that was
stopped (`dgm_jax.learning.train` with this workdir). One process at a time has a directory. What it
learned is `dgm_jax.learning.load(directory)`.

Exit codes, each but 0 and 1 with one line on stderr:

    0    done
    1    a mistake in the program, with its traceback
    2    wrong input, a directory in use, a full disk: change something
    3    there are checkpoints, and none is intact
    4    diverged: NaN or infinity that skipping steps did not cure
    75   a peer process was lost: run the same command again on all (runs of several processes;
         what jax would end with SIGABRT, it ends with this)
    85   told to end (SIGTERM) and saved: run the same command again (of several processes all
         leave with it, at one step of a training; between trainings they do not hear of it)
    130  interrupted (control-C): the same command resumes from the last checkpoint

So a queue restarts on 75 and 85: `until COMMAND; do case $? in 75|85) ;; *) break;; esac; done`.
With DGM_TRACEBACK=1 in the environment every error shows its traceback.

Compiled programs are kept in --cache-dir, so the second start of an experiment compiles nothing:
by default what JAX_COMPILATION_CACHE_DIR says, else ~/.cache/dgm_jax ($XDG_CACHE_HOME).
JAX_ENABLE_COMPILATION_CACHE=false turns that off.
"""

import contextlib
import dataclasses
import dis
import json
import math
import os
import platform
import signal
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dgm_jax.runs.locks import locked

DataName = Literal[
    "digits",
    "mnist",
    "fashion_mnist",
    "cifar10",
    "binarized_mnist",
    "bsds300_patches",
    "nltcs",
    "baudio",
    "jester",
    "bnetflix",
    "accidents",
    "mushrooms",
    "adult",
    "pumsb_star",
    "bbc",
    "voting",
    "power",
    "gas",
    "hepmass",
    "miniboone",
    "miniboone_head",
    "frey_faces",
    "olivetti_faces",
    "omniglot",
    "caltech_silhouettes",
    "dsprites",
    "spoken_digits",
    "tiny_shakespeare",
]

_locks = contextlib.ExitStack()  # of the command line: held until the process ends

PLACES = (  # options that may differ when a run is resumed
    "workdir",
    "data_dir",
    "cache_dir",
    "progress",
    "devices",
    "machine",
    "distributed",
    "coordinator",
    "num_processes",
    "process_id",
)


@dataclasses.dataclass(frozen=True)
class Config:
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
        given = (self.coordinator, self.num_processes, self.process_id)
        return self.distributed or any(value is not None for value in given)


def parse(config_type: type[Config], name: str, args: Sequence[str] | None = None) -> Config:
    """The options of `python -m <name>`, and the directory they name, which is made.

    Leaves the process with 0 after --help, and with 2 where an option or the directory is wrong.
    """
    import tyro

    promise = sys.modules[config_type.__module__].__doc__
    config = tyro.cli(config_type, prog=f"python -m {name}", description=promise, args=args)
    if config.workdir is None:
        folder = Path("runs", *name.removeprefix("experiments.").split("."))
        quick = folder.with_name(folder.name + "-quick")
        config = dataclasses.replace(config, workdir=quick if config.quick else folder)
    return _at_the_boundary(lambda: _claimed(_joined(config)))


def run(
    config: Config,
    main: Callable[[Config], dict],
    *,
    quick: Mapping[str, Any],
    show: Callable[[dict], None] | None = None,
) -> dict:
    """main(config), or the results of an earlier run of it; shows them, and returns them.

    `show` prints what results.json holds; without it, every number on a line of its own.

    With `config.quick` the values of `quick` stand in for those options left at their default.
    """
    return _at_the_boundary(lambda: _run(config, main, quick, show or _listing))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Prints `rows` under `columns`, numbers to the right; a missing entry stays empty."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        numeric = any(isinstance(row.get(column), (int, float)) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for row in rows:
        drawn.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console(highlight=False)
    if not console.is_terminal:  # a file has no width
        console = Console(highlight=False, width=1000)
    console.print(drawn)


def write_json(path: Path | str, obj: Any) -> None:
    """Writes `obj` whole or not at all; arrays and array scalars become lists and numbers.

    `ValueError` for NaN and infinity, `TypeError` for what JSON cannot hold, each with its place.
    """
    path = Path(path)
    text = json.dumps(_plain(obj, path.stem), indent=2, ensure_ascii=False) + "\n"
    half = path.with_name(path.name + ".tmp")
    with half.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)


# ---------------------------------------------------------------------------------- the run
def _run(config, main, quick, show):
    from dgm_jax import measure  # not before: it imports jax

    if config.workdir is None:
        raise ValueError("workdir is missing; give the directory that keeps the run.")
    config = _quickened(config, quick) if config.quick else config
    if _first():
        _made(config)
    options, results = config.workdir / "config.json", config.workdir / "results.json"
    told = {"experiment": _name(main), **dataclasses.asdict(config)}
    if not _first():
        return _follow(config, main)
    with locked(config.workdir), _ended_by_sigterm():

        def prepare():
            _refuse_another(options, told)
            if results.exists():
                return json.loads(results.read_text(encoding="utf-8"))
            write_json(options, told | {"machine": measure.machine()})
            return None

        found = _told_by_first(prepare)
        if found is not None:
            show(found)
            print(f"This run was done already: {config.workdir}")
            return found
        _keep_compiled(config.cache_dir)
        write_json(results, main(config))
    found = json.loads(results.read_text(encoding="utf-8"))
    show(found)
    print(f"Results, options and checkpoints are in {config.workdir}")
    return found


# --------------------------------------------------------------------- one of several processes
def _joined(config):
    """`config`; from here on this process and its peers are one run."""
    if config.joins:
        from dgm_jax.runs import processes

        processes.start(
            config.coordinator, num_processes=config.num_processes, process_id=config.process_id
        )
    return config


def _processes():
    """The module that knows the peers, None for a run of one process."""
    processes = sys.modules.get("dgm_jax.runs.processes")
    return processes if processes is not None and processes.several() else None


def _first():
    """Whether this process is the one that writes."""
    return _processes() is None or _processes().first()


def _told_by_first(work):
    return work() if _processes() is None else _processes().from_first(work)


def _follow(config, main):
    """What the other processes do: the same computation, in silence."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        found = _told_by_first(None)
        if found is None:
            _keep_compiled(config.cache_dir)
            found = main(config)
    return found


def _name(main):
    """experiments.flows.compare, also where that is the program; the file's name for a script."""
    module = sys.modules[main.__module__]
    if getattr(module, "__spec__", None) is not None:
        return module.__spec__.name
    return Path(module.__file__).stem if hasattr(module, "__file__") else main.__module__


def _claimed(config):
    """The directory is made, and locked as long as the process lives."""

    def claim():
        _made(config)
        _locks.enter_context(locked(config.workdir))

    _told_by_first(claim)
    return config


@contextlib.contextmanager
def _ended_by_sigterm():
    """Exit code 85 for a SIGTERM between two trainings too: what they saved is all there is."""

    def leave(*_):
        print("told to end; the same command resumes", file=sys.stderr)
        raise SystemExit(85)

    if threading.current_thread() is not threading.main_thread() or _processes() is not None:
        yield  # on several processes the signal is jax's, for all to agree on a step
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _keep_compiled(cache_dir):
    import jax

    if cache_dir is None and jax.config.jax_compilation_cache_dir is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache_dir = Path(cache, "dgm_jax", f"cpu-{_cpu():08x}")
    if cache_dir is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache_dir))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _made(config):
    try:
        config.workdir.mkdir(parents=True, exist_ok=True)
        probe = config.workdir / "probe.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"workdir {config.workdir} cannot be written to ({error.strerror}); "
            "name another with --workdir."
        ) from error
    return config


def _quickened(config, quick):
    """Options that were given keep their value: --quick --num-steps 50 makes 50 steps."""
    defaults = type(config)()
    left = {name for name in quick if getattr(config, name) == getattr(defaults, name)}
    return dataclasses.replace(config, **{name: quick[name] for name in left})


def _cpu():
    """What this processor can do: a program compiled for another one may crash here."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    able = [line for line in lines if line.startswith(("flags", "Features"))]
    return zlib.crc32((able or [platform.processor()])[0].encode())


def _refuse_another(path, told):
    """A directory belongs to one configuration: its run is resumed with that, or not at all.

    To none, as long as it holds no more than the options of a start that was refused.
    """
    if not path.exists() or {file.name for file in path.parent.iterdir()} <= {".lock", path.name}:
        return
    old, new = json.loads(path.read_text(encoding="utf-8")), _plain(told, "config")
    differing = [
        f"{name} was {json.dumps(old.get(name))}, is {json.dumps(new.get(name))}"
        for name in sorted((old.keys() | new.keys()) - set(PLACES))
        if old.get(name) != new.get(name)
    ]
    if differing:
        raise ValueError(
            f"{path.parent} holds a run with other options ({'; '.join(differing)}); "
            "name another directory with --workdir, or delete this one."
        )


def _listing(results):
    rows = [{"result": name, "value": value} for name, value in _leaves(results)]
    table(rows, ("result", "value"))


# ------------------------------------------------------------------------------ the boundary
def _at_the_boundary(work):
    """work(); a wrong input ends in one line and exit code 2, a mistake of ours in a traceback."""
    return _ended_for_all(lambda: _spoken(work))


def _ended_for_all(work):
    """work(); of several processes none waits for one that has failed."""
    try:
        return work()
    except BaseException as error:
        processes = _processes()
        if processes is None:
            raise
        if processes.lost_peer(error):
            reason = " ".join(str(error).split())[:150]
            print(
                f"a peer process was lost ({reason}); the same command on all resumes",
                file=sys.stderr,
            )
            processes.leave(processes.LOST, alone=True)
        if not isinstance(error, SystemExit):
            traceback.print_exception(error)
            processes.leave(1)
        processes.leave(error.code if isinstance(error.code, int) else int(error.code is not None))


def _spoken(work):
    try:
        return work()
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if os.environ.get("DGM_TRACEBACK") or not _is_meant_for_the_user(error):
            raise
        line = " ".join(str(error).split())
        if isinstance(error, OSError) and error.filename is not None:
            line = f"{error.strerror}: {error.filename}"
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 2)) from None


def _is_meant_for_the_user(error):
    """Files that are missing, ends that have a code, and what our own code says with a `raise`.

    A ValueError from inside jax, or a TypeError from a wrong call, is a mistake in the program.
    """
    if isinstance(error, OSError) or hasattr(error, "exit_code"):
        return True
    innermost = error.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    code, package = innermost.tb_frame.f_code, innermost.tb_frame.f_globals["__name__"]
    ours = package.partition(".")[0] in ("dgm_jax", "experiments", "__main__")
    raised = code.co_code[innermost.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return ours and raised


# ------------------------------------------------------------------------------------- values
def _plain(value, place):
    """`value` as JSON holds it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, f"{place}/{name}") for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, f"{place}/{i}") for i, inner in enumerate(value)]
    if hasattr(value, "tolist"):  # numpy and jax
        return _plain(value.tolist(), place)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place} is {value}, which JSON cannot hold; give a finite number.")
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{place} is a {type(value).__name__}, which JSON cannot hold.")


def _leaves(value, place=""):
    """("maf/nll", 1.5) for {"maf": {"nll": 1.5}}."""
    if not isinstance(value, dict):
        return [(place, value)]
    return [
        leaf
        for name, inner in value.items()
        for leaf in _leaves(inner, f"{place}/{name}" if place else name)
    ]


def _cell(value):
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else str(value)
