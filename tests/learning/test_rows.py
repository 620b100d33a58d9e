import math

import numpy as np
import pytest

from dgm_jax.learning.rows import (
    MAX_SKIPPED,
    Diverged,
    mostly_clipped,
    often_skipped,
    summary,
)


def test_a_row_has_the_means_of_the_steps_since_the_last():
    window = [{"loss": np.float32(x), "skipped": 0} for x in (1, 2, 6)]
    row, in_a_row = summary(30, window, 2)
    assert (row, in_a_row) == ({"step": 30, "loss": 3.0, "skipped": 0}, 0)


def test_a_skipped_step_is_left_out_of_every_mean():
    nan = {"loss": math.nan, "part/kl": math.nan, "skipped": 1}
    window = [{"loss": 1.0, "part/kl": 5.0, "skipped": 0}, nan]
    assert summary(2, window, 0) == ({"step": 2, "loss": 1.0, "part/kl": 5.0, "skipped": 1}, 1)
    row, in_a_row = summary(2, [nan, nan], 3)
    assert math.isnan(row["loss"]) and row["skipped"] == 2 and in_a_row == 5


def test_what_a_player_skipped_is_left_out_of_its_own_means_only():
    window = [
        {"a/loss": 1.0, "a/skipped": 0, "ab/loss": 2.0, "ab/skipped": 0},
        {"a/loss": math.nan, "a/skipped": 2, "ab/loss": 4.0, "ab/skipped": 0},
    ]
    row, in_a_row = summary(8, window, 0)
    assert row == {"step": 8, "a/loss": 1.0, "a/skipped": 2, "ab/loss": 3.0, "ab/skipped": 0}
    assert in_a_row == 1
    window[1]["ab/loss"] = math.inf
    with pytest.raises(Diverged, match="step 8: ab/loss is inf"):
        summary(8, window, 0)


@pytest.mark.parametrize("name", ["skipped", "critic/skipped"])
def test_many_skipped_steps_in_a_row_are_the_end(name):
    window = [{name: 1}] * (MAX_SKIPPED - 1)
    assert summary(20, window, 0)[1] == MAX_SKIPPED - 1
    assert summary(20, [{name: 0}, *window], 5)[1] == MAX_SKIPPED - 1
    with pytest.raises(Diverged, match="step 14: the last 10 steps"):  # the third of 12..20
        summary(20, window, MAX_SKIPPED - 3)


def test_a_metric_that_is_no_scalar_is_named():
    with pytest.raises(ValueError, match=r"metric 'kl' must be a scalar; got shape \(3,\)"):
        summary(1, [{"kl": np.zeros(3)}], 0)


def test_updates_that_are_often_skipped_are_told_by_their_player():
    rows = [{"step": 50, "skipped": 0, "a/skipped": 1}, {"step": 100, "skipped": 1, "a/skipped": 3}]
    (said,) = often_skipped(rows)  # one step of a hundred is not often
    assert said.startswith("a/skipped: 4 updates in 100 steps")
    assert often_skipped([]) == often_skipped([{"step": 0, "far": 2.0}]) == []


def test_clipping_is_told_where_most_gradients_are_longer():
    rows = [{"step": 0, "far": 1.0}, *({"step": i, "grad_norm": float(i)} for i in range(1, 6))]
    assert mostly_clipped(rows, 3.0) is None and mostly_clipped([], 3.0) is None
    assert "norm of 2.9 in most steps: its norm was 3 (median)" in mostly_clipped(rows, 2.9)
