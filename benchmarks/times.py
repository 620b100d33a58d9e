"""What rows of times have in common: milliseconds with quartiles, in results, tables and bars."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgm_jax import plots, runs
from dgm_jax.measure.timing import Timing


def measured(timing: Timing, steps: float = 1, name: str = "") -> dict[str, float]:
    """{"ms", "low_ms", "high_ms"} of one of the steps that a call makes, each after `name`."""
    return {
        f"{name}ms": timing.median_ms / steps,
        f"{name}low_ms": timing.low_ms / steps,
        f"{name}high_ms": timing.high_ms / steps,
    }


def cells(row: Mapping[str, Any], name: str = "ms") -> dict[str, Any]:
    """Two cells of a table."""
    return {name: runs.short(row["ms"]), "quartiles": f"{row['low_ms']:.3g}-{row['high_ms']:.3g}"}


def bars(rows: Sequence[Mapping[str, Any]], group: str, bar: str, *, title: str):
    """Milliseconds of rows as bars, by the columns `group` and `bar`, on a logarithmic axis."""
    values = {}
    for row in rows:
        values.setdefault(row[group], {})[row[bar]] = row["ms"]
    return plots.bars(values, ylabel="milliseconds", logy=True, title=title)


def relative(row: Mapping[str, Any], *facts: str) -> dict[str, Any]:
    """A line of a table: the columns `facts`, times, those in units of the first, compilation."""
    return {
        **{name: row[name] for name in facts},
        **cells(row),
        "relative": f"{row['relative']:.2f}",
        "first call s": runs.short(row["first_call_s"]),
    }
