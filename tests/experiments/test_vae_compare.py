"""The comparison of latent variable models, run small: what it writes and what it trains."""

import json

import jax
import numpy as np
import pytest

from dgm_jax import learning, objectives, runs
from experiments.vae import compare

TINY = {"num_steps": 40, "eval_every": 20, "hidden": (8, 8), "num_latents": 2, "test_samples": 4}
TINY |= {"num_components": 2, "channels": 2, "num_layers": 1, "num_pseudo_inputs": 3}
KEYS = {
    "test_bits_per_dim",
    "elbo_bits_per_dim",
    "active_units",
    "num_units",
    "num_params",
    "num_samples",
    "train_seconds",
}


def run(workdir, **options):
    config = compare.Config(workdir=workdir, progress=False, **TINY | options)
    return runs.keep(config, compare.main, show=compare.show)


def check(results, workdir):
    for name, r in results["models"].items():
        assert r.keys() >= KEYS and r["num_samples"] == 4
        assert r["elbo_bits_per_dim"] > r["test_bits_per_dim"] - 0.05
        kl = sum(value for what, value in r.items() if what.startswith("kl_"))
        assert r["elbo_nats"] == pytest.approx(r["reconstruction_nats"] - kl)
        assert r["elbo_bits_per_dim"] == pytest.approx(-r["elbo_nats"] / (64 * np.log(2)))
        assert (workdir / name / "metrics.jsonl").is_file()
    for picture in ("samples", "reconstructions", "latents", "traversals", "curves"):
        assert (workdir / f"{picture}.png").stat().st_size > 5000


def test_the_run_writes_results_and_pictures_and_a_model_that_scores_images(tmp_path, capsys):
    results = run(tmp_path, models=("vae",))
    assert json.loads((tmp_path / "results.json").read_text()) == results
    check(results, tmp_path)
    assert "the bound with 4 samples" in capsys.readouterr().out
    loaded = learning.load(tmp_path)
    images = np.full((3, 8, 8, 1), 5, np.int32)
    log_w = objectives.log_weights(loaded.model, loaded.params, jax.random.key(0), images)
    assert log_w.shape == (1, 3) and np.isfinite(log_w).all()


@pytest.mark.slow
def test_every_model_is_compared(tmp_path):
    """A learned prior needs another KL than N(0, I); groups of a ladder have one each."""
    results = run(tmp_path, models=compare.MODELS)
    check(results, tmp_path)
    assert list(results["models"]) == list(compare.MODELS)
    assert {"kl_z_1", "kl_z_2"} <= results["models"]["ladder"].keys()


@pytest.mark.parametrize("name", compare.SETTINGS)
def test_what_is_given_holds_for_every_model_and_what_is_not_is_told_by_settings(name):
    settings = compare.of_model(compare.Config(num_steps=7), name)
    assert settings.num_steps == 7
    assert settings.hidden == compare.SETTINGS[name]["hidden"]
    assert None not in (settings.dropout, settings.batch_size, settings.num_latents)


def test_bits_have_a_coin_and_vectors_have_no_pixelvae(tmp_path):
    assert compare.head(compare.Config(), 2).num_params == 1
    assert compare.head(compare.Config(num_components=4), 17).num_params == 12
    config = compare.Config(data="wine", workdir=tmp_path)
    with pytest.raises(ValueError, match="has no rows of levels"):
        compare.main(config)
