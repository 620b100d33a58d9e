"""Scores of batches in which one factor stays: by the published loops, and where they are known."""

import jax
import numpy as np
import pytest

from dgm_jax.metrics import beta_vae_score, factor_vae_score
from dgm_jax.metrics import fixed_factor as module
from tests.metrics.factors import GRID, MIXED, SQUARE, noise, scaled, turned, with_more

KEY = jax.random.key(0)
SMALL = {"num_train": 700, "num_test": 600, "batch_size": 8}
MANY = {"num_train": 2000, "num_test": 2000}
SCORES = (beta_vae_score, factor_vae_score)


def drawn(codes, num, one_value, draws=None):
    """Batches of codes of the same draws, one at a time, and the factor of each."""
    draws = draws or module._Draws(KEY, codes, GRID, *SMALL.values())
    factor = draws.generator.integers(4, size=num)
    parts = np.split(factor, range(module.CHUNK, num, module.CHUNK))
    pairs = [draws.pairs(part, one_value) for part in parts]
    return (
        draws,
        zip(np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])),
        factor,
    )


@pytest.mark.parametrize("one_value", [False, True])
def test_rows_of_a_batch_agree_in_one_factor_and_are_random_in_all_else(one_value):
    rows = np.stack([np.arange(len(GRID))] * 2, 1)  # codes that are numbers of rows
    draws = module._Draws(KEY, rows, GRID, 100, 100, 64)
    factor = np.arange(500) % 4
    first, second = (GRID[z[..., 0].astype(int)] for z in draws.pairs(factor, one_value))
    assert first.shape == (500, 1 if one_value else 64, 4) and second.shape == (500, 64, 4)
    for j in range(4):
        of = factor == j
        np.testing.assert_array_equal(
            second[of][..., j], np.broadcast_to(first[of][..., j], (of.sum(), 64))
        )
        counts = np.bincount(second[of][..., j].ravel()) / of.sum() / 64
        assert abs(counts - 1 / len(counts)).max() < (0.15 if one_value else 0.02)
        for other in set(range(4)) - {j}:
            counts = np.bincount(second[of][..., other].ravel()) / of.sum() / 64
            np.testing.assert_allclose(counts, 1 / len(counts), rtol=0.1)
            same = second[of][..., other] == np.broadcast_to(first[of][..., other], (of.sum(), 64))
            np.testing.assert_allclose(
                same.mean(), 1 / len(counts), rtol=0.25 if one_value else 0.1
            )


def test_the_beta_vae_score_is_that_of_the_published_loop():
    from sklearn.linear_model import LogisticRegression

    def points(num, draws=None):
        draws, batches, factor = drawn(codes, num, False, draws)
        return draws, np.array([np.mean(np.abs(a - b), axis=0) for a, b in batches]), factor

    codes = 0.2 * MIXED.astype(np.float64)
    draws, x, y = points(700)
    _, x_test, y_test = points(600, draws)
    fitted = LogisticRegression(max_iter=1000).fit(x, y)
    found = beta_vae_score(KEY, codes, GRID, **SMALL)
    assert found.accuracy == pytest.approx(np.mean(fitted.predict(x_test) == y_test), abs=1e-12)
    assert found.train_accuracy == pytest.approx(np.mean(fitted.predict(x) == y), abs=1e-12)
    assert 0.3 < found.accuracy < 0.98 and found.chance == 0.25


def test_the_factor_vae_score_is_that_of_the_published_loop():
    codes = with_more(MIXED, 0.04 * noise(2)).astype(np.float64)  # two units are dead
    spread = np.var(codes, axis=0, ddof=1)
    kept = np.flatnonzero(np.sqrt(spread) >= 0.05)
    assert len(kept) == 7

    def votes(num, draws=None):
        draws, batches, factor = drawn(codes, num, True, draws)
        table = np.zeros((9, 4), int)
        for (_, batch), j in zip(batches, factor):
            local = np.var(batch, axis=0, ddof=1)
            table[kept[np.argmin(local[kept] / spread[kept])], j] += 1
        return draws, table

    draws, train = votes(700)
    _, test = votes(600, draws)
    told = train.argmax(1)
    found = factor_vae_score(KEY, codes, GRID, **SMALL)
    np.testing.assert_array_equal(found.votes, train)
    np.testing.assert_array_equal(found.active, np.arange(9) < 7)
    assert found.accuracy == pytest.approx(sum(test[i, told[i]] for i in range(9)) / 600, abs=1e-12)
    assert found.train_accuracy == pytest.approx(train.max(1).sum() / 700, abs=1e-12)
    assert 0.3 < found.accuracy < 0.98


@pytest.mark.parametrize("score", SCORES)
def test_factors_have_one_beside_noise_and_dead_units(score):
    codes = with_more(with_more(scaled(GRID), noise(2)), 0.01 * noise(3, seed=4))
    found = score(KEY, codes, GRID, **MANY)
    assert found.accuracy == found.train_accuracy == 1.0


@pytest.mark.parametrize("score", SCORES)
def test_noise_has_the_level_of_chance(score):
    found = score(KEY, noise(10), GRID, **MANY)
    assert found.accuracy == pytest.approx(found.chance, abs=0.04)
    assert "(chance 0.25)" in str(found)


@pytest.mark.parametrize("score", SCORES)
def test_two_factors_turned_by_45_degrees_are_not_told_apart(score):
    assert score(KEY, turned(), SQUARE, **MANY).accuracy == pytest.approx(0.5, abs=0.04)


def test_a_dead_unit_would_take_all_votes_without_the_threshold():
    """T44, T94: a unit of one value has no variance in any batch."""
    codes = with_more(scaled(GRID) + 0.1 * noise(4), np.full((len(GRID), 1), 0.1))
    rare = codes.copy()
    rare[7, -1] += 1.0  # varies, in one row
    assert factor_vae_score(KEY, rare, GRID, **MANY, threshold=0).accuracy < 0.3
    found = factor_vae_score(KEY, rare, GRID, **MANY)
    assert found.accuracy == 1 and found.active.sum() == 4 and not found.votes[-1].any()
    assert factor_vae_score(KEY, codes, GRID, **MANY, threshold=0).active.sum() == 4


def test_a_code_without_an_active_unit_has_zero_and_no_nan():
    found = factor_vae_score(KEY, 0.001 * scaled(GRID), GRID, **SMALL)
    assert found.accuracy == 0 and not found.active.any()


@pytest.mark.parametrize("score", SCORES)
def test_one_key_gives_the_same_score_and_another_key_another(score):
    found = [score(jax.random.key(k), MIXED, GRID, **SMALL).accuracy for k in (3, 3, 4)]
    assert found[0] == found[1] != found[2]
