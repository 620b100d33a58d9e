"""The main job, run small: what it writes, and that it beats what it should when it is not."""

import gzip
import json
import struct

import jax
import numpy as np
import pytest

from dgm_jax import data, learning, runs
from experiments.flows import compare

TINY = {"num_steps": 4, "eval_every": 2, "hidden": (8,), "num_layers": 1, "timing_repeats": 1}
KEYS = {
    "test_nats",
    "test_bits_per_dim",
    "test_bits_per_dim_stderr",
    "num_params",
    "train_seconds",
    "density_passes",
    "sample_passes",
    "density_ms",
    "sample_ms",
}


def run(workdir, **options):
    config = compare.Config(workdir=workdir, progress=False, **TINY | options)
    return runs.keep(config, compare.main, show=compare.show)


def test_the_run_writes_results_pictures_and_says_when_it_is_done(tmp_path, capsys):
    results = run(tmp_path, models=("iaf", "realnvp"))
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert list(results["models"]) == ["iaf", "realnvp"]
    for name, model in results["models"].items():
        assert model.keys() >= KEYS
        assert model["test_bits_per_dim"] == pytest.approx(
            -model["test_nats"] / (64 * np.log(2)), rel=1e-5
        )
        assert (tmp_path / name / "metrics.jsonl").is_file()
        assert model["round_trip"] < 1e-4 and ("to_naive" in model) == (name != "realnvp")
        assert model.get("to_naive", 0) < 1e-4
    loaded = learning.load(tmp_path / "realnvp")  # scores the digits as they are
    test = data.load("digits").test.reshape(-1, 64)
    score = jax.jit(lambda params: loaded.model.dist(params).log_prob(test).mean())
    scored = results["models"]["realnvp"]["test_nats"]
    assert score(loaded.params) == pytest.approx(scored, rel=5e-3)  # up to the noise
    passes = {n: (m["density_passes"], m["sample_passes"]) for n, m in results["models"].items()}
    assert passes == {"iaf": (64, 1), "realnvp": (1, 1)}
    # The figures of the two baselines on this split; 2.965 with one ridge for all pixels.
    assert results["baselines"]["histogram"]["test_bits_per_dim"] == pytest.approx(2.431, abs=1e-3)
    assert results["baselines"]["gaussian"]["test_bits_per_dim"] == pytest.approx(2.955, abs=3e-3)
    for picture in ("samples.png", "curves.png", "passes.png"):
        assert (tmp_path / picture).stat().st_size > 5000
    assert "64 passes" in capsys.readouterr().out
    assert (
        run(tmp_path, models=("iaf", "realnvp")) == results
        and "done already" in capsys.readouterr().out
    )


@pytest.mark.slow
def test_other_sets_are_read_from_the_folder_that_is_named(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 12)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        header = struct.pack(">IIII", 0x803, n, 28, 28)
        packed = gzip.compress(header + images.tobytes())
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(packed)
        labels = struct.pack(">II", 0x801, n) + bytes(n)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    options = {"data": "mnist", "data_dir": tmp_path, "models": ("realnvp",), "batch_size": 10}
    results = run(tmp_path / "run", **options)
    assert results["models"]["realnvp"]["test_bits_per_dim"] > 7.9  # noise costs 8 bits


def test_a_set_without_vectors_is_refused_by_name(tmp_path, capsys):
    (tmp_path / "tiny_shakespeare").mkdir()
    text = "First Citizen:\nBefore we proceed " * 9
    (tmp_path / "tiny_shakespeare" / "input.txt").write_text(text)
    with pytest.raises(SystemExit) as leaving:
        run(tmp_path / "run", data="tiny_shakespeare", data_dir=tmp_path)
    assert leaving.value.code == 2
    assert "tiny_shakespeare" in capsys.readouterr().err
