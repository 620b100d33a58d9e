"""I(z_i; v_j) as disentanglement_lib defines it, one pair at a time."""

import numpy as np
from sklearn.metrics import mutual_info_score


def published_information(codes, factors, num_bins=20):
    """Nats [d, k], by numpy's bins of equal width and scikit-learn's information."""
    found = np.zeros((codes.shape[1], factors.shape[1]))
    for i, unit in enumerate(codes.T):
        edges = np.histogram(unit, num_bins)[1]
        bins = np.digitize(unit, edges[:-1])
        for j, factor in enumerate(factors.T):
            found[i, j] = mutual_info_score(factor, bins)
    return found
