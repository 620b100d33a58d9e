"""Linear models of the digits: four ways to one optimum, and likelihoods beside the truth."""

import json

import numpy as np
import pytest

from dgm_jax import runs
from experiments.inference import ppca

TINY = {
    **ppca.QUICK,
    "num_latents": 5,
    "em_steps": 60,
    "num_steps": 4,
    "eval_every": 2,
    "dims": (2,),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    config = ppca.Config(workdir=tmp_path_factory.mktemp("ppca"), progress=False, **TINY)
    return runs.keep(config, ppca.main, show=ppca.show), config.workdir


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_closed_form_em_and_scikit_learn_agree_and_no_step_of_em_falls(results):
    found, workdir = results
    assert json.loads((workdir / "results.json").read_text()) == found
    models = found["models"]
    best = models["ppca"]["train_nats"]
    assert models["sklearn-ppca"]["train_nats"] == pytest.approx(best, abs=1e-3)
    assert models["sklearn-ppca"]["covariance_off"] < 2e-3  # n - 1 in the place of n
    assert best - 0.5 < models["ppca-em"]["train_nats"] < best + 1e-3
    factors = models["factor-analysis"], models["sklearn-factor-analysis"]
    assert min(f["train_nats"] for f in factors) > best  # it has more parameters
    for name in ("ppca-em", "factor-analysis"):
        assert models[name]["least_rise"] > -1e-3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_estimates_stand_beside_the_truth(results):
    (told,) = results[0]["sampling"].values()
    assert {"annealed", "reverse annealed", "naive 10", "importance 100"} < told.keys()
    assert abs(told["importance 100"]["off_nats"]) < 0.2 < abs(told["naive 10"]["off_nats"])
    assert told["naive 10"]["told"].endswith("naive Monte Carlo, K = 10)")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_pictures_are_there(results):
    for picture in ("spectrum.png", "active.png", "latents.png", "sampling.png"):
        assert (results[1] / picture).stat().st_size > 5000


def test_the_likelihood_is_in_the_units_of_the_data():
    rows = {"train": np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)}
    scores = ppca.Scores(rows | {"valid": rows["train"], "test": rows["train"]}, 2.0)
    unit = scores.of(np.zeros(3), np.eye(3), "train")
    wanted = -0.5 * (np.float64(rows["train"]) ** 2).sum(1) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(unit, wanted - 3 * np.log(2))


def test_scikit_learn_told_in_our_form_has_the_covariance_that_it_says():
    from sklearn.decomposition import PCA

    x = np.random.default_rng(1).normal(size=(60, 4)) @ np.diag([3, 2, 1, 0.5])
    found = ppca.covariance(ppca.by_peer("sklearn-ppca", x, 2))
    np.testing.assert_allclose(found, PCA(2).fit(x).get_covariance(), atol=1e-4)
    factors = ppca.covariance(ppca.by_peer("sklearn-factor-analysis", x, 1))
    np.testing.assert_allclose(np.diag(factors), x.var(0), rtol=0.02)  # as at any maximum


def test_too_many_latents_are_refused(tmp_path):
    config = ppca.Config(workdir=tmp_path, progress=False, num_latents=64)
    with pytest.raises(ValueError, match="dims and num_latents must be below the 64 numbers"):
        ppca.main(config)
