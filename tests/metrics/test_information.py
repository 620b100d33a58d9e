"""Information of units and factors, by the published formulas, and where the truth is known."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from dgm_jax.metrics import mig, mutual_information
from tests.metrics.factors import GRID, MIXED, SQUARE, noise, scaled, turned, with_more
from tests.metrics.histograms import published_information

DSPRITES = (3, 6, 40, 32, 32)
UNBIASED = {"num_bins": 40, "binning": "quantile", "num_shuffles": 20}


def published_gap(information, factors):
    entropy = np.array([mutual_info_score(factor, factor) for factor in factors.T])
    ordered = np.sort(information, axis=0)[::-1]
    return np.mean((ordered[0] - ordered[1]) / entropy)


@pytest.mark.parametrize("num_bins", [2, 7, 20])
def test_it_is_the_published_formula(num_bins):
    codes = MIXED.astype(np.float64)
    information = published_information(codes, GRID, num_bins)
    found = mutual_information(codes, GRID, num_bins=num_bins)
    np.testing.assert_allclose(found.mutual, information, atol=1e-12)
    gap = published_gap(information, GRID)
    np.testing.assert_allclose(mig(codes, GRID, num_bins=num_bins).score, gap, atol=1e-12)
    assert not found.chance.any() and found.informative.all()


def test_factors_in_any_order_have_one_and_units_that_know_nothing_do_no_harm():
    codes = with_more(scaled(GRID), np.zeros((len(GRID), 1)))
    for options in ({}, {"binning": "quantile"}, UNBIASED):
        found = mig(codes, GRID, **options)
        np.testing.assert_allclose(found.gaps, 1, atol=1e-12)
        assert sorted(found.best) == [0, 1, 2, 3]
    twice = mig(with_more(scaled(GRID), scaled(GRID)), GRID)  # each factor in two units
    np.testing.assert_allclose(twice.score, 0, atol=1e-12)


@pytest.mark.parametrize("binning", ["width", "quantile"])
def test_two_factors_turned_by_45_degrees_have_none(binning):
    found = mig(turned(), SQUARE, binning=binning, num_bins=15)
    np.testing.assert_allclose(found.score, 0, atol=1e-9)
    assert found.shares.min() > 0.2


def test_the_factors_of_dsprites_have_090_in_20_bins_and_1_in_40():
    """T91; the second figure is that of the unbiased protocol."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, num, 10_000) for num in DSPRITES], 1)
    found = mig(factors, factors)
    assert found.score == pytest.approx(0.896, abs=0.003)
    assert found.gaps[:2] == pytest.approx(1, abs=0.01) and (found.gaps[2:] < 0.86).all()
    assert mig(factors, factors, **UNBIASED).score == pytest.approx(1, abs=0.003)


def test_one_far_outlier_spoils_bins_of_equal_width_and_no_quantiles():
    """T90."""
    codes = scaled(GRID).astype(np.float64)
    codes[17] = 1e3
    assert mutual_information(codes, GRID).mutual.max() < 0.01
    found = mig(codes, GRID, num_bins=20, binning="quantile")
    assert found.score > 0.97


def test_information_of_noise_is_the_bias_of_counting_and_shuffles_find_it():
    """T92: (b - 1)(s - 1) / 2n on average."""
    codes = np.random.default_rng(3).uniform(size=(len(GRID), 60))
    found = mutual_information(codes, GRID, num_bins=6, binning="quantile", num_shuffles=10)
    wanted = 5 * (GRID.max(0)) / (2 * len(GRID))
    np.testing.assert_allclose(found.mutual.mean(0), wanted, rtol=0.12)
    np.testing.assert_allclose(found.chance.mean(0), wanted, rtol=0.12)
    assert (found.above_chance.mean(0) < 0.4 * wanted).all()
    assert found.informative.mean() < 0.03
    assert (
        mutual_information(with_more(codes, scaled(GRID)), GRID, **UNBIASED).informative[-4:].all()
    )


def test_noise_has_no_gap():
    codes = noise(10)
    assert mig(codes, GRID).score < 0.02
    assert mig(codes, GRID, **UNBIASED).score < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_bins": 1}, "num_bins must be an integer of at least 2"),
        ({"binning": "equal"}, "binning"),
        ({"num_shuffles": 1}, "num_shuffles must be 0 or at least 2"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mig(scaled(GRID), GRID, **options)
