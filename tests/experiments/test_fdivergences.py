"""The experiment on f-divergences: its quadrature against closed forms, and a short run."""

import json
import math

import jax
import numpy as np
import pytest

from dgm_jax import objectives, runs
from experiments.gans import fdivergences as experiment


def test_the_best_gaussian_of_a_kl_has_the_moments_of_the_mixture():
    mean, scale, lowest = experiment.best(objectives.f_divergence("kl"))
    wanted = (experiment.WEIGHTS * experiment.MEANS).sum()
    square = (experiment.WEIGHTS * (experiment.SCALES**2 + experiment.MEANS**2)).sum()
    np.testing.assert_allclose([mean, scale], [wanted, np.sqrt(square - wanted**2)], rtol=1e-5)
    assert 0.2 < lowest < 0.4


def test_a_bound_is_the_divergence_at_the_best_critic_and_below_it_elsewhere():
    kl = objectives.f_divergence("kl")
    with jax.enable_x64(True):
        log_ratio = experiment.log_data(experiment.X) - experiment.log_normal(
            experiment.X, 0.5, 2.0
        )
        critic = np.asarray(kl.critic(log_ratio))
    tight, divergence = experiment.bound(kl, critic, 0.5, 2.0)
    np.testing.assert_allclose(tight, divergence, rtol=1e-6)
    assert experiment.bound(kl, critic - 0.3, 0.5, 2.0)[0] < divergence - 0.01


def test_the_distance_of_sorted_numbers_is_the_cheapest_transport():
    x, y = np.array([3.0, 0.0, 1.0]), np.array([2.0, 0.5, 2.5])
    orders = ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    cheapest = min(np.abs(x - y[order]).mean() for order in orders)
    np.testing.assert_allclose(experiment.sorted_distance(x, y), cheapest)


def test_apart_the_transport_grows_and_jensen_shannon_does_not():
    """F6, of Gaussians of deviation 0.1: W_1 = |θ|, KL = θ² / (2 · 0.1²)."""
    found = experiment.distances([0.0, 0.3, 1.0])
    np.testing.assert_allclose(found["W_1"], [0, 0.3, 1], atol=1e-6)
    np.testing.assert_allclose(found["KL"], [0, 4.5, 50], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found["JSD"][2], math.log(2), rtol=1e-5)


@pytest.mark.slow
def test_a_run_tells_bounds_from_below_and_draws(tmp_path, capsys):
    options = {"num_steps": 100, "batch_size": 32, "transport_steps": 20, "progress": False}
    config = experiment.Config(workdir=tmp_path, divergences=("kl", "gan"), **options)
    found = runs.keep(config, experiment.main, show=experiment.show)
    for row in found["divergences"].values():
        assert row["bound"] < row["divergence"] and row["lowest"] <= row["divergence"] + 1e-9
    line = found["one_dimension"]
    np.testing.assert_allclose(line["sorted"], line["integral"], rtol=0.02)
    assert json.loads((tmp_path / "results.json").read_text())
    assert "short by" in capsys.readouterr().out
    for picture in ("fits", "distances", "transport"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 3000
