"""Times in milliseconds with quartiles, as benchmarks keep them, print them and draw them."""

from __future__ import annotations  # types are not looked up: distrax takes a second

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dgm_jax import learning, plots, runs
from dgm_jax.measure import timing
from dgm_jax.measure.timing import Timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def program(call: Callable, devices: int, params: Any, *rest: Any) -> timing.Program:
    """call(params, *rest), its rows shared by so many devices, which hold the parameters."""
    if devices == 1:
        return timing.program(call, params, *rest)
    over = learning.over_devices(call, num_devices=devices)
    params = learning.replicate(params, learning.data_mesh(devices))
    run = lambda: over(params, *rest)
    return timing.Program(run, timing.seconds(run), None)


def in_a_row(step: Callable[[], Any], num_steps: int) -> Callable[[], Any]:
    """A call that makes `num_steps` training steps and returns what the last one does.

    In training a step finds its parameters where the step before left them in the caches. Timed one
    by one between those of other libraries, each step would begin with the caches of another.
    """

    def run():
        for _ in range(num_steps):
            last = step()
        return last

    return run


def measured(timing: Timing, steps: float = 1, name: str = "") -> dict[str, float]:
    """{"ms", "low_ms", "high_ms"}, each with `name` before it: the median and the quartiles.

    steps: the number of steps in a call; times are those of one step.
    """
    return {
        f"{name}ms": timing.median_ms / steps,
        f"{name}low_ms": timing.low_ms / steps,
        f"{name}high_ms": timing.high_ms / steps,
    }


def cells(row: Mapping[str, Any], name: str = "ms") -> dict[str, Any]:
    """Two cells of a table: the median and the quartiles."""
    return {name: runs.short(row["ms"]), "quartiles": f"{row['low_ms']:.3g}-{row['high_ms']:.3g}"}


def bars(rows: Sequence[Mapping[str, Any]], group: str, bar: str, *, title: str) -> Figure:
    """Bars of milliseconds on a logarithmic axis, grouped by the columns `group` and `bar`."""
    values = {}
    for row in rows:
        values.setdefault(row[group], {})[row[bar]] = row["ms"]
    return plots.bars(values, ylabel="milliseconds", logy=True, title=title)


def relative(row: Mapping[str, Any], *facts: str) -> dict[str, Any]:
    """A row of a table: the columns `facts`, times, their ratio to the first, and compilation."""
    return {
        **{name: row[name] for name in facts},
        **cells(row),
        "relative": f"{row['relative']:.2f}",
        "first call s": runs.short(row["first_call_s"]),
    }
