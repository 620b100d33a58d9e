"""`python -m benchmarks.sampling`, tiny: what it promises to write. No time is asserted."""

import json

from benchmarks import sampling


def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path):
    args = ["--dims", 6, "--models", "made", "gru", "pixelcnn", "--hidden", 4, "--batch", 2]
    args += ["--min-seconds", 0, "--repeats", 1, "--out", "s.json", "--figure", "s.png"]
    done = command("sampling", *args)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["made", "gru"]  # 6 pixels are no picture of SHAPES
    for row in rows:
        assert all(row[f"{way}_ms"] > 0 for way in ("density", "sample", "naive"))
    gru = rows[1]
    assert gru["sample_flops"] == gru["density_flops"] > 0
    assert gru["naive_flops"] == 6 * gru["density_flops"]
    assert "sampling / density" in done.stdout
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"


def test_above_its_limit_the_naive_sampler_is_counted_and_not_timed():
    config = sampling.Config(models=("gru",), hidden=4, batch=2, naive_limit=3)
    made, _ = sampling.programs(config, "gru", 4)
    program, count = made["naive"]
    assert program is None and count == 4 * made["density"][1]


def test_nets_meet_the_sizes_that_they_fit():
    assert sampling.fits("pixelcnn", 3072) and not sampling.fits("pixelcnn", 3000)
    assert sampling.fits("wavenet", 16000) and not sampling.fits("made", 16000)
