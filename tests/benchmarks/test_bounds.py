"""`python -m benchmarks.bounds`: the decoder is not evaluated more often by DReG than by IWAE."""

import json

from benchmarks import bounds

SMALL = {"batch": 4, "dim": 40, "hidden": (16,), "latents": 2, "repeats": 1, "min_seconds": 0.0}


def test_with_many_samples_the_arithmetic_of_dreg_is_that_of_iwae(traced):
    """K decoders outweigh the one more pass of the encoder as traced."""
    made = bounds.steps(bounds.Config(bounds=("iwae", "dreg"), **SMALL), 50)
    (_, iwae), (_, dreg) = made.values()
    assert iwae < dreg < 1.02 * iwae


def test_a_tiny_run_writes_its_rows_and_its_picture(command, tmp_path, traced):
    args = ["--bounds", "iwae", "dreg", "--samples", 2, 3, "--batch", 2, "--dim", 4, "--hidden", 3]
    args += ["--latents", 2, "--repeats", 1, "--min-seconds", 0]
    command("bounds", *args, "--out", "b.json", "--figure", "b.png")
    rows = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert [(r["bound"], r["samples"]) for r in rows] == [
        (name, num) for num in (2, 3) for name in ("iwae", "dreg")
    ]
    assert rows[0]["time_ratio"] == 1 and all(row["ms"] > 0 for row in rows)
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
