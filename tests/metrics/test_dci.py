"""Disentanglement, completeness, informativeness: of given importances, and of predictors."""

import jax
import numpy as np
import pytest
from scipy import stats

from dgm_jax.arrays import on_host_generator
from dgm_jax.metrics import dci, gradient_boosting, random_forest
from dgm_jax.metrics.codes import train_and_test
from tests.metrics.factors import GRID, MIXED, SQUARE, noise, scaled, turned, with_more

KEY = jax.random.key(0)


def of(importance):
    """A predictor with the importances [d, k] given, factor by factor."""
    columns = iter(np.asarray(importance, float).T)
    return lambda codes, states, test_codes: (next(columns), np.zeros(len(test_codes)))


def published(importance):
    d = np.sum(
        (1 - stats.entropy(importance.T + 1e-11, base=importance.shape[1]))
        * importance.sum(1)
        / importance.sum()
    )
    c = np.sum(
        (1 - stats.entropy(importance + 1e-11, base=importance.shape[0]))
        * importance.sum(0)
        / importance.sum()
    )
    return d, c


def test_scores_are_the_published_formula_of_importances():
    importance = np.random.default_rng(0).gamma(0.3, size=(7, 4))
    found = dci(KEY, MIXED, GRID, predictor=of(importance))
    np.testing.assert_allclose(found[:2], published(importance), atol=1e-9)
    np.testing.assert_array_equal(found.importance, importance)


def test_importances_whose_scores_are_known():
    eye = np.eye(4)[:, [2, 0, 3, 1]]
    one = with_more(scaled(GRID), noise(1))
    for importance, wanted in (
        (np.concatenate([eye, np.zeros((1, 4))]), (1, 1)),  # a dead unit does no harm
        (np.ones((5, 4)), (0, 0)),
        (np.concatenate([eye, np.eye(1, 4)]), (1, 1 - np.log(2) / np.log(5) * 2 / 5)),
    ):
        found = dci(KEY, one, GRID, predictor=of(importance))
        np.testing.assert_allclose(found[:2], wanted, atol=1e-8)
    nothing = dci(KEY, one, GRID, predictor=of(np.zeros((5, 4))))
    np.testing.assert_allclose(nothing[:2], 0, atol=1e-8)


def test_the_published_predictor_is_scikit_learns_boosting_as_it_comes():
    from sklearn.ensemble import GradientBoostingClassifier

    codes, factors = MIXED[::4].astype(np.float64), GRID[::4, :2]
    train, test = train_and_test(on_host_generator(KEY), len(codes), 10_000, 5_000)
    importance, accuracy = [], []
    for factor in factors.T:
        machine = GradientBoostingClassifier(n_estimators=5, random_state=0)
        machine.fit(codes[train], factor[train])
        importance.append(np.abs(machine.feature_importances_))
        accuracy.append(np.mean(machine.predict(codes[test]) == factor[test]))
    found = dci(KEY, codes, factors, predictor=gradient_boosting(num_trees=5))
    np.testing.assert_allclose(found[:2], published(np.stack(importance, 1)), atol=1e-6)
    np.testing.assert_allclose(found.informativeness, np.mean(accuracy), atol=1e-12)


def test_factors_have_one_in_all_three():
    """T95: informativeness is an accuracy, 1 where all is told."""
    found = dci(KEY, with_more(scaled(GRID), noise(3)), GRID)
    np.testing.assert_allclose(found[:3], 1, atol=1e-6)


def test_of_noise_nothing_is_disentangled_and_the_accuracy_is_that_of_guessing():
    found = dci(KEY, noise(10), GRID)
    assert found.disentanglement < 0.03 and found.completeness < 0.03
    assert found.informativeness == pytest.approx((1 / (GRID.max(0) + 1)).mean(), abs=0.05)


def test_two_factors_turned_by_45_degrees_are_told_and_not_disentangled():
    found = dci(KEY, turned(), SQUARE)
    assert found.disentanglement < 0.03 and found.completeness < 0.03
    assert found.informativeness > 0.9


def test_a_factor_with_one_state_among_the_rows_for_training_is_important_to_nothing():
    train, test = train_and_test(on_host_generator(KEY), len(GRID), 10_000, 5_000)
    lonely = np.zeros(len(GRID), int)
    lonely[test[0]] = 1
    found = dci(KEY, scaled(GRID), np.stack([lonely, GRID[:, 0]], 1))
    assert not found.importance[:, 0].any() and found.accuracy[0] == 1 - 1 / len(test)
    np.testing.assert_allclose(found.disentanglement, 1, atol=1e-6)


@pytest.mark.parametrize("weight", [np.ones(3), -np.ones(4), np.full(4, np.nan)])
def test_importances_that_are_none_are_refused(weight):
    predict = lambda codes, states, test_codes: (weight, np.zeros(len(test_codes)))
    with pytest.raises(ValueError, match="predictor must return the importance of each of 4 units"):
        dci(KEY, scaled(GRID), GRID, predictor=predict)
    with pytest.raises(ValueError, match="num_trees"):
        random_forest(num_trees=0)
