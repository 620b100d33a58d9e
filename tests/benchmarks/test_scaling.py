"""`python -m benchmarks.scaling`: one size varied at a time. No time is asserted."""

import json

import pytest

from benchmarks import scaling


def test_each_size_is_varied_alone_and_layers_also_unrolled():
    config = scaling.Config(dims=(8, 64), layers=(2, 5))
    base = scaling.Case(64, 512, 2, 256, 5)
    assert scaling.cases(config, "dim") == [base._replace(dim=8), base]
    assert scaling.cases(config, "num_layers") == [
        base._replace(num_layers=2),
        base,
        base._replace(num_layers=2, unroll=True),
        base._replace(unroll=True),
    ]


def test_the_slope_is_the_exponent():
    rows = [{"value": v, "density_ms": 3.0 * v**2} for v in (2, 4, 16)]
    assert scaling.slope(rows, "density") == pytest.approx(2.0)
    assert scaling.slope(rows[:1], "density") is None


def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path):
    args = ["--sizes", "devices", "--dim", 3, "--width", 8, "--depth", 1, "--batch", 4]
    args += ["--num-layers", 1, "--devices", 1, 2]
    args += ["--min-seconds", 0, "--repeats", 1, "--out", "s.json", "--figure", "s.png"]
    command("scaling", *args)
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert [(r["vary"], r["value"]) for r in rows] == [("devices", 1), ("devices", 2)]
    assert all(r[f"{way}_ms"] > 0 and r[f"{way}_flops"] > 0 for r in rows for way in scaling.WAYS)
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
