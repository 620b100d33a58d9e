"""What all metrics of samples share."""

import jax
import numpy as np
import pytest

from dgm_jax import metrics
from dgm_jax.metrics import samples

X = np.random.default_rng(0).normal(size=(40, 3))
ALL = {
    "frechet_distance": metrics.frechet_distance,
    "mmd": lambda real, fake: metrics.mmd(real, fake, metrics.rbf_kernel(1.0)),
    "kernel_distance": lambda real, fake: metrics.kernel_distance(
        jax.random.key(0), real, fake, num_subsets=1, subset_size=8
    ),
    "precision_recall": metrics.precision_recall,
    "density_coverage": metrics.density_coverage,
    "sliced_wasserstein": lambda real, fake: metrics.sliced_wasserstein(
        jax.random.key(0), real, fake
    ),
    "two_sample_test": lambda real, fake: metrics.two_sample_test(jax.random.key(0), real, fake),
}


@pytest.mark.parametrize("name", ALL)
def test_results_carry_and_tell_both_numbers_of_rows(name):
    """T106: no figure compares at other sizes."""
    found = ALL[name](X, X[:24])
    assert (found.num_real, found.num_fake) == (40, 24)
    assert "40 real" in str(found) and "24 fake" in str(found)


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_pair_of_rows_is_refused(name):
    call = ALL[name]
    with pytest.raises(ValueError, match=r"fake must have as many features as real, 3; got 2"):
        call(X, X[:, :2])
    with pytest.raises(ValueError, match=r"real must be rows of features, \[n, d\]; got shape"):
        call(X.reshape(4, 10, 3), X)
    with pytest.raises(ValueError, match="fake: 1 of 40 rows have NaN"):
        call(X, np.where(np.arange(40)[:, None] == 7, np.nan, X))
    with pytest.raises(ValueError, match="real must have (at least|more than) .* rows"):
        call(X[:1], X)


def test_rows_far_from_the_origin_keep_their_distances():
    real, fake = samples.centred(X + 1e6, X[:5] + 1e6 + 1)
    distances = ((real[:5] - fake) ** 2).sum(1)
    np.testing.assert_allclose(distances, 3, rtol=1e-4)
