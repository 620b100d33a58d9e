"""Estimates of the parts of the KL beside each other."""

import json

import numpy as np
import pytest

from dgm_jax import checks, runs
from experiments.disentangled import estimates


def test_the_published_matrix_is_nearly_plain_and_not_stratified(tmp_path):
    config = estimates.Config(
        workdir=tmp_path, num_rows=2000, batch_sizes=(64,), num_codes=200, num_batches=20
    )
    found = estimates.fit(config, 10, 0.3)
    each = found["batches"]["64"]
    tc = {name: r["total_correlation"] for name, r in each.items()}
    assert tc["first column"] == pytest.approx(tc["plain"], abs=0.3)
    assert tc["stratified"] < tc["plain"] - 2
    assert tc["weighted"] == pytest.approx(tc["plain"] + 9 * np.log(2000), abs=0.5)
    assert tc["stratified"] == pytest.approx(found["exact"]["total_correlation"], abs=0.8)


def test_a_batch_of_two_is_refused():
    with pytest.raises(checks.InputError, match="batch_sizes must be from 3"):
        estimates.main(estimates.Config(batch_sizes=(2,)))


@pytest.mark.slow
def test_a_short_run_writes_results_and_a_picture(tmp_path):
    config = estimates.Config(workdir=tmp_path, progress=False, **estimates.QUICK)
    found = runs.keep(config, estimates.main, show=estimates.show)
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert (tmp_path / "estimates.png").stat().st_size > 1000
