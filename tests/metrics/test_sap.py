"""SAP by the published loop, its dependence on scale, and codes whose score is known."""

import jax
import numpy as np
import pytest

from dgm_jax.arrays import on_host_generator
from dgm_jax.metrics import sap
from dgm_jax.metrics.codes import train_and_test
from tests.metrics.factors import GRID, MIXED, SQUARE, noise, scaled, turned, with_more

KEY = jax.random.key(0)
BITS = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
BITS = np.tile(BITS, (60, 1))


def published(codes, factors):
    from sklearn.svm import LinearSVC

    train, test = train_and_test(on_host_generator(KEY), len(codes), 10_000, 5_000)
    scores = np.zeros((codes.shape[1], factors.shape[1]))
    for i in range(codes.shape[1]):
        for j in range(factors.shape[1]):
            machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
            machine.fit(codes[train, i, np.newaxis], factors[train, j])
            scores[i, j] = np.mean(machine.predict(codes[test, i, np.newaxis]) == factors[test, j])
    ordered = np.sort(scores, axis=0)
    return scores, np.mean(ordered[-1] - ordered[-2])


def test_it_is_the_published_loop():
    codes = 0.1 * MIXED.astype(np.float64)
    accuracy, score = published(codes, GRID)
    found = sap(KEY, codes, GRID, standardise=False)
    np.testing.assert_allclose(found.accuracy, accuracy, atol=1e-12)
    np.testing.assert_allclose(found.score, score, atol=1e-12)


def test_it_depends_on_the_scale_of_codes_unless_they_are_standardised():
    """T93."""
    codes = with_more(scaled(GRID), noise(2))
    small, large = (sap(KEY, s * codes, GRID, standardise=False).score for s in (0.1, 10))
    assert abs(small - large) > 0.05
    of_scales = [sap(KEY, s * codes + 3, GRID).score for s in (0.1, 10)]
    np.testing.assert_allclose(*of_scales, atol=0.005)


def test_bits_that_are_units_have_one_half():
    """A unit that knows nothing guesses half of them."""
    found = sap(KEY, scaled(BITS), BITS)
    assert found.score == pytest.approx(0.5, abs=0.05) and found.accuracy.max(0).min() == 1


def test_noise_has_the_accuracy_of_guessing_and_no_gap():
    found = sap(KEY, with_more(noise(5), np.ones((len(GRID), 1))), GRID)
    assert found.score < 0.04
    assert found.accuracy.mean() == pytest.approx((1 / (GRID.max(0) + 1)).mean(), abs=0.04)


def test_two_factors_turned_by_45_degrees_have_no_gap():
    assert sap(KEY, turned(), SQUARE).score < 0.03


def test_a_factor_with_one_state_among_the_rows_for_training_is_guessed():
    train, test = train_and_test(on_host_generator(KEY), len(GRID), 10_000, 5_000)
    lonely = np.zeros(len(GRID), int)
    lonely[test[0]] = 1
    found = sap(KEY, scaled(GRID), np.stack([lonely, GRID[:, 0]], 1))
    np.testing.assert_allclose(found.accuracy[:, 0], 1 - 1 / len(test))
