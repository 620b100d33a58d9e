"""`python -m benchmarks.sampling`, tiny: what it promises to write. No time is asserted."""

import json

import jax
import jax.numpy as jnp

from benchmarks import passes, sampling
from dgm_jax import autoregressive as ar


def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path, capsys, traced):
    args = ["--dims", 6, "--models", "made", "gru", "pixelcnn", "--hidden", 4, "--batch", 2]
    args += ["--min-seconds", 0, "--repeats", 1, "--out", "s.json", "--figure", "s.png"]
    command("sampling", *args)
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["made", "gru"]  # 6 pixels are no picture of SHAPES
    for row in rows:
        assert all(row[f"{way}_ms"] > 0 for way in ("density", "sample", "naive"))
    gru = rows[1]
    assert gru["sample_flops"] == gru["density_flops"] > 0
    assert gru["naive_flops"] == 6 * gru["density_flops"]
    assert "sampling / density" in capsys.readouterr().out
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"


def test_above_its_limit_the_naive_sampler_stops_early_and_is_scaled(traced):
    limits = {"naive_limit": 3, "naive_passes": 2, "repeats": 1, "min_seconds": 0.0}
    config = sampling.Config(models=("gru",), hidden=4, batch=2, **limits)
    made, _ = sampling.programs(config, "gru", 4)
    assert made["naive"][1] == 2 * made["density"][1]
    row = sampling.row(config, "gru", 4)
    assert row["timed_passes"] == 2 and row["naive_flops"] == 4 * row["density_flops"]
    assert "*" in sampling.tables({"rows": [row]})[0][0]["d passes ms"]


def test_the_naive_sampler_that_is_timed_gives_the_cached_samples():
    net, conditional = sampling.build(sampling.Config(hidden=4, batch=2), "gru", 6)
    model = ar.density(net, conditional, 6)
    params = passes.parameters(model, jax.random.key(0))
    naive = sampling.first_values(net, conditional, 6)
    key = jax.random.key(1)
    expected = model.dist(params).sample(seed=key, sample_shape=2)
    assert (naive(params, jnp.zeros_like(expected), key) == expected).all()


def test_nets_meet_the_sizes_that_they_fit():
    assert sampling.fits("pixelcnn", 3072) and not sampling.fits("pixelcnn", 3000)
    assert sampling.fits("wavenet", 16000) and not sampling.fits("made", 16000)
