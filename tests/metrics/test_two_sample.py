import jax
import numpy as np
import pytest

from dgm_jax.metrics import logistic_regression, nearest_neighbours, two_sample_test

RNG = np.random.default_rng(0)


def test_equal_distributions_are_told_apart_as_often_as_a_coin_says():
    found = [two_sample_test(jax.random.key(i), *RNG.normal(size=(2, 60, 2))) for i in range(200)]
    accuracies = np.array([one.accuracy for one in found])
    assert abs(accuracies.mean() - 0.5) < 4 * accuracies.std() / np.sqrt(200)
    assert 0.01 < np.mean([one.p_value < 0.05 for one in found]) < 0.12


@pytest.mark.parametrize("classifier", [None, nearest_neighbours(k=5), logistic_regression()])
def test_sets_apart_are_told_apart(classifier):
    real, fake = RNG.normal(size=(100, 3)) + 4, RNG.normal(size=(300, 3))
    found = two_sample_test(jax.random.key(0), real, fake, classifier=classifier)
    assert found.accuracy > 0.97 and found.p_value < 1e-6 and found.num_test == 100
    assert (found.num_real, found.num_fake) == (100, 300)


def test_logistic_regression_sees_means_alone_and_comes_near_the_best_accuracy():
    """Φ(δ/2) of Gaussians δ apart; and ½ of those that differ in width."""
    real, fake = RNG.normal(size=(2, 4000, 2))
    by_line = {"classifier": logistic_regression()}
    found = two_sample_test(jax.random.key(0), real + [1.0, 0.0], fake, **by_line)
    assert found.accuracy == pytest.approx(0.6915, abs=0.025)
    width = two_sample_test(jax.random.key(0), 3 * real, fake, **by_line)
    assert width.accuracy == pytest.approx(0.5, abs=0.025)
    assert two_sample_test(jax.random.key(0), 3 * real, fake).accuracy > 0.65


def test_a_classifier_of_ones_own_is_given_halves_that_share_no_row():
    seen = []

    def classify(x, is_real, x_test):
        seen.append((x, is_real, x_test))
        return np.zeros(len(x_test))

    real, fake = np.arange(11.0)[:, None], np.arange(100.0, 108.0)[:, None]
    found = two_sample_test(jax.random.key(1), real, fake, classifier=classify)
    ((x, is_real, x_test),) = seen
    assert len(x) == len(x_test) == 8 and not set(x[:, 0]) & set(x_test[:, 0])
    np.testing.assert_array_equal(is_real, x[:, 0] < 50)
    assert found.accuracy == 0.5 and found.p_value == 0.5  # no opinion is half right
    with pytest.raises(ValueError, match="classifier must return one score for each of 8 rows"):
        two_sample_test(jax.random.key(1), real, fake, classifier=lambda *_: 0.0)
