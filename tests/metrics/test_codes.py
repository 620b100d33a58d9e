"""Units of a code that tell something of the data."""

import numpy as np
import pytest

from dgm_jax import metrics


def test_a_unit_is_active_where_its_posterior_mean_varies_over_the_data():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(1000, 4)) * np.array([1.0, 0.2, 0.05, 0.0]) + 3.0
    np.testing.assert_array_equal(metrics.active_units(means), [True, True, False, False])
    np.testing.assert_array_equal(metrics.active_units(means, threshold=0.5), [True] + [False] * 3)


def test_means_that_are_not_finite_are_refused_and_make_no_unit_inactive():
    with pytest.raises(ValueError, match="means: 1 of 3 rows"):
        metrics.active_units(np.array([[0.0], [np.nan], [1.0]]))
