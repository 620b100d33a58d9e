import json

import pytest


def test_a_tiny_run_is_of_equal_steps_and_writes_its_rows(command, tmp_path):
    args = ["--num-rows", 300, "--dim", 3, "--num-components", 3, "--dtypes", "float64"]
    args += ["--chunks", 100, "--repeats", 1, "--out", "q.json", "--figure", "q.png"]
    command("mixtures", *args)
    rows = json.loads((tmp_path / "q.json").read_text())["rows"]
    assert [(r["kind"], r["library"]) for r in rows] == [
        (kind, library) for kind in ("em", "cavi") for library in ("dgm_jax", "scikit-learn")
    ]
    for r in rows[::2]:
        assert r["likelihood_gap"] < 1e-9 and r["means_gap"] < 1e-7 and r["ms"] > 0
    assert rows[0]["ratio"] == pytest.approx(rows[1]["ms"] / rows[0]["ms"])
    assert (tmp_path / "q.png").read_bytes()[:4] == b"\x89PNG"
