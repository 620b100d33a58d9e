import numpy as np
import pytest
import scipy.linalg

from dgm_jax.metrics import Moments, frechet_distance, frechet_floor, moments

RNG = np.random.default_rng(0)


def covariance(dim, seed):
    a = np.random.default_rng(seed).normal(size=(dim, dim))
    return a @ a.T / dim + 0.1 * np.eye(dim)


def by_square_root(real, fake):
    """The formula of pytorch-fid and clean-fid: the square root of the product as a matrix."""
    root = scipy.linalg.sqrtm(real.covariance @ fake.covariance)
    traces = np.trace(real.covariance) + np.trace(fake.covariance)
    return ((real.mean - fake.mean) ** 2).sum() + traces - 2 * np.trace(root).real


def by_eigenvalues(real, fake):
    """That of torch-fidelity: the roots of the eigenvalues of the product."""
    values = np.linalg.eigvals(real.covariance @ fake.covariance)
    traces = np.trace(real.covariance) + np.trace(fake.covariance)
    return ((real.mean - fake.mean) ** 2).sum() + traces - 2 * np.sqrt(values + 0j).real.sum()


def test_it_is_the_wasserstein_distance_of_gaussians_in_closed_form():
    """F4: covariances that commute, and on the line."""
    rotation = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    a, b = np.array([0.1, 1.0, 2.0, 5.0]), np.array([3.0, 0.2, 2.0, 1.0])
    mean = RNG.normal(size=4)
    real = Moments(mean, rotation * a @ rotation.T, 100)
    fake = Moments(mean + 0.5, rotation * b @ rotation.T, 100)
    found = frechet_distance(real, fake)
    assert found.means == pytest.approx(1.0, rel=1e-12)
    assert found.covariances == pytest.approx(((a**0.5 - b**0.5) ** 2).sum(), rel=1e-10)
    assert found.distance == found.means + found.covariances


@pytest.mark.parametrize("rival", [by_square_root, by_eigenvalues])
def test_it_equals_the_formulas_of_other_libraries(rival):
    """T107: covariances that do not commute, in more than one block of rows."""
    dim = 300
    real = Moments(RNG.normal(size=dim), covariance(dim, 1), 400)
    fake = Moments(RNG.normal(size=dim), covariance(dim, 2), 390)
    wanted = rival(real, fake)
    assert frechet_distance(real, fake).distance == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(fake, real).distance == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("num_real", "num_fake"), [(60, 12), (12, 60), (12, 9)])
def test_fewer_rows_than_features_give_the_nuclear_norm_of_both_factors(num_real, num_fake):
    real, fake = RNG.normal(size=(num_real, 30)), 2 * RNG.normal(size=(num_fake, 30)) + 1
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (real, fake))
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    wanted = ((real.mean(0) - fake.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * root
    with pytest.warns(UserWarning, match="30 features: a covariance is singular"):
        found = frechet_distance(real, fake)
    assert found.distance == pytest.approx(wanted, rel=1e-9)


def test_features_that_are_constant_or_copies_are_no_error():
    x, y = RNG.normal(size=(2, 50, 6))
    wide = lambda x: np.concatenate([x, x[:, :2], np.full((50, 1), 3.0)], 1)
    twice = lambda x: np.concatenate([x[:, :2] * np.sqrt(2), x[:, 2:]], 1)
    found = frechet_distance(wide(x), wide(y)).distance
    assert found == pytest.approx(frechet_distance(twice(x), twice(y)).distance, rel=1e-6)


def test_a_set_is_at_no_distance_from_itself():
    """T108: to 1e-6 of the trace, also where features have very different scales."""
    x = RNG.normal(size=(200, 20)) * np.logspace(-4, 3, 20)
    trace = np.trace(moments(x).covariance)
    assert abs(frechet_distance(x.astype(np.float32), x.astype(np.float32)).distance) < 1e-6 * trace
    with pytest.warns(UserWarning, match="singular"):
        assert abs(frechet_distance(x[:9], x[:9]).distance) < 1e-6 * trace


def test_moments_are_those_of_numpy_and_stand_for_rows():
    x, y = RNG.normal(size=(2, 40, 5)) + 1e4
    found = moments(x.astype(np.float32))
    np.testing.assert_allclose(found.covariance, np.cov(x, rowvar=False), rtol=1e-3, atol=1e-3)
    assert found.num == 40 and found.covariance.dtype == np.float64
    assert frechet_distance(moments(x), moments(y)) == frechet_distance(x, y)


def test_the_bias_of_few_rows_is_a_line_in_one_over_n_with_the_slope_of_its_expansion():
    """T106: of one distribution, so that a = 0; and the floor tells it in advance."""
    root = np.linalg.cholesky(covariance(12, 3))
    draw = lambda num: RNG.normal(size=(num, 12)) @ root.T
    sizes, found = np.array([200, 400, 800]), []
    for num in sizes:
        found.append(np.mean([frechet_distance(draw(num), draw(num)).distance for _ in range(60)]))
        assert found[-1] == pytest.approx(frechet_floor(root @ root.T, num, num), rel=0.1)
    slope, at_infinity = np.polyfit(1 / sizes, found, 1)
    assert abs(at_infinity) < 0.1 * found[-1] and slope > 0
    assert frechet_floor(np.eye(8), 100, 300) == pytest.approx((8 + 18) * (1 / 100 + 1 / 300))


def test_few_rows_are_warned_of_with_the_bias_and_fewer_than_two_refused():
    x = RNG.normal(size=(20, 20))
    with pytest.warns(
        UserWarning, match=r"of 20 real and 20 fake rows with 20 features.*Take more"
    ):
        frechet_distance(x, x)
    with pytest.raises(ValueError, match="fake must have at least 2 rows; got 1"):
        frechet_distance(x, x[:1])
    with pytest.raises(ValueError, match="fake must have as many features as real, 20; got 5"):
        frechet_distance(moments(x), moments(x[:, :5]))
    with pytest.raises(ValueError, match="covariance of real must be finite"):
        frechet_distance(moments(x)._replace(covariance=np.full((20, 20), np.nan)), x)
