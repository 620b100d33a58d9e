"""`python -m benchmarks.layouts`, tiny: what it promises to write. No time is asserted."""

import json

import optax
import pytest

from benchmarks import layouts
from dgm_jax import learning, nets
from dgm_jax.learning import devices

TINY = {
    "dense training": {
        "MLP": lambda: layouts.through(nets.mlp(3, 2, hidden=()), layouts.numbers(4, 3))
    },
    "sampling": {"MAF": lambda: layouts.call(layouts.flow("maf", 3, 4), "sample", 4, None)},
}


def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "WORKS", TINY)
    args = ["--min-seconds", 0, "--repeats", 1, "--out", "l.json", "--figure", "l.png"]
    command("layouts", *args)
    rows = json.loads((tmp_path / "l.json").read_text())["rows"]
    assert [(r["what"], r["devices"]) for r in rows] == [
        ("MLP", 1), ("MLP", 2), ("MAF", 1), ("MAF", 2)
    ]  # fmt: skip
    assert all(r["ms"] > 0 and r["flops"] > 0 for r in rows)
    assert rows[0]["num_params"] == 3 * 2 + 2
    assert (tmp_path / "l.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("kind", [kind for kind in layouts.WORKS if kind.endswith("training")])
def test_the_rule_knows_the_kind_of_each_net_that_is_timed(monkeypatch, kind):
    monkeypatch.setattr(devices, "num_cores", lambda: 2)
    for what, build in layouts.WORKS[kind].items():
        work = build()
        algorithm = learning.gradient_descent(work.init, work.loss, optax.sgd(1e-3))
        mesh = learning.training_mesh(algorithm, work.batch)
        assert (mesh is None) == (kind == "dense training" or "coder" in what), what
