"""What became faster or slower: the ratios of two records of one benchmark, side by side.

    python -m benchmarks.passes --out new.json
    python -m benchmarks.compare benchmarks/ratios.json new.json

Times of two days, or of two machines, do not compare; ratios of calls that took turns in one run
do. So each ratio of NEW stands beside that of OLD: the time of ours to that of a peer, or of
sampling to a density pass. Less is better in all of them. The spread of a ratio divides opposite
quartiles of its two times. A ratio is *worse* if it has grown by more than --margin and the two
spreads do not overlap; any worse one ends the command with exit code 1, for a script to see. One
that has grown as much within the spread is told as noise: measure again, on a quiet machine.

OLD and NEW are files of --out of any benchmark, or records of several of them. --keep writes the
ratios of NEW into OLD, in the place of those of the same benchmark: so benchmarks/ratios.json, the
record that the project keeps, is made. It takes no time: nothing is measured.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from dgm_jax import checks, runs
from dgm_jax.runs import errors
from dgm_jax.runs.values import read_json, write_json


@dataclasses.dataclass(frozen=True)
class Config:
    old: Annotated[Path, tyro.conf.Positional]
    """a record, or what --out of a benchmark wrote"""
    new: Annotated[Path, tyro.conf.Positional]
    """the same of a later run"""
    margin: float = 0.1
    """by which share a ratio may grow before it is worse"""
    keep: bool = False
    """write the ratios of NEW into OLD"""


class Ratio(NamedTuple):
    """One ratio of times, and the quotients of opposite quartiles."""

    value: float
    low: float
    high: float


class Cells(NamedTuple):
    """Which ratios the rows of a benchmark hold.

    The columns `name` tell a cell. `who` is the column of the contestants in it, and each ratio is
    the time of ours to that of another; with ours="" all are ours, and each is divided by the
    first. With `unit` in the place of `who`, each column WAY_ms is divided by the column `unit`.
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
    "passes": Cells(("model", "dim", "inverse"), unit="dense_density_ms"),
    "peers": Cells(("model", "dim", "way"), "library"),
    "quantized": Cells(("draws",), "by"),
    "samples": Cells(("metric",), "library"),
    "sampling": Cells(("model", "dim"), unit="density_ms"),
    "scores": Cells(("part",), "who", ours=""),
}


def ratios(benchmark: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Ratio]:
    """{name of the cell and of what is divided: its ratio}, of the rows of `benchmarks.<NAME>`."""
    checks.choice(benchmark, tuple(CELLS), "the benchmark of a file")
    cells = CELLS[benchmark]
    known = [row for row in rows if all(name in row for name in cells.name)]
    return dict(within(cells, known) if cells.unit else between(cells, known))


def within(cells, rows):
    """Of the columns of one row."""
    for row in rows:
        for column in row:
            if column.endswith("_ms") and not column.endswith(("_low_ms", "_high_ms")):
                if column != cells.unit and row[column] and row[cells.unit]:
                    way, unit = (each.removesuffix("_ms") for each in (column, cells.unit))
                    ratio = divided(row, column, row, cells.unit)
                    yield f"{called(cells, row)}: {way} / {unit}", ratio


def between(cells, rows):
    """Of the rows of one cell."""
    for row in rows:
        cell = [r for r in rows if called(cells, r) == called(cells, row) and r["ms"]]
        unit = next((r for r in cell if cells.ours in ("", r[cells.who])), None)
        mine = cells.ours and row[cells.who].startswith(cells.ours)
        if unit is None or row is unit or mine or not row["ms"]:
            continue
        above, below = (unit, row) if cells.ours else (row, unit)
        what = f"{called(cells, row)}: {above[cells.who]} / {below[cells.who]}"
        yield what, divided(above, "ms", below, "ms")


def called(cells, row):
    return " ".join(str(row[name]) for name in cells.name)


def divided(above, a, below, b):
    """The ratio of two columns of milliseconds; where no quartiles are kept, without a spread."""

    def quartiles(row, column):
        name = column.removesuffix("ms")
        return (row.get(f"{name}{which}_ms") or row[column] for which in ("low", "high"))

    (a_low, a_high), (b_low, b_high) = quartiles(above, a), quartiles(below, b)
    return Ratio(above[a] / below[b], a_low / b_high, a_high / b_low)


def read(path: Path) -> dict[str, dict[str, Ratio]]:
    """{benchmark: {name: ratio}} of a record, or of one file of --out."""
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
    """A row for each ratio that both have: before, now, the change, and what is to say of it."""
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
    """Writes a record with those ratios in the place of the former ones of the same benchmarks."""
    known = {name: dict(each) for name, each in read(path).items()} if path.exists() else {}
    kept = dict(sorted((known | {name: dict(each) for name, each in ratios_of.items()}).items()))
    short = {
        name: {what: [runs.short(x) for x in ratio] for what, ratio in each.items()}
        for name, each in kept.items()
    }
    write_json(path, {"ratios": short})


def main(config: Config) -> int:
    """The number of ratios that are worse."""
    checks.not_negative(config.margin, "margin")
    new = read(config.new)
    old = read(config.old) if config.old.exists() or not config.keep else {}
    rows = []
    for name in new:
        rows += compared(old.get(name, {}), new[name], config.margin)
        missing = len(new[name].keys() ^ old.get(name, {}).keys())
        if missing:
            print(f"{name}: {missing} ratios stand in one of the two alone")
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
