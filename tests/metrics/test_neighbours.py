import numpy as np
import pytest

from dgm_jax.metrics import density_coverage, precision_recall

RNG = np.random.default_rng(0)


def radii(x, k):
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    return np.sort(distances, 1)[:, k]  # place 0 is the point itself


def by_definition(real, fake, k):
    across = np.linalg.norm(real[:, None] - fake[None], axis=-1)
    in_real, in_fake = across <= radii(real, k)[:, None], across <= radii(fake, k)[None]
    precision, recall = in_real.any(0).mean(), in_fake.any(1).mean()
    return precision, recall, in_real.sum(0).mean() / k, in_real.any(1).mean()


@pytest.mark.parametrize("k", [1, 3, 5])
def test_all_four_are_those_of_the_definition(k):
    """T105: k + 1 in the sort. A chunk that does not divide the rows changes nothing."""
    real, fake = RNG.normal(size=(60, 4)) + 5, 0.9 * RNG.normal(size=(47, 4)) + 5.3
    precision, recall, density, coverage = by_definition(real, fake, k)
    for chunk in (512, 13):
        found = precision_recall(real, fake, k=k, chunk=chunk)
        assert found == pytest.approx((precision, recall, k, 60, 47))
        found = density_coverage(real, fake, k=k, chunk=chunk)
        assert found == pytest.approx((density, coverage, k, 60, 47))


def test_a_generator_that_copies_one_real_row_is_precise_and_recalls_only_that_row():
    """T104: which is which; T105: on the surface of a ball is in it."""
    real = RNG.normal(size=(100, 8)).astype(np.float32) + 3
    copies = np.repeat(real[17:18], 50, 0)
    found = precision_recall(real, copies)
    assert (found.precision, found.recall) == (1.0, 0.01)
    assert "precision 1.000, recall 0.010 (k = 3, 100 real, 50 fake)" == str(found)
    turned = precision_recall(copies, real)
    assert (turned.precision, turned.recall) == (0.01, 1.0)


def test_points_that_are_all_the_same_hold_each_other():
    """T105: two sets of one point, at which a radius is 0."""
    point = np.full((9, 5), 0.3)
    assert precision_recall(point, point)[:2] == (1.0, 1.0)
    assert density_coverage(point, point, k=3)[:2] == (3.0, 1.0)
    assert precision_recall(point, point + 1)[:2] == (0.0, 0.0)
    repeated = np.repeat(RNG.normal(size=(4, 5)), 5, 0)  # as many copies as k + 2
    assert precision_recall(repeated, repeated)[:2] == (1.0, 1.0)
    nearly = repeated * (1 + 1e-7 * RNG.normal(size=repeated.shape))  # float32 rounds as much
    assert precision_recall(repeated, nearly)[:2] == (1.0, 1.0)


def test_equal_distributions_have_density_one_and_the_coverage_of_counting():
    """1 - Π (n - j)/(n + m - j), whatever the distribution is."""
    n, m, k = 120, 80, 3
    found = np.array(
        [
            density_coverage(*np.split(RNG.gamma(0.7, size=(n + m, 2)), [n]), k=k)[:2]
            for _ in range(80)
        ]
    )
    j = np.arange(1, k + 1)
    wanted = np.array([1, 1 - np.prod((n - j) / (n + m - j))])
    stderr = found.std(0) / np.sqrt(len(found))
    assert (stderr < 0.02).all() and (abs(found.mean(0) - wanted) < 4 * stderr).all()


def test_a_little_too_narrow_is_perfectly_precise_and_recalls_nothing_in_many_dimensions():
    """Why they are shown over a sweep of widths."""
    real, fake = RNG.normal(size=(2, 200, 256))
    found = precision_recall(real, 0.8 * fake)
    assert found.precision == 1.0 and found.recall == 0.0
    assert precision_recall(real, fake / 0.8)[:2] == (0.0, 1.0)


def test_an_outlier_fools_recall_and_not_coverage():
    real = RNG.normal(size=(100, 2))
    fake = np.concatenate([real[:40] * 0.1 + 4.0, [[40.0, 40.0], [-40.0, -40.0]]])
    assert precision_recall(real, fake, k=40).recall == 1.0
    assert density_coverage(real, fake).coverage < 0.1


def test_too_few_rows_for_k_neighbours_are_refused():
    x = RNG.normal(size=(5, 2))
    with pytest.raises(ValueError, match="fake must have more than k=3 rows.*got 3"):
        precision_recall(x, x[:3])
    with pytest.raises(ValueError, match="real must have more than k=5 rows.*got 5"):
        density_coverage(x, x)
    assert density_coverage(x, x[:1], k=3).num_fake == 1
