import numpy as np
import pytest

from dgm_jax.metrics import inception_score


def test_it_is_one_if_all_are_alike_and_the_number_of_classes_if_all_are_certain():
    """F9, and bounds between."""
    alike = np.tile(np.random.default_rng(0).normal(size=10), (50, 1))
    assert inception_score(alike).score == pytest.approx(1, abs=1e-12)
    certain = 1e3 * np.tile(np.eye(10), (5, 1))
    assert inception_score(certain).score == pytest.approx(10, rel=1e-12)
    between = np.random.default_rng(1).normal(size=(50, 10)) * 3
    assert 1 < inception_score(between).score < 10


def test_two_classes_by_hand():
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    marginal = p.mean(0)
    wanted = np.exp((p * np.log(p / marginal)).sum(1).mean())
    assert inception_score(np.log(p) + 5.0).score == pytest.approx(wanted, rel=1e-12)


def test_each_split_has_a_marginal_of_its_own():
    """T54: sorted by class, every split looks collapsed."""
    sorted_rows = 1e3 * np.repeat(np.eye(4), 6, 0)
    found = inception_score(sorted_rows, num_splits=4)
    assert (found.score, found.spread) == pytest.approx((1, 0), abs=1e-9)
    whole = inception_score(sorted_rows)
    assert whole.score == pytest.approx(4) and whole.spread == 0
    assert str(whole) == "4.000 ± 0.000 (24 fake in 1 splits)"
    with pytest.raises(ValueError, match="num_splits must be at most the 24 rows"):
        inception_score(sorted_rows, num_splits=25)
