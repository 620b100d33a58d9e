"""Mixtures, run small: of numbers, of levels, and of bits."""

import numpy as np
import pytest

from dgm_jax import learning, runs
from experiments.inference import mixtures

TINY = {"num_steps": 3, "num_restarts": 1, "floors": (0.1,), "smoothings": (1.0,)}


def run(workdir, **options):
    config = mixtures.Config(workdir=workdir, progress=False, **TINY | options)
    return config, runs.keep(config, mixtures.main, show=mixtures.show)


def rows(folder, name, x):
    np.save(folder / name, x)
    return str(folder / name)


def test_numbers_are_learned_beside_scikit_learn_and_the_model_is_kept(tmp_path, capsys):
    """Two clusters, of which one Gaussian knows nothing; the kept model scores as it is told."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)) * 0.3 + 5 * rng.integers(2, size=(200, 1))
    data = rows(tmp_path, "two.npy", x.astype(np.float32))
    options = {"models": ("full", "variational"), "num_components": (2,)}
    _, found = run(tmp_path / "run", data=data, **options)
    gaussian = found["baselines"]["Gaussian"]["test_nats"]
    for name in ("full", "variational"):
        assert found["models"][name]["test_nats"] > gaussian + 0.5
        theirs = found["scikit-learn"][name]["test_nats"]
        assert found["models"][name]["test_nats"] == pytest.approx(theirs, abs=0.2)
    loaded = learning.load(tmp_path / "run" / "full")
    score = loaded.model.dist(loaded.params).log_prob(x.astype(np.float32)).mean()
    assert score == pytest.approx(found["models"]["full"]["valid_nats"], abs=0.7)
    assert "variational, scikit-learn" in capsys.readouterr().out
    assert (tmp_path / "run" / "bounds.png").stat().st_size > 2000


def test_the_number_of_components_of_bits_is_chosen_on_the_validation_split(tmp_path, capsys):
    """Three patterns with noise: one component is too few."""
    rng = np.random.default_rng(1)
    probs = rng.choice([0.05, 0.95], (3, 12))
    x = rng.binomial(1, probs[rng.integers(3, size=400)]).astype(np.uint8)
    data = rows(tmp_path, "bits.npy", x)
    _, found = run(tmp_path / "run", data=data, num_components=(1, 3), num_steps=20)
    row = found["models"]["mixture of Bernoullis"]
    assert row["num_components"] == 3
    coins = found["baselines"]["a coin for each bit"]["test_nats"]
    assert row["test_nats"] > coins + 2
    assert (tmp_path / "run" / "components.png").stat().st_size > 2000


@pytest.mark.slow
def test_levels_are_scored_with_noise_and_means_are_drawn(tmp_path):
    options = {"models": ("diagonal",), "num_components": (5,), "scikit_learn": False}
    _, found = run(tmp_path / "run", num_steps=30, num_restarts=1, max_rows=600, **options)
    assert 2 < found["models"]["diagonal"]["test_bits_per_dim"] < 2.9
    assert (tmp_path / "run" / "means.png").stat().st_size > 2000


def test_what_does_not_fit_is_refused_in_one_line(tmp_path):
    bits = rows(tmp_path, "bits.npy", np.random.default_rng(0).integers(2, size=(40, 3)))
    for options, message in (
        ({"models": ("full",), "data": bits}, "models='full' is not for data=.*, which are bits"),
        ({"models": ("bernoulli",), "data": "wine"}, "which are numbers; try full, tied"),
        ({"num_components": (100,), "data": bits}, "num_components must be at most 32, the rows"),
        ({"floors": ()}, "floors is empty"),
    ):
        config = mixtures.Config(workdir=tmp_path / "run", progress=False, **TINY | options)
        with pytest.raises(ValueError, match=message):
            mixtures.main(config)
