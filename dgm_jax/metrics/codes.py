"""What a code z of data x keeps of them."""

import numpy as np

from ..protocol import Array


def active_units(means: Array, *, threshold: float = 0.01) -> np.ndarray:
    """Var_x(E[z_i | x]) > threshold for each unit i of z: whether it tells something of x.

    means E[z | x_n] [n, ...] of the posterior at many x; returns booleans [...]. A unit that
    ignores the data has the same posterior mean everywhere. Burda et al. (2016), section 5.2.
    """
    means = np.asarray(means, np.float64)
    return means.var(axis=0) > threshold
