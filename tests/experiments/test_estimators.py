"""The experiment on gradients: its closed forms against quadrature, and a short run."""

import json
import math

import numpy as np
import pytest

from dgm_jax import runs
from experiments.inference import estimators


@pytest.mark.parametrize("dim", [1, 2])
def test_closed_forms_are_those_of_quadrature(dim):
    """Over a grid of ε in as many dimensions; of leave-one-out by its formula for pairs, K = 2."""
    config = estimators.Config(others=2)
    axis = np.linspace(-9, 9, 361)
    eps = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), -1).reshape(-1, dim)
    p = np.exp(-0.5 * (eps**2).sum(-1))
    p /= p.sum()
    f, first = ((config.mean + eps) ** 2).sum(-1), eps[:, 0]
    mean = lambda value: (p * value).sum()
    found = estimators.closed_forms(config, dim)

    def by_score(baseline):
        g = (f - baseline) * first
        return mean(g**2) - mean(g) ** 2

    np.testing.assert_allclose(found["score function"], by_score(0.0))
    best = estimators.best_baseline(config, dim)
    np.testing.assert_allclose(found["best constant baseline"], by_score(best))
    assert by_score(best) < min(by_score(best - 0.1), by_score(best + 0.1))
    # of a pair g = ½ (f - f') (ε - ε'), whose square is a sum of moments
    moment = lambda i, j: mean((f - mean(f)) ** i * first**j)
    second = (2 * moment(2, 2) + 2 * moment(2, 0) * moment(0, 2) + 4 * moment(1, 1) ** 2) / 4
    np.testing.assert_allclose(found["leave one out"], 2 * (second - moment(1, 1) ** 2))


def test_the_ratio_is_that_of_a_known_signal_and_nothing_where_there_is_none():
    noise = np.random.default_rng(0).normal(size=(40_000, 5))
    np.testing.assert_allclose(estimators.ratio(0.05 + noise), 0.05, rtol=0.1)
    assert not estimators.ratio(noise) > 0.01  # NaN, or a rest of the noise
    counts = (1, 10, 100, 1000)
    np.testing.assert_allclose(
        estimators.power(counts, [9.0, 10.0, 100**0.5 * 10**0.5, 100.0]), 0.5
    )
    assert math.isnan(estimators.power(counts, [math.nan] * 4))


@pytest.mark.slow
def test_a_short_run_measures_the_closed_forms(tmp_path, capsys):
    small = {"dims": (1, 3), "scales": (0.5, 1.0), "counts": (2, 16), "latents": 2}
    config = estimators.Config(workdir=tmp_path, num_draws=4000, **small)
    found = runs.keep(config, estimators.main, show=estimators.show)
    for line in (*found["variance"].values(), *found["landing"].values()):
        np.testing.assert_allclose(line["measured"], line["closed_form"], rtol=0.25, atol=1e-9)
    assert found["powers"]["dreg"]["mu"] > 0.2 and found["powers"]["iwae"]["b"] < -0.2
    for picture in ("variance.png", "snr.png"):
        assert (tmp_path / picture).stat().st_size > 10_000
    assert "power of K" in capsys.readouterr().out
    json.loads((tmp_path / "results.json").read_text())
