"""Modularity and explicitness, by the published formulas, and where the truth is known."""

import jax
import numpy as np
import pytest

from dgm_jax.arrays import on_host_generator
from dgm_jax.metrics import explicitness, modularity
from dgm_jax.metrics.codes import train_and_test
from tests.metrics.factors import GRID, MIXED, SQUARE, noise, scaled, turned, with_more
from tests.metrics.histograms import published_information

KEY = jax.random.key(0)
UNBIASED = {"binning": "quantile", "num_shuffles": 20}


def published(information):
    units = []
    for row in information:
        best = row.argmax()
        if row[best] == 0:
            units.append(0.0)
            continue
        rest = sum(row[j] ** 2 for j in range(len(row)) if j != best)
        units.append(1 - rest / (row[best] ** 2 * (len(row) - 1)))
    return np.mean(units)


def test_it_is_the_published_formula():
    codes = with_more(MIXED, np.ones((len(GRID), 1)))  # a dead unit has 0
    found = modularity(codes, GRID)
    wanted = published(published_information(codes.astype(np.float64), GRID))
    np.testing.assert_allclose(found.score, wanted, atol=1e-12)
    assert found.units[-1] == 0 and found.counted.all()


def test_a_unit_of_one_factor_is_modular_even_if_the_factor_is_in_two():
    twice = with_more(scaled(GRID), scaled(GRID, seed=5))
    np.testing.assert_allclose(modularity(twice, GRID).score, 1, atol=1e-6)


def test_two_factors_turned_by_45_degrees_have_none():
    np.testing.assert_allclose(modularity(turned(), SQUARE).score, 0, atol=1e-9)
    found = modularity(turned(), SQUARE, **UNBIASED)  # up to what shuffles differ by
    assert found.score < 0.02 and found.counted.all()


def test_noise_has_067_as_published_and_0_without_the_bias_of_counting():
    """T92. Squares of what five factors show by chance: as they are on the factors of dSprites."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, num, 10_000) for num in (3, 6, 40, 32, 32)], 1)
    codes = rng.normal(size=(10_000, 10))
    assert modularity(codes, factors).score == pytest.approx(0.67, abs=0.03)
    found = modularity(codes, factors, **UNBIASED)
    assert found.score == 0 and not found.counted.any()
    found = modularity(with_more(codes, scaled(factors)), factors, **UNBIASED)
    assert found.counted.sum() == 5 and found.score == pytest.approx(1, abs=1e-4)


# ---------------------------------------------------------------------------------- explicitness
def published_areas(codes, factors, train, test):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    mean, std = codes[train].mean(0), codes[train].std(0)
    codes = (codes - mean) / std
    areas = []
    for factor in factors.T:
        fitted = LogisticRegression(max_iter=1000).fit(codes[train], factor[train])
        told = fitted.predict_proba(codes[test])
        states = np.arange(factor.max() + 1)
        each = [roc_auc_score(factor[test] == s, told[:, s]) for s in states]
        areas.append(np.mean(each))
    return areas


def test_explicitness_is_the_published_area():
    codes = MIXED.astype(np.float64)
    train, test = train_and_test(on_host_generator(KEY), len(codes), 10_000, 5_000)
    found = explicitness(KEY, codes, GRID)
    np.testing.assert_allclose(found.areas, published_areas(codes, GRID, train, test), atol=1e-9)
    np.testing.assert_allclose(found.score, found.areas.mean())


def test_explicitness_sees_through_a_rotation_and_guesses_of_noise():
    codes = scaled(GRID).astype(np.float64)
    codes /= codes.std(0)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    found, again = (explicitness(KEY, z, GRID).score for z in (codes, codes @ rotation))
    assert found == pytest.approx(again, abs=1e-3) and found > 0.97
    assert explicitness(KEY, noise(4), GRID).score == pytest.approx(0.5, abs=0.04)


def test_states_that_are_not_among_the_rows_are_left_out():
    factors = GRID.copy()
    train, test = train_and_test(on_host_generator(KEY), len(factors), 10_000, 5_000)
    factors[test[0], 0], factors[train[0], 1] = 9, 9
    assert 0.9 < explicitness(KEY, scaled(GRID), factors).score <= 1
    lonely = np.zeros(len(GRID), int)
    lonely[test[0]] = 1  # all rows for training have one state
    found = explicitness(KEY, scaled(GRID), np.stack([lonely, GRID[:, 0]], 1))
    assert found.areas[0] == 0.5
