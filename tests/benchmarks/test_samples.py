"""Formulas of other libraries: each finds the same figure on the same features."""

import json

import jax
import pytest

from benchmarks import samples

CONFIG = samples.Config(frechet_dim=24, dim=8, rows=60, num_subsets=3, subset_size=30)


@pytest.mark.parametrize(("metric", "close"), [("frechet", 1e-8), ("neighbours", 1e-6)])
def test_the_peers_find_the_same(metric, close):
    found = {name: call() for name, call in samples.METRICS[metric](CONFIG).items()}
    assert "dgm_jax" in found and len(found) > 1
    for value in found.values():
        assert value == pytest.approx(found["dgm_jax"], rel=close)


def test_a_tiny_run_writes_its_rows(command, tmp_path):
    args = ["--metrics", "kernel", "--dim", 4, "--rows", 20, "--subset-size", 10]
    with jax.debug_key_reuse(False):  # each call draws again what it drew
        command("samples", *args, "--num-subsets", 2, "--repeats", 1, "--out", "q.json")
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert {r["library"] for r in rows} == {"dgm_jax", "torch-fidelity"}
    assert all(r["ms"] > 0 for r in rows)


def test_subsets_larger_than_a_set_are_refused(command, capsys):
    with pytest.raises(SystemExit):
        command("samples", "--rows", 100)
    assert "rows must be above 3 and at least subset_size=500; got 100" in capsys.readouterr().err
