"""Rewrites the tables of RESULTS.md from finished runs; the text around them stays as it is.

    python -m experiments.results --runs runs

A table stands between two lines of RESULTS.md, the first of which says what it contains:

    <!-- results of experiments.flows.tabular in nats where data=bsds300_patches -->
    <!-- end -->

The unit is a name in UNITS, which says whether higher or lower is better: the best row stands
first. ` with NAME ...` before the condition adds columns. Each dictionary in a results.json that
holds this number becomes a row, named by the path that leads to it: models/maf is the row maf, and
toys/moons/models/maf is the cell in row moons and column maf. Runs that differ only in their seeds
are one row. Runs with --quick are left out, and a table stays as it is if no run for it is found.
Published figures are those of experiments/published.py.
"""

import dataclasses
import datetime
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dgm_jax import checks
from dgm_jax.runs import command_line, errors
from dgm_jax.runs.directory import PLACES
from dgm_jax.runs.values import read_json
from experiments import published

FILE = Path(__file__).with_name("RESULTS.md")
TABLE = re.compile(
    r"(<!-- results of (?P<experiment>\S+) in (?P<unit>\S+)(?: with (?P<extra>.+?))?"
    r"(?: where (?P<where>.+?))? -->\n)(?P<table>.*?)(<!-- end -->)",
    re.DOTALL,
)


class Unit(NamedTuple):
    """A number of results.json, and how a table shows it."""

    key: str  # its name in results.json
    higher: bool  # whether more is better: the best stands first
    digits: int = 3
    errors: int = 1  # how many standard errors stand after ±, as in the papers


UNITS = {
    "nats": Unit("test_nats", higher=True, digits=2, errors=2),
    "bits/dim": Unit("test_bits_per_dim", higher=False),
    "kl": Unit("kl", higher=False),
    "bits_a_missing_pixel": Unit("bits_a_missing_pixel", higher=False),
    "active_units": Unit("active_units", higher=True, digits=0),
    "fid": Unit("test_fid", higher=False, digits=2),
    "inception_score": Unit("test_inception_score", higher=True, digits=2),
    "mse": Unit("test_mse", higher=False, digits=4),
}
# No part of a name.
GROUPS = ("models", "baselines", "tables", "toys", "targets", "depths", "missing")
ALIKE = {
    *PLACES,
    "experiment",
    "quick",
    "seed",
    "models",
    "orders",
    "data",
    "published",
    "eval_every",
}


class Row(NamedTuple):
    """A dictionary of results.json with the number of a table, its path and the run's options."""

    names: tuple[str, ...]
    config: dict
    numbers: dict


def collect(runs: Path = Path("runs"), file: Path = FILE) -> list[str]:
    """Rewrites `file` from the finished runs below the folder `runs`; a line for each table."""
    finished, told = list(_finished(runs)), []

    def rewritten(match):
        checks.choice(match["unit"], UNITS, "the unit of a table")
        rows = [row for config, results in finished for row in _rows(match, config, results)]
        what = f"{match['experiment']} {match['where'] or ''}".strip()
        told.append(f"{what}: {f'{len(rows)} rows' if rows else 'no run, kept'}")
        if not rows:
            return match[0]
        extra = (match["extra"] or "").split()
        return match[1] + _table(rows, match["unit"], extra) + match[match.lastindex]

    text = TABLE.sub(rewritten, file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    return told


def _finished(folder: Path) -> Iterator[tuple[dict, dict]]:
    if not folder.is_dir():
        raise checks.InputError(f"runs must be a folder of finished runs; {folder} is none.")
    for path in sorted(folder.rglob("results.json")):
        try:
            config, results = read_json(path.with_name("config.json")), read_json(path)
        except checks.InputError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if config.get("quick") is False:
            known = {"published": results.get("published")}
            yield config | results.get("settings", {}) | known, results


def _rows(match, config, results) -> list[Row]:
    """The rows of one run; none if it does not belong to the table."""
    wanted = [part.split("=", 1) for part in re.split(r",\s*", match["where"] or "") if part]
    same = all(str(config.get(name.strip())) == value.strip() for name, value in wanted)
    if config.get("experiment") != match["experiment"] or not same:
        return []
    key = UNITS[match["unit"]].key
    return [Row(names, config, numbers) for names, numbers in _leaves(results, key)]


def _leaves(results, key, names=()):
    """(names, numbers) of every dictionary in `results` that holds the key."""
    if isinstance(results.get(key), (int, float)):
        yield names, results
    for name, inner in results.items():
        if isinstance(inner, dict):
            yield from _leaves(inner, key, names if name in GROUPS else (*names, name))


def _table(rows: list[Row], unit: str, extra: Sequence[str]) -> str:
    if all(len(row.names) == 2 for row in rows):
        lines = _crossed(rows, unit)
    else:
        lines = _listed(rows, unit, extra)
    head, *rest = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rest, "", _where(rows), ""])


