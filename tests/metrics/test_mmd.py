import itertools

import jax
import numpy as np
import pytest

from dgm_jax.metrics import kernel_distance, mmd, polynomial_kernel, rbf_kernel

RNG = np.random.default_rng(0)


def by_definition(x, y, kernel):
    n, m = len(x), len(y)
    others = lambda a: sum(kernel(*pair) for pair in itertools.permutations(a, 2))
    across = sum(kernel(a, b) for a in x for b in y)
    return others(x) / (n * (n - 1)) + others(y) / (m * (m - 1)) - 2 * across / (n * m)


@pytest.mark.parametrize(
    ("kernel", "one"),
    [
        (rbf_kernel(0.7), lambda a, b: np.exp(-((a - b) ** 2).sum() / (2 * 0.7**2))),
        (polynomial_kernel(), lambda a, b: (a @ b / 3 + 1) ** 3),
        (polynomial_kernel(degree=2, scale=0.5, offset=0), lambda a, b: (0.5 * a @ b) ** 2),
        (lambda x, y: x @ y.T + 1e3, lambda a, b: a @ b + 1e3),  # a constant cancels
    ],
    ids=["rbf", "cubic", "quadratic", "one's own"],
)
def test_it_is_the_mean_over_pairs_of_different_rows(kernel, one):
    x, y = RNG.normal(size=(12, 3)), RNG.normal(size=(9, 3)) + 0.5
    found = mmd(x, y, kernel)
    assert found.squared == pytest.approx(by_definition(x, y, one), rel=1e-3, abs=1e-4)
    assert found.num_subsets == 1 and found.subset_size is None and "subsets" not in str(found)


def test_the_estimate_is_right_on_average_and_may_be_negative():
    """F8: Gaussians on the line under an RBF kernel; T54."""
    h, s, t, shift = 0.8, 1.0, 0.5, 0.7

    def mean_kernel(a, b, delta):
        v = h**2 + a**2 + b**2
        return np.sqrt(h**2 / v) * np.exp(-(delta**2) / (2 * v))

    wanted = mean_kernel(s, s, 0) + mean_kernel(t, t, 0) - 2 * mean_kernel(s, t, shift)
    kernel = jax.jit(rbf_kernel(h))  # of 600 calls
    draw = lambda scale, shift: shift + scale * RNG.normal(size=(20, 1))
    found = np.array([mmd(draw(s, 0), draw(t, shift), kernel).squared for _ in range(300)])
    stderr = found.std() / np.sqrt(len(found))
    assert stderr < 0.1 * wanted and abs(found.mean() - wanted) < 4 * stderr
    alike = np.array([mmd(draw(s, 0), draw(s, 0), kernel).squared for _ in range(300)])
    assert abs(alike.mean()) < 4 * alike.std() / np.sqrt(len(alike))
    assert 0.3 < (alike < 0).mean() < 0.8


def test_the_kernel_distance_is_the_mean_over_subsets():
    x, y = RNG.normal(size=(60, 4)), RNG.normal(size=(50, 4)) + 0.5
    key = jax.random.key(3)
    found = kernel_distance(key, x, y, num_subsets=40, subset_size=25)
    whole = mmd(x, y, polynomial_kernel()).squared
    assert found.squared == pytest.approx(whole, abs=4 * found.spread / np.sqrt(40))
    assert found.spread > 0 and (found.num_subsets, found.subset_size) == (40, 25)
    assert found == kernel_distance(key, x, y, num_subsets=40, subset_size=25)
    assert found != kernel_distance(jax.random.key(4), x, y, num_subsets=40, subset_size=25)
    all_rows = kernel_distance(key, y, y[::-1], num_subsets=2, subset_size=50)
    assert all_rows.squared == pytest.approx(mmd(y, y, polynomial_kernel()).squared, abs=1e-5)
    with pytest.raises(ValueError, match="subset_size must be at most the number of rows"):
        kernel_distance(key, x, y, subset_size=51)
