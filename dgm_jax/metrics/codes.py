"""What a code z of data x keeps of them."""

import numpy as np

from .. import checks
from ..protocol import Array


def active_units(means: Array, *, threshold: float = 0.01) -> np.ndarray:
    """Var_x(E[z_i | x]) > threshold for each unit i of z: whether z_i depends on x.

    means: E[z | x_n] of the posterior at many x, [n, ...]; returns booleans [...]. A unit that
    ignores the data has the same posterior mean everywhere. Raises `ValueError` for means that are
    not finite. Burda et al. (2016), "Importance weighted autoencoders", section 5.2.
    """
    means = checks.finite_rows(means, "means").astype(np.float64)
    threshold = checks.not_negative(threshold, "threshold")
    return means.var(axis=0) > threshold
