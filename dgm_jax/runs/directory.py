"""The directory of a run: its options, its results, and a lock for one process at a time.

`config.json` holds the options, the machine and the date of the last start, `results.json` the
results. A directory belongs to one configuration: the same command shows the results of a finished
run, or resumes a stopped one; other options are refused. If config.json or results.json is missing
or was changed, or the data are in another folder or have changed, the command computes the results
anew, and training refuses checkpoints of another run (`dgm_jax.learning.identity`).
"""

import contextlib
import dataclasses
import json
import os
import resource
import signal
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import checks
from ..measure import machine
from . import processes, tables
from .cache import keep_compiled
from .locks import confirm, locked
from .preemption import leaving_at_once
from .values import plain, read_json, write_json

PLACES = (  # options that may differ when a run is resumed
    "workdir",
    "data_dir",
    "cache_dir",
    "progress",
    "devices",
    "max_params",
    "machine",
    "checksum",
    "results",
    "files",
    "source",
    "distributed",
    "coordinator",
    "num_processes",
    "process_id",
)

AGAIN = "Delete it: the same command makes it again, from the checkpoints."


def keep(
    config: Any,
    main: Callable[[Any], dict],
    *,
    show: Callable[[dict], None] = tables.listing,
    minutes: float | None = None,
) -> dict:
    """main(config), computed once for each directory: a later call returns the results kept there.

    Runs main, writes its results as results.json in config.workdir, and shows them. If the
    directory holds a finished run with the same options and data, main is not called. If a run was
    stopped, main is called again, and `learning.train` continues from its checkpoints.

    config: a dataclass with the fields of `RunOptions`
    main: a function of config that returns a dict of results that JSON can hold
    show: prints the results; by default as a list of names and values
    minutes: how long a run with default options takes, in minutes. It is printed at the start,
        except with config.quick; None prints nothing

    Returns the results as a dict. In several processes only the first writes and prints. A
    directory of a run with other options, or with damaged files, is refused. This and other errors
    end the program with a message and an exit code, 2 for wrong input (`dgm_jax.runs.errors`).
    """
    with leaving_at_once(signal.SIGTERM):
        return processes.together(lambda: _kept(config, main, show, minutes))


def duration(minutes: float) -> str:
    """Minutes in words: seconds below one, hours above 90."""
    if minutes < 1:
        return f"about {60 * minutes:.0f} seconds"
    if minutes > 90:
        return f"about {minutes / 60:.2g} hours"
    return f"about {minutes:.2g} minute{'s' * (minutes != 1)}"


def defining(config: Any) -> dict[str, Any]:
    """The options that define a run, as JSON: all except those listed in PLACES."""
    options = plain(dataclasses.asdict(config), "config")
    return {name: value for name, value in options.items() if name not in PLACES}


def program(defined: Callable | type) -> str:
    """The name of the module that defines a function or class, or the file name of a script.

    Such as experiments.flows.compare.
    """
    module = sys.modules[defined.__module__]
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if spec is not None:
        return spec.name
    return defined.__module__ if file is None else Path(file).stem


def _source(defined):
    """The check sum of the file of the module that defines a class; None of a notebook."""
    file = Path(getattr(sys.modules[defined.__module__], "__file__", None) or "")
    return zlib.crc32(file.read_bytes()) if file.is_file() else None


def _kept(config, main, show, minutes):
    options = {"experiment": program(type(config)), **plain(dataclasses.asdict(config), "config")}
    options |= {"data_dir": _data_dir(config), "files": _files(config)}
    options |= {"source": _source(type(config))}
    if config.joins:  # from here on this process and its peers are one run
        processes.start(
            config.coordinator, num_processes=config.num_processes, process_id=config.process_id
        )
        processes.same({"experiment": options["experiment"], **defining(config)}, "options")
    results = config.directory / "results.json"
    if not processes.first():
        return _follow(config, main)
    with contextlib.ExitStack() as stack:
        done = processes.from_first(lambda: _opened(config, options, stack))
        if not done:
            length = "" if config.quick or minutes is None else f", {duration(minutes)} by default"
            print(f"A run in {config.workdir}{length}")
            keep_compiled(config.cache_dir)
            found = main(config)
            confirm(config.workdir)
            _write(config.workdir, options, found, show)
    found = _found(results)
    if not done:
        show(found)
        print(f"Results, options and checkpoints are in {config.workdir}")
        return found
    try:
        show(found)
    except OSError:  # of the terminal
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise checks.InputError(f"{results} is not of this experiment ({why}). {AGAIN}") from error
    print(f"This run was done already: {config.workdir}")
    then = read_json(config.directory / "config.json").get("source")
    if then not in (None, options["source"]):
        print(
            f"The file of {options['experiment']} has changed since. To run it as it is now, name "
            "another directory with --workdir, or delete this one."
        )
    return found


