"""Units of a code that tell something of the data, and what metrics of factors refuse."""

import jax
import numpy as np
import pytest

from dgm_jax import metrics
from dgm_jax.metrics import codes as shared
from tests.metrics.factors import GRID, scaled


def test_a_unit_is_active_where_its_posterior_mean_varies_over_the_data():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(1000, 4)) * np.array([1.0, 0.2, 0.05, 0.0]) + 3.0
    np.testing.assert_array_equal(metrics.active_units(means), [True, True, False, False])
    np.testing.assert_array_equal(metrics.active_units(means, threshold=0.5), [True] + [False] * 3)


def test_means_that_are_not_finite_are_refused_and_make_no_unit_inactive():
    with pytest.raises(ValueError, match="means: 1 of 3 rows"):
        metrics.active_units(np.array([[0.0], [np.nan], [1.0]]))


CODES = scaled(GRID)
NAN = np.where(np.arange(4) == 2, np.nan, CODES)
REFUSED = {
    "codes: 960 of 960 rows have NaN": (NAN, GRID),
    r"codes must be rows \[n, d\] of d >= 2 units": (CODES[:, :1], GRID),
    r"factors must be rows \[n, k\] of k >= 2 factors": (CODES, GRID[:, :1]),
    "one for each of 960 codes": (CODES, GRID[1:]),
    "factors must be whole numbers": (CODES, GRID + 0.5),
    "factors must vary; column 3 has one value, 7": (
        CODES,
        np.where(np.arange(4) == 3, 7, GRID),
    ),
}
OF_FACTORS = ("mig", "mutual_information", "modularity", "beta_vae_score", "factor_vae_score")
OF_FACTORS += ("explicitness", "sap", "dci", "code_scores")


@pytest.mark.parametrize("name", OF_FACTORS)
def test_what_no_metric_of_factors_can_mean_is_refused(name):
    keys = [] if name in OF_FACTORS[:3] else [jax.random.key(0)]
    for message, (codes, factors) in REFUSED.items():
        with pytest.raises(ValueError, match=message):
            getattr(metrics, name)(*keys, codes, factors)


def test_states_are_numbered_whatever_values_stand_for_them():
    values = np.array([-7.0, 3, 40])[GRID[:, 0]]
    _, states = shared.codes_and_factors(CODES, np.stack([values, GRID[:, 1] * 4], 1))
    np.testing.assert_array_equal(states, GRID[:, :2])


@pytest.mark.parametrize(
    ("num_rows", "sizes"), [(20_000, (10_000, 5_000)), (12_000, (8_000, 4_000)), (10, (6, 4))]
)
def test_rows_for_training_and_for_testing_are_different_ones(num_rows, sizes):
    parts = shared.train_and_test(np.random.default_rng(0), num_rows, 10_000, 5_000)
    assert tuple(map(len, parts)) == sizes
    assert len(np.unique(np.concatenate(parts))) == sum(sizes)


def test_equal_numbers_share_the_mean_of_their_ranks():
    from scipy.stats import rankdata

    x = np.random.default_rng(0).integers(0, 9, (50, 3))
    np.testing.assert_array_equal(shared.average_ranks(x), rankdata(x, axis=0))
