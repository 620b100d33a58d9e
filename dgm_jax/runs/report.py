"""The outputs of a benchmark: tables on the terminal, rows in JSON, a figure, a dated record."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import checks
from .tables import markdown, table
from .values import write_json


def report(
    config: Any,
    name: str,
    words: Sequence[str],
    main: Callable[[Any], dict],
    to_tables: Callable[[dict], list[list[Mapping]]],
    draw: Callable,
    save: Callable,
) -> None:
    """Runs a benchmark, main(config), prints its tables, and writes the files that `config` names.

    config: a dataclass with the fields of `ReportOptions`: `figure` is a PNG file for the picture,
        `out` a JSON file for the rows and the machine, and `record` a Markdown file to which the
        tables are added as a dated section with `note`. The last two are not written if they are
        None
    name, words: the module of the benchmark and the words of its command line, for the record
    main: a function of config that returns a dict with "rows", the measurements, and "machine",
        that of `measure.machine`
    to_tables: a function of this dict that returns the tables to print, each a list of rows
    draw, save: draw(config, found) returns a figure, which save(figure, path) writes

    Raises `InputError` before the measurement if a file cannot be written, or if the name of the
    figure does not end in .png.
    """
    refuse_files(config)
    found = main(config)
    for rows in to_tables(found):
        table(rows)
    if config.out:
        parts = {part: found[part] for part in ("rows", "machine")}
        write_json(config.out, {"benchmark": name} | parts)
    save(draw(config, found), config.figure)
    print(f"The picture is {config.figure}")
    if config.record:
        line = command_line(name, words)
        with config.record.open("a", encoding="utf-8") as file:
            file.write(section(name, line, found["machine"], config.note, to_tables(found)))


def command_line(name: str, args: Sequence[str]) -> str:
    """The command that repeats the measurement, without its output files and its note."""
    kept, words = [], iter(args)
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in ("--out", "--figure", "--record", "--note"):
            kept.append(word)
        elif not equals:
            next(words, None)
    return shlex.join(["python", "-m", name, *kept])


def section(name: str, line: str, machine: Mapping, note: str, tables: list) -> str:
    """One dated record in Markdown.

    name: the program; line: its command; machine: where it ran; note: a remark; tables: lists of
    rows.
    """
    where = [f"{what} {machine[what]}" for what in machine if what not in ("date", "cpu", "device")]
    facts = "; ".join([machine["cpu"], machine["device"], *where, *([note] if note else [])])
    text = f"\n## {machine['date']}, {name}\n\n`{line}`\n\n{facts}.\n"
    return text + "".join("\n" + markdown(rows) for rows in tables)


def refuse_files(config: Any) -> None:
    """Makes the folders of the output files; `InputError` names a file that cannot be written."""
    if config.figure.suffix != ".png":
        raise checks.InputError(f"figure must end in .png; got {str(config.figure)!r}.")
    for option in ("out", "figure", "record"):
        path = getattr(config, option)
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise checks.InputError(
                f"{option} {path} cannot be written ({error.strerror}); name another file."
            ) from error
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise checks.InputError(f"{option} {path} cannot be written; name another file.")
