"""Rows of metrics: a summary of the steps since the last row, and the check that they went well."""

import math
from collections.abc import Sequence

import jax
import numpy as np

from .. import checks
from ..protocol import Metrics

OFTEN = 0.01  # the share of steps from which it is told that they were skipped
MAX_SKIPPED = 10  # steps in a row with a gradient that is not finite, and a run gives up


class Diverged(RuntimeError):
    """Training met NaN or infinity, or 10 skipped steps in a row: the error of `train`.

    step: the number of the step
    what: what is not finite, such as "loss is nan"

    The message says both and what to do. A command that ends with it has the exit code 4.
    """

    exit_code = 4

    def __init__(self, step: int, what: str, saved: str = ""):
        super().__init__(
            f"step {step}: {what}. Lower the learning rate, clip the gradient "
            f"(optax.clip_by_global_norm) or look for bad rows in the data. {saved}"
        )
        self.step, self.what = step, what


def summary(step: int, window: Sequence[Metrics], in_a_row: int) -> tuple[dict[str, float], int]:
    """(row, in_a_row): the means of the metrics over the steps that end at `step`, and a counter.

    step: the number of the last of these steps
    window: the metrics {name: scalar} of each of these steps, in order; all have the same names
    in_a_row: how many steps in a row, up to the one before the window, had a skipped update; the
        second result is this number after the window

    The row is {"step": step, name: mean}. A metric "skipped" that is not 0 marks a step that was
    skipped because its gradient was not finite, and "name/skipped" marks a skipped update of one
    player, such as "critic". For these the row holds the sum, which is the number of skipped
    updates. The means leave out the metrics of a skipped step, or those called "name/..." of a
    skipped player; a mean of no step is NaN.

    Raises `Diverged` when in_a_row reaches `MAX_SKIPPED` = 10, or if a metric that is not left out
    is not finite, and `InputError` if it is not a scalar.
    """
    kept = {name: [] for name in window[0]}
    steps = range(step - len(window) + 1, step + 1)
    for t, metrics in zip(steps, jax.device_get(window), strict=True):
        skipped = tuple(
            name.removesuffix("skipped")  # "" or "player/", which their metrics begin with
            for name, value in metrics.items()
            if _counts_skipped(name) and value
        )
        in_a_row = in_a_row + 1 if skipped else 0
        if in_a_row == MAX_SKIPPED:
            what = f"the last {MAX_SKIPPED} steps had no finite gradient and were skipped"
            raise Diverged(t, what)
        for name, value in metrics.items():
            if _counts_skipped(name) or not name.startswith(skipped):
                kept[name].append(_finite(name, value, t))
    return {"step": step} | {name: _joined(name, values) for name, values in kept.items()}, in_a_row


def often_skipped(history: Sequence[dict[str, float]]) -> list[str]:
    """A line for each kind of update that was skipped in more than one step of a hundred."""
    told, steps = [], history[-1]["step"] if history else 0
    for name in filter(_counts_skipped, history[-1] if history else ()):
        skipped = int(sum(row.get(name, 0) for row in history))
        if skipped > OFTEN * steps:
            told.append(
                f"{name}: {skipped} updates in {steps} steps, whose gradient was not finite; lower "
                "the learning rate, or look for bad rows in the data"
            )
    return told


def mostly_clipped(history: Sequence[dict[str, float]], norm: float) -> str | None:
    """A line that says so, if in most rows the mean norm of the gradient was above `norm`."""
    norms = sorted(row["grad_norm"] for row in history if row.get("grad_norm", 0) > 0)
    if not norms or norms[len(norms) // 2] <= norm:
        return None
    return (
        f"the gradient was clipped to a norm of {norm:g} in most steps: its norm was "
        f"{norms[len(norms) // 2]:.3g} (median)"
    )


def _counts_skipped(name):
    return name.rpartition("/")[2] == "skipped"


def _finite(name, value, step):
    if np.ndim(value):
        raise checks.InputError(f"metric {name!r} must be a scalar; got shape {np.shape(value)}.")
    if not np.isfinite(value):
        raise Diverged(step, f"{name} is {value}")
    return value


def _joined(name, values):
    if _counts_skipped(name):
        return int(sum(values))
    return sum(map(float, values)) / len(values) if values else math.nan
