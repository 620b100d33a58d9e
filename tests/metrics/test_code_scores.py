"""All metrics of codes at once."""

import jax
import numpy as np
import pytest

from dgm_jax import metrics
from tests.metrics.factors import GRID, noise, scaled, with_more


def test_each_is_told_by_its_name_as_by_its_own_function():
    codes, keys = with_more(scaled(GRID), noise(1)), jax.random.split(jax.random.key(0), 5)
    found = metrics.code_scores(jax.random.key(0), codes, GRID)
    assert found["mig"] == metrics.mig(codes, GRID).score
    assert found["modularity"] == metrics.modularity(codes, GRID).score < 0.95
    unbiased = {"num_bins": 20, "binning": "quantile", "num_shuffles": 20}
    assert found["mig_adjusted"] == metrics.mig(codes, GRID, **unbiased).score
    assert found["modularity_adjusted"] == metrics.modularity(codes, GRID, **unbiased).score > 0.99
    assert found["sap"] == metrics.sap(keys[4], codes, GRID).score
    for name in ("betavae_score", "factorvae_score", "dci", "completeness", "informativeness"):
        assert found[name] == pytest.approx(1, abs=1e-6)
    assert found["explicitness"] > 0.95 and np.isfinite(list(found.values())).all()


def test_a_predictor_of_ones_own_is_taken():
    predict = lambda codes, states, test_codes: (np.ones(4), np.zeros(len(test_codes)))
    found = metrics.code_scores(jax.random.key(0), scaled(GRID), GRID, predictor=predict)
    assert found["dci"] == pytest.approx(0, abs=1e-6)