def _listed(rows, unit, extra):
    """One line for each model and each set of options, with all its seeds together."""
    varying = {
        name
        for row in rows
        for name in row.config.keys() - ALIKE
        if any(other.config.get(name) != row.config[name] for other in rows)
    }
    groups = {}
    for row in rows:
        trained = "train_seconds" in row.numbers
        known = sorted(varying & row.config.keys()) if trained else ()  # a run may be older
        options = [f"{name} {_words(row.config[name])}" for name in known]
        groups.setdefault((", ".join(row.names), *options), []).append(row)
    lines = [["model", _unit(unit), "published", "parameters", "steps", "minutes", *extra]]
    for (name, *options), group in sorted(groups.items(), key=lambda item: _order(item, unit)):
        figure = published.find(group[0].config.get("published"), unit, name)
        steps = [_told(row.numbers, "num_steps") for row in group]
        lines.append(
            [
                ", ".join([name, *options]),
                _values(group, unit),
                "" if figure is None else f"{figure.value:.2f} ({figure.source})",
                _told(group[0].numbers, "num_params"),
                " ".join(dict.fromkeys(steps)),
                _minutes(group),
                *(_told(group[0].numbers, name) for name in extra),
            ]
        )
    return lines


def _crossed(rows, unit):
    """A table with names[0] in rows and names[1] in columns."""
    down, across = (list(dict.fromkeys(row.names[i] for row in rows)) for i in (0, 1))
    lines = [[_unit(unit), *across]]
    for first in down:
        cells = ([row for row in rows if row.names == (first, second)] for second in across)
        lines.append([first, *(_values(cell, unit) if cell else "" for cell in cells)])
    return lines


def _order(item, unit):
    value = _mean(item[1], unit)
    return -value if UNITS[unit].higher else value  # the best first


def _mean(group, unit):
    values = [row.numbers[UNITS[unit].key] for row in group]
    return sum(values) / len(values)


def _unit(unit):
    times = UNITS[unit].errors
    return f"{unit} ± {'' if times == 1 else f'{times} '}s.e."


def _values(group, unit):
    """The mean over seeds ± the standard error of the test set, then each seed if several."""
    key, _, digits, times = UNITS[unit]
    value = f"{_mean(group, unit):.{digits}f}"
    error = group[0].numbers.get(f"{key}_stderr")
    if error is not None:
        value += f" ± {times * error:.{digits}f}"
    if len(group) == 1 or "train_seconds" not in group[0].numbers:
        return value
    group = sorted(group, key=lambda row: row.config["seed"])
    each = ", ".join(f"{row.numbers[key]:.{digits}f}" for row in group)
    return f"{value} ({each})"


def _told(numbers, name):
    value = numbers.get(name)
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}"


def _minutes(group):
    """The mean over seeds."""
    seconds = [row.numbers.get("train_seconds") for row in group]
    return "" if None in seconds else f"{sum(seconds) / len(seconds) / 60:.1f}"


def _where(rows):
    """The date, the machine and the seeds of the runs."""
    places = []
    for row in rows:
        machine = row.config.get("machine")
        if machine is not None:
            day = datetime.date.fromisoformat(machine["date"])
            cores = f"{machine['cores']} core{'s' * (machine['cores'] > 1)}"
            places.append(
                f"{day.day} {day:%B %Y}, {machine['cpu']} ({cores}), {machine['device']}, "
                f"jax {machine['jax']}"
            )
    seeds = sorted({row.config["seed"] for row in rows})
    return f"{'; '.join(dict.fromkeys(places))}; seed {', '.join(map(str, seeds))}.".lstrip("; ")


def _words(value):
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


@dataclasses.dataclass(frozen=True)
class Config:
    runs: Path = Path("runs")
    """the folder of finished runs"""
    file: Path = FILE
    """the file whose tables are rewritten"""


if __name__ == "__main__":
    config = errors.told(lambda: command_line.parse(Config, "experiments.results"))
    print("\n".join(errors.told(lambda: collect(config.runs, config.file))))
