"""The command line of a benchmark: options, tables, files; nothing of jax.

    @dataclasses.dataclass(frozen=True)
    class Config(command.Config):
        dims: tuple[int, ...] = (8, 64)

    if __name__ == "__main__":
        CONFIG = command.parse(Config, "benchmarks.passes")  # before the slow imports

    def main(config) -> dict:          # {"rows": [...], "machine": {...}}, what --out writes
    def tables(found) -> list:         # lists of rows for the terminal and for --record
    def draw(config, found):           # the figure

    if __name__ == "__main__":
        command.run(CONFIG, "benchmarks.passes", main, tables, draw)

Exit codes: 0 done, 2 wrong input (one line on stderr), 130 interrupted. With DGM_TRACEBACK=1 in
the environment every error shows its traceback.
"""

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from experiments import runner


@dataclasses.dataclass(frozen=True)
class Config:
    """What every benchmark can be told."""

    out: Path | None = None
    """a JSON file for the rows, with the machine"""
    figure: Path | None = None
    """a PNG file for the picture; runs/benchmarks/<name>.png by default"""
    record: Path | None = None
    """a Markdown file to which the tables are added, such as benchmarks/RESULTS.md"""
    note: str = ""
    """a remark for the record: who else used the machine"""


def parse(config_type: type[Config], name: str, args: Sequence[str] | None = None) -> Config:
    """The options of `python -m <name>`; the folders of its files are made.

    Leaves the process with 0 after --help, and with 2 where an option or a folder is wrong.
    """
    import tyro

    promise = sys.modules[config_type.__module__].__doc__
    config = tyro.cli(config_type, prog=f"python -m {name}", description=promise, args=args)
    figure = config.figure or Path("runs", *name.split(".")).with_suffix(".png")
    config = dataclasses.replace(config, figure=figure)
    _at_the_boundary(lambda: _refuse_files(config))
    return config


def run(
    config: Config,
    name: str,
    main: Callable[[Config], dict],
    tables: Callable[[dict], list[list[Mapping]]],
    draw: Callable,
) -> None:
    """main(config), its tables on the terminal, and the files that the options ask for."""
    _at_the_boundary(lambda: _run(config, name, main, tables, draw))


def _run(config, name, main, tables, draw):
    from dgm_jax import plots

    found = main(config)
    for rows in tables(found):
        runner.table(rows, columns(rows))
    if config.out:
        runner.write_json(config.out, {part: found[part] for part in ("rows", "machine")})
    plots.save(draw(config, found), config.figure)
    print(f"The picture is {config.figure}")
    if config.record:
        line = command_line(name, sys.argv[1:])
        with config.record.open("a", encoding="utf-8") as file:
            file.write(section(name, line, found["machine"], config.note, tables(found)))


def command_line(name: str, args: Sequence[str]) -> str:
    """The command that measures the same, without the files it wrote and the remark."""
    kept, words = [], iter(args)
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in ("--out", "--figure", "--record", "--note"):
            kept.append(word)
        elif not equals:
            next(words, None)
    return shlex.join(["python", "-m", name, *kept])


def section(name: str, line: str, machine: Mapping, note: str, tables: list) -> str:
    """One dated record in Markdown."""
    where = [f"{what} {machine[what]}" for what in machine if what not in ("date", "cpu", "device")]
    facts = "; ".join([machine["cpu"], machine["device"], *where, *([note] if note else [])])
    text = f"\n## {machine['date']}, {name}\n\n`{line}`\n\n{facts}.\n"
    for rows in tables:
        names = columns(rows)
        body = [[_cell(row.get(column)) for column in names] for row in rows]
        lines = [names, ["---"] * len(names), *body]
        text += "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return text


def columns(rows: Sequence[Mapping]) -> list[str]:
    """Every column that some row has, in the order of their first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def short(value: float) -> float:
    """Four digits, for a table."""
    return float(f"{value:.4g}")


def _cell(value):
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _refuse_files(config):
    if config.figure.suffix != ".png":
        raise ValueError(f"figure must end in .png; got {str(config.figure)!r}.")
    for option in ("out", "figure", "record"):
        path = getattr(config, option)
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"{option} {path} cannot be written ({error.strerror}); name another file."
            ) from error
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise ValueError(f"{option} {path} cannot be written; name another file.")


def _at_the_boundary(work):
    """work(); a wrong input ends in one line and exit code 2."""
    try:
        return work()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (ValueError, OSError) as error:
        if os.environ.get("DGM_TRACEBACK"):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
