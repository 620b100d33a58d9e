"""`python -m benchmarks.passes`, tiny: what it promises to write. No time is asserted."""

import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks import passes
from dgm_jax.nets import INVERSES
from dgm_jax.plots import QUIET

ROW = {
    "model",
    "dim",
    "batch",
    "inverse",
    "devices",
    "density_passes",
    "sample_passes",
    "density_ms",
    "dense_density_ms",
    "gradient_ms",
    "sample_ms",
    "density_flops",
    "sample_flops",
}
SPREADS = {
    f"{way}_{end}_ms"
    for way in ("density", "dense_density", "gradient", "sample")
    for end in ("low", "high")
}
TINY = ["--batch", 4, "--num-layers", 1, "--hidden", 8, "--min-seconds", 0, "--repeats", 2]


def test_a_tiny_run_writes_its_rows_its_picture_and_a_record(command, tmp_path, traced):
    args = ["--dims", 3, "--inverse", "unit_once", "naive", *TINY, "--out", "p.json"]
    command("passes", *args, "--figure", "p.png", "--record", "r.md", "--note", "a test")
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["benchmark"] == "benchmarks.passes"
    assert found["machine"]["jax"] == jax.__version__
    assert all(set(row) == ROW | SPREADS for row in found["rows"])
    assert [(row["model"], row["inverse"]) for row in found["rows"]] == [
        ("maf", "unit_once"),
        ("maf", "naive"),
        ("iaf", "unit_once"),
        ("iaf", "naive"),
        ("realnvp", "closed_form"),
    ]
    assert all(row[what] > 0 for row in found["rows"] for what in ROW if what.endswith("_ms"))
    maf, naive = found["rows"][:2]
    assert (maf["density_passes"], maf["sample_passes"]) == (1, 1)
    assert (naive["density_passes"], naive["sample_passes"]) == (1, 3)
    log_det = 2 * 4 * 3  # of the density alone: a product of [4, 3] with ones
    assert naive["sample_flops"] == 3 * (naive["density_flops"] - log_det)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    record = (tmp_path / "r.md").read_text()
    assert "benchmarks.passes" in record and "a test" in record and "| maf | 3 |" in record


def test_above_its_limit_the_naive_inverse_is_not_timed_nor_made_up():
    config = passes.Config(naive_limit=4)
    assert passes.variants(config, "maf", 4) == ("unit_once", "naive")
    assert passes.variants(config, "maf", 5) == ("unit_once",)
    assert passes.variants(config, "realnvp", 5) == ("closed_form",)


@pytest.mark.parametrize("name", [pytest.param("maf", marks=pytest.mark.slow), "iaf"])
def test_every_inverse_gives_the_same_density_and_samples(name):
    """So that what is timed is the same function, and not its identity at the start."""
    x, results = jax.random.normal(jax.random.key(0), (4, 5)), []
    for inverse in INVERSES:
        model = passes.build(name, 5, inverse, num_layers=2, hidden=(16, 16))
        params = passes.parameters(model, jax.random.key(1))
        density, sample = (passes.function(model, way, 4) for way in ("density", "sample"))
        log_prob = jax.jit(density)(params, x, None)
        results.append((log_prob, jax.jit(sample)(params, x, jax.random.key(2))))
    for log_prob, sample in results[1:]:
        assert jnp.allclose(log_prob, results[0][0], atol=1e-5)
        assert jnp.allclose(sample, results[0][1], atol=1e-5)
    assert not jnp.allclose(results[0][1], jax.random.normal(jax.random.key(2), (4, 5)), atol=1e-3)


def test_the_passes_of_a_fixed_point_are_counted_on_the_data():
    """At most d, and one more that makes the last f, as in the naive inverse."""
    config = passes.Config(num_layers=1, hidden=(8, 8), batch=16)
    for name in ("maf", "iaf"):
        assert 2 <= passes.counted_passes(config, name, 4, "fixed_point") <= 5
    assert passes.counted_passes(config, "maf", 4, "naive") == 4 + 1


def test_the_picture_has_the_lecture_and_each_inverse_and_stops_where_the_timing_stops():
    config = passes.Config(dims=(8, 64), inverse=("unit_once", "naive"))

    def row(dim, inverse, ms):
        return {
            "model": "maf",
            "dim": dim,
            "inverse": inverse,
            "sample_ms": ms,
            "density_ms": 1.0,
            "dense_density_ms": 2.0,
        }

    rows = [row(8, "unit_once", 2.0), row(64, "unit_once", 3.0), row(8, "naive", 20.0)]
    figure = passes.draw(config, {"rows": rows})
    lines = {tuple(line.get_ydata()) for line in figure.axes[0].lines}
    assert {(8.0, 64.0), (1.0, 1.5), (10.0,)} <= lines
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "MAF sampling, naive (to d = 8)" in words
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["8", "64"]
    assert any(line.get_color() == QUIET for line in figure.axes[0].lines)
