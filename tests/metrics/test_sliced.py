import jax
import numpy as np
import pytest
import scipy.stats

from dgm_jax.metrics import sliced_wasserstein

RNG = np.random.default_rng(0)


def distance(x, y, **options):
    return sliced_wasserstein(jax.random.key(0), x, y, **options).distance


def test_on_the_line_it_is_the_mean_of_sorted_differences():
    """F6."""
    x, y = RNG.normal(size=(30, 1)), RNG.gamma(1.0, size=(30, 1))
    difference = np.sort(x, 0) - np.sort(y, 0)
    assert distance(x, y, num_directions=2) == pytest.approx(abs(difference).mean(), rel=1e-5)
    squares = np.sqrt((difference**2).mean())
    assert distance(x, y, num_directions=2, order=2) == pytest.approx(squares, rel=1e-5)


def test_sets_of_two_sizes_are_compared_by_their_quantile_functions():
    x, y = RNG.normal(size=(30, 1)), RNG.gamma(1.0, size=(17, 1))
    wanted = scipy.stats.wasserstein_distance(x[:, 0], y[:, 0])
    assert distance(x, y, num_directions=1) == pytest.approx(wanted, rel=1e-5)
    repeated = distance(np.repeat(x, 3, 0), y, num_directions=1)
    assert repeated == pytest.approx(wanted, rel=1e-5)


def test_a_shift_has_its_norm_over_the_root_of_the_dimension():
    x, shift = RNG.normal(size=(20, 3)), np.array([1.0, -2.0, 2.0])
    found = distance(x, x + shift, num_directions=4000, order=2)
    assert found == pytest.approx(3 / np.sqrt(3), rel=0.03)
    assert distance(x, x) == 0
