"""Units of a code that tell something of the data."""

import numpy as np

from dgm_jax import metrics


def test_a_unit_is_active_where_its_posterior_mean_varies_over_the_data():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(1000, 4)) * np.array([1.0, 0.2, 0.05, 0.0]) + 3.0
    np.testing.assert_array_equal(metrics.active_units(means), [True, True, False, False])
    np.testing.assert_array_equal(metrics.active_units(means, threshold=0.5), [True] + [False] * 3)