def _found(results):
    return read_json(results, AGAIN)


def _follow(config, main):
    """What the other processes do: the same computation, in silence."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        if processes.from_first(lambda: None):
            return _found(config.workdir / "results.json")
        keep_compiled(config.cache_dir)
        return main(config)


def _opened(config, options, stack):
    """Takes the directory until `stack` is closed; whether its run is done."""
    _may_open_files()
    writable(config.workdir)
    stack.enter_context(locked(config.workdir))
    path = config.workdir / "config.json"
    _refuse_another(path, options)
    if not (config.workdir / "results.json").exists():
        _write_options(path, options)
        return False
    doubt = _doubt(path, options, _found(config.workdir / "results.json"))
    if doubt is None:
        return True
    print(f"{config.workdir} is done, but {doubt}: looking again", file=sys.stderr)
    return False  # config.json stays that of the results


def _doubt(path, options, results):
    """Why the results may not be those of this command, whose options are as far as is known."""
    if not path.exists():
        return f"has no {path.name}"
    old = read_json(path)
    if old.pop("checksum", None) != _checksum(old):
        return f"its {path.name} was changed"
    if old.get("results") != _checksum(results):
        return "its results.json was changed"
    was, now = old.get("data_dir"), options["data_dir"]
    if was != now:
        return f"its data_dir was {was}, and is {now}"
    changed = options["files"] and options["files"] != old.get("files")
    return "its files of data were changed" if changed else None


def _data_dir(config):
    """The folder that `dgm_jax.data` reads."""
    folder = config.data_dir or os.environ.get("DGM_DATA")
    return None if folder is None else os.path.abspath(folder)


def _files(config):
    """{path: [files, bytes, time of the last change]} of the files or folders of `config.data`."""
    data, found = getattr(config, "data", None), {}
    if not isinstance(data, (str, Path)) or not data:
        return found
    for folder in (".", _data_dir(config)):
        path = Path(os.path.abspath(os.path.join(folder or ".", data)))
        files = [path, *path.rglob("*")] if path.exists() else []
        stats = [file.stat() for file in files if file.is_file()]
        if stats:
            changed = max(stat.st_mtime_ns for stat in stats)
            found[str(path)] = [len(stats), sum(stat.st_size for stat in stats), changed]
    return found


def _write(workdir, options, found, show):
    """Keeps the results. Those that no file can hold are at least shown."""
    path = workdir / "results.json"
    try:
        write_json(path, found)
    except checks.InputError:
        show(found)
        raise
    _write_options(workdir / "config.json", options | {"results": _checksum(_found(path))})


def _write_options(path, options):
    options = options | {"machine": machine()}
    write_json(path, options | {"checksum": _checksum(options)})


def _checksum(options):
    return zlib.crc32(json.dumps(options, sort_keys=True).encode())


def writable(workdir: Path) -> None:
    """Makes the directory, if it is not there; `InputError` if nothing can be written to it."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / f"probe-{os.getpid()}.tmp"
        probe.touch()
        probe.unlink(missing_ok=True)  # of several processes, another may have been first
    except OSError as error:
        raise checks.InputError(
            f"workdir {workdir} cannot be written to ({error.strerror}); "
            "name another (on the command line with --workdir)."
        ) from error


def _may_open_files():
    """A checkpoint opens some dozens at once."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now != resource.RLIM_INFINITY and now < 1024:
        now = 1024 if most == resource.RLIM_INFINITY else min(1024, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (now, most))
        if now < 64:
            raise checks.InputError(
                f"this program may have {now} files open, and needs 64 (ulimit -n 1024)."
            )


def _refuse_another(path, new):
    """A directory belongs to one configuration: its run is resumed with that, or not at all.

    To none, as long as it holds no more than the options of a start that was refused.
    """
    if not path.exists() or {file.name for file in path.parent.iterdir()} <= {".lock", path.name}:
        return
    old = read_json(path, "Delete it: the same command goes on from checkpoints of its options.")
    names = sorted((old.keys() | new.keys()) - set(PLACES))
    if old.get("experiment") != new.get("experiment"):
        names = ["experiment"]  # all options of another one would say less
    differing = [
        f"{name} was {json.dumps(old.get(name))}, is {json.dumps(new.get(name))}"
        for name in names
        if old.get(name) != new.get(name)
    ]
    if differing:
        raise checks.InputError(
            f"{path.parent} holds a run with other options ({'; '.join(differing)}); "
            "name another directory with --workdir, or delete this one."
        )
