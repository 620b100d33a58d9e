"""What became faster or slower: the ratios of two records of one benchmark, side by side.

    python -m benchmarks.passes --out new.json
    python -m benchmarks.compare benchmarks/ratios.json new.json

Times of different days or machines cannot be compared, but ratios of calls that were interleaved in
one run can. So each ratio of NEW is printed beside that of OLD, such as the time of ours to that of
another library, or of sampling to a density pass; for all of them less is better. The spread of a
ratio is the range between the quotients of opposite quartiles of its two times. A ratio is *worse*
if it has grown by more than --margin and the two spreads do not overlap; if any is worse, the
command ends with exit code 1, for scripts. If it has grown as much but the spreads overlap it is
called *noise*: measure again, on a quiet machine.

OLD and NEW are files that --out of a benchmark wrote, or records of several of them. --keep writes
the ratios of NEW into OLD in place of those of the same benchmark; the project's record
benchmarks/ratios.json is made in this way. Nothing is measured, so this takes no time.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from dgm_jax import checks, runs
from dgm_jax.runs import errors
from dgm_jax.runs.values import read_json, write_json


@dataclasses.dataclass(frozen=True)
class Config:
    old: Annotated[Path, tyro.conf.Positional]
    """a record, or a file that --out of a benchmark wrote"""
    new: Annotated[Path, tyro.conf.Positional]
    """the same of a later run"""
    margin: float = 0.1
    """the fraction by which a ratio may grow before it counts as worse"""
    keep: bool = False
    """write the ratios of NEW into OLD"""


class Ratio(NamedTuple):
    """A ratio of two times, and the two quotients of their opposite quartiles."""

    value: float
    low: float
    high: float


class Cells(NamedTuple):
    """How the ratios of a benchmark are found in its rows.

    Rows with the same values in the columns `name` belong together. The column `who` names a
    contestant, and each ratio is the time of `ours` divided by that of another; with ours="" all
    are ours, and each is divided by the first. If `unit` is given instead of `who`, each column
    WAY_ms of a row is divided by its column `unit`.
    """

    name: tuple[str, ...]
    who: str = ""
    ours: str = "dgm_jax"
    unit: str = ""


CELLS = {
    "bounds": Cells(("samples",), "bound", ours=""),
    "codebooks": Cells(("part",), "who"),
    "continuous": Cells(("dim", "way"), "trace", ours="exact"),
    "convolutions": Cells(("case", "way"), "library"),
    "disentangled": Cells(("objective",), "library"),
    "games": Cells(("turn",), "who"),
    "latent": Cells(("objective",), "library"),
    "mixtures": Cells(("kind", "dtype"), "library"),
    "layouts": Cells(("work", "what"), "devices", ours=""),
    "passes": Cells(("model", "dim", "inverse", "devices"), unit="dense_density_ms"),
    "peers": Cells(("model", "dim", "way"), "library"),
    "quantized": Cells(("draws",), "by"),
    "samples": Cells(("metric",), "library"),
    "sampling": Cells(("model", "dim", "devices"), unit="density_ms"),
    "scores": Cells(("part",), "who", ours=""),
}


def ratios(benchmark: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Ratio]:
    """{name of the ratio: ratio} from the rows of the benchmark `benchmarks.<NAME>`."""
    checks.choice(benchmark, tuple(CELLS), "the benchmark of a file")
    cells = CELLS[benchmark]
    known = [row for row in rows if all(name in row for name in cells.name)]
    return dict(within(cells, known) if cells.unit else between(cells, known))


def within(cells: Cells, rows: list) -> Iterator:
    """(name, ratio) of each time of a row to that in its column `cells.unit`."""
    for row in rows:
        for column in row:
            if column.endswith("_ms") and not column.endswith(("_low_ms", "_high_ms")):
                if column != cells.unit and row[column] and row[cells.unit]:
                    way, unit = (each.removesuffix("_ms") for each in (column, cells.unit))
                    ratio = divided(row, column, row, cells.unit)
                    yield f"{called(cells, row)}: {way} / {unit}", ratio


def between(cells: Cells, rows: list) -> Iterator:
    """(name, ratio) of ours to each other row of its group; if all are ours, each to the first."""
    for row in rows:
        cell = [r for r in rows if called(cells, r) == called(cells, row) and r["ms"]]
        unit = next((r for r in cell if cells.ours in ("", r[cells.who])), None)
        mine = cells.ours and row[cells.who].startswith(cells.ours)
        if unit is None or row is unit or mine or not row["ms"]:
            continue
        above, below = (unit, row) if cells.ours else (row, unit)
        what = f"{called(cells, row)}: {above[cells.who]} / {below[cells.who]}"
        yield what, divided(above, "ms", below, "ms")


def called(cells: Cells, row: dict) -> str:
    """What names a group of rows: the values of the columns `cells.name`."""
    return " ".join(str(row[name]) for name in cells.name)


def divided(above: dict, a: str, below: dict, b: str) -> Ratio:
    """The ratio of two columns of milliseconds; without a spread if no quartiles are kept."""

    def quartiles(row, column):
        name = column.removesuffix("ms")
        return (row.get(f"{name}{which}_ms") or row[column] for which in ("low", "high"))

    (a_low, a_high), (b_low, b_high) = quartiles(above, a), quartiles(below, b)
    return Ratio(above[a] / below[b], a_low / b_high, a_high / b_low)


def read(path: Path) -> dict[str, dict[str, Ratio]]:
    """{benchmark: {name: ratio}} of a record, or of a file that --out wrote."""
    found = read_json(path)
    if isinstance(found, dict) and isinstance(found.get("ratios"), dict):
        return {
            name: {what: Ratio(*three) for what, three in each.items()}
            for name, each in found["ratios"].items()
        }
    if not (isinstance(found, dict) and {"benchmark", "rows"} <= found.keys()):
        raise checks.InputError(
            f"{path} is no record of a benchmark; make one with its --out FILE."
        )
    name = str(found["benchmark"]).removeprefix("benchmarks.")
    return {name: ratios(name, found["rows"])}


def compared(old: Mapping[str, Ratio], new: Mapping[str, Ratio], margin: float) -> list[dict]:
    """A table row for each ratio that both have: before, now, the change, and a verdict."""
    rows = []
    for what in (name for name in new if name in old):
        before, now = old[what], new[what]
        grown = now.value / before.value
        said = "" if grown <= 1 + margin else "noise" if now.low <= before.high else "worse"
        rows.append(
            {
                "ratio": what,
                "old": f"{before.value:.2f}",
                "old spread": f"{before.low:.2f}-{before.high:.2f}",
                "new": f"{now.value:.2f}",
                "new spread": f"{now.low:.2f}-{now.high:.2f}",
                "change": f"{grown - 1:+.0%}",
                "": "better" if grown < 1 / (1 + margin) and now.high < before.low else said,
            }
        )
    return rows


def keep(path: Path, ratios_of: Mapping[str, Mapping[str, Ratio]]) -> None:
    """Writes the ratios into the record at `path`, in place of those of the same benchmarks."""
    known = {name: dict(each) for name, each in read(path).items()} if path.exists() else {}
    kept = dict(sorted((known | {name: dict(each) for name, each in ratios_of.items()}).items()))
    short = {
        name: {what: [runs.short(x) for x in ratio] for what, ratio in each.items()}
        for name, each in kept.items()
    }
    write_json(path, {"ratios": short})


def main(config: Config) -> int:
    """Prints the comparison; returns the number of ratios that are worse."""
    checks.not_negative(config.margin, "margin")
    new = read(config.new)
    old = read(config.old) if config.old.exists() or not config.keep else {}
    rows = []
    for name in new:
        rows += compared(old.get(name, {}), new[name], config.margin)
        missing = len(new[name].keys() ^ old.get(name, {}).keys())
        if missing:
            print(f"{name}: {missing} ratios are in only one of the two")
    if rows:
        runs.table(rows)
    elif not config.keep:
        raise checks.InputError(f"{config.old} and {config.new} have no ratio in common.")
    if config.keep:
        keep(config.old, new)
    return sum(row[""] == "worse" for row in rows)


if __name__ == "__main__":
    worse = errors.told(lambda: main(runs.parse(Config, "benchmarks.compare")))
    if worse:
        print(f"{worse} of the ratios are worse.")
    sys.exit(min(worse, 1))
