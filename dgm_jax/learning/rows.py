"""Rows of metrics: what the steps since the last row were like, and whether they went well."""

import math
from collections.abc import Sequence

import jax
import numpy as np

from .. import checks
from ..protocol import Metrics

MAX_SKIPPED = 10  # steps in a row with a gradient that is not finite, and a run gives up


class Diverged(RuntimeError):
    """Training met NaN or infinity; the message says where, and what to do."""

    exit_code = 4

    def __init__(self, step: int, what: str, saved: str = ""):
        super().__init__(
            f"step {step}: {what}. Lower the learning rate, clip the gradient "
            f"(optax.clip_by_global_norm) or look for bad rows in the data. {saved}"
        )
        self.step, self.what = step, what


def summary(step: int, window: Sequence[Metrics], in_a_row: int) -> tuple[dict[str, float], int]:
    """(row, in_a_row) of the steps up to `step` whose metrics are `window`.

    The row has the mean of each metric. The metric "skipped" says that a step, and "name/skipped"
    that the step of one player, changed nothing: of these the row has the sum, and what they
    announce is left out of the means ("name/..." for a player; NaN where nothing is left).

    `in_a_row` counts the steps up to the last in which something was skipped. Raises `Diverged`
    where it reaches `MAX_SKIPPED`, and for any other metric that is not finite.
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
