"""The benchmark of continuous flows: its contestants agree, and it writes what it found."""

import importlib.util
import json

import jax
import numpy as np
import pytest

from benchmarks import continuous

CONFIG = continuous.Config(hidden=(6, 5), batch=6)


@pytest.mark.slow
def test_the_two_exact_traces_are_one_density_and_the_estimate_another():
    x = jax.random.normal(jax.random.key(1), (6, 3))
    exact, by_autodiff, estimate = (
        continuous.ours(CONFIG, trace, x)[0]
        for trace in ("exact", "exact by autodiff", "hutchinson")
    )
    np.testing.assert_allclose(exact.density(), by_autodiff.density(), rtol=1e-4)
    assert np.abs(np.asarray(exact.density() - estimate.density())).max() > 1e-3


@pytest.mark.filterwarnings("ignore")  # theirs
def test_zuko_has_a_continuous_flow_of_the_same_kind():
    if importlib.util.find_spec("zuko") is None:
        pytest.skip("zuko is not installed")
    x = jax.random.normal(jax.random.key(1), (6, 3))
    peer = continuous.zuko(CONFIG, "zuko", x)
    assert np.abs(np.asarray(peer.round_trip()) - x).max() < 1e-3
    assert np.asarray(peer.density()).shape == (6,)


@pytest.mark.slow
def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path):
    args = ["--traces", "exact", "--dims", 2, "--batch", 4, "--hidden", 4, 4]
    args += ["--min-seconds", 0, "--repeats", 1, "--tolerance", 1e-3]
    command("continuous", *args, "--out", "q.json", "--figure", "q.png")
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert [(r["trace"], r["way"]) for r in rows] == [("exact", way) for way in continuous.WAYS]
    assert all(r["ms"] > 0 and r["round_trip"] < 1e-2 for r in rows)
    assert (tmp_path / "q.png").read_bytes()[:4] == b"\x89PNG"
