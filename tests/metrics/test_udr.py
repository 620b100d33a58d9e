"""Models of other seeds: alike where their units pair off."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from dgm_jax.metrics import udr
from tests.metrics.factors import GRID, noise, scaled, with_more

RNG = np.random.default_rng(0)
TURNED = [scaled(GRID) @ np.linalg.qr(RNG.normal(size=(4, 4)))[0] for _ in range(4)]


def by_pairs(codes, kept):
    """The formula, one pair of units at a time."""
    scores = np.zeros((len(codes), len(codes)))
    for n in range(len(codes)):
        for m in range(len(codes)):
            first, second = codes[n][:, kept[n]], codes[m][:, kept[m]]
            r = np.array([[abs(spearmanr(a, b)[0]) for b in second.T] for a in first.T])
            columns = sum(max(r[:, j]) ** 2 / sum(r[:, j]) for j in range(r.shape[1]))
            rows = sum(max(r[i]) ** 2 / sum(r[i]) for i in range(r.shape[0]))
            scores[n, m] = (columns + rows) / sum(r.shape)
    return [np.median(np.delete(scores[n], n)) for n in range(len(codes))]


def test_it_is_the_formula_on_units_with_enough_information():
    kl = [np.array([1.0, 0.02, 0.005, 3.0]), *[np.ones(4)] * 3]
    found = udr(TURNED, kl)
    np.testing.assert_allclose(found, by_pairs(TURNED, [each > 0.01 for each in kl]), atol=1e-9)


def as_in_the_library(codes):
    """The mean of both sides' means, where the paper divides both sums by all units."""
    means = np.zeros((len(codes), len(codes)))
    for n, first in enumerate(codes):
        for m, second in enumerate(codes):
            both = spearmanr(first, second)[0][: first.shape[1], first.shape[1] :]
            sides = [(np.max(abs(both), a) ** 2 / np.sum(abs(both), a)).mean() for a in (0, 1)]
            means[n, m] = np.mean(sides)
    return [np.median(np.delete(means[n], n)) for n in range(len(codes))]


def test_the_published_code_has_the_same_of_models_with_equally_many_units():
    np.testing.assert_allclose(udr(TURNED), as_in_the_library(TURNED), atol=1e-9)
    unequal = [with_more(TURNED[0], noise(3)), *TURNED[1:]]
    assert abs(udr(unequal) - as_in_the_library(unequal)).max() > 0.01


def test_units_in_another_order_and_with_other_signs_are_the_same_and_rotations_are_not():
    same = [np.exp(scaled(GRID, seed)) for seed in range(3)]
    np.testing.assert_allclose(udr(same), 1, atol=1e-6)
    assert (udr([*same, TURNED[0]])[:3] > 0.99).all() and udr([*same, TURNED[0]])[3] < 0.7
    assert udr(TURNED).max() < 0.7
    assert udr([noise(5, seed=s) for s in (1, 2, 3)]).max() < 0.1


def test_constant_units_and_those_without_information_are_left_out():
    dead = [with_more(scaled(GRID, s), np.ones((len(GRID), 2))) for s in range(3)]
    np.testing.assert_allclose(udr(dead), 1, atol=1e-6)
    noisy = [with_more(scaled(GRID, s), noise(2, seed=s)) for s in range(3)]
    kl = [np.array([1.0, 1, 1, 1, 0.001, 0.002])] * 3
    np.testing.assert_allclose(udr(noisy, kl), 1, atol=1e-6)
    assert udr(noisy).max() < 0.9
    np.testing.assert_array_equal(udr([np.ones((9, 2)), np.zeros((9, 3))]), 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((TURNED[0],), "codes must be a list of two or more"),
        (([TURNED[0]],), "codes must be a list of two or more"),
        (([TURNED[0], TURNED[1][1:]],), "codes must be of the same rows"),
        ((TURNED[:2], [np.ones(4)]), "kl must be a list of 2 arrays"),
        ((TURNED[:2], [np.ones(4), np.ones(5)]), r"kl\[1\] must have shape \(4,\)"),
        ((TURNED[:2], [np.ones(4), np.full(4, np.nan)]), r"kl\[1\]"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        udr(*given)
