"""Modularity: each unit encodes one factor. Explicitness: all units together determine each."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..arrays import on_host_generator
from ..protocol import Key, Rows
from .codes import average_ranks, codes_and_factors, standardised, train_and_test
from .information import mutual_information


class Modularity(NamedTuple):
    """The mean of `units` over the units that count."""

    score: float
    units: np.ndarray  # [d], 0 for uninformative ones
    counted: np.ndarray  # [d], booleans


class Explicitness(NamedTuple):
    """Areas under the ROC curve: 1 if a linear classifier recognises a state, ½ for guessing."""

    score: float  # the mean over factors
    areas: np.ndarray  # of each factor, the mean over its states, [k]


@checks.spelled
def modularity(
    codes: Rows,
    factors: Rows,
    *,
    num_bins: int = 20,
    binning: str = "width",
    num_shuffles: int = 0,
) -> Modularity:
    """1/d Σ_i [1 - Σ_{j≠j*} I(z_i; v_j)² / (k - 1) I(z_i; v_j*)²], j* the main factor of z_i.

    codes [n, d], factors [n, k]. 1 if each unit encodes one factor only, even if several units
    encode the same; 0 for a unit that is equally informative of all factors, or of none. The
    published protocol (the defaults) gives 0.67 for noise, because it compares what finite samples
    show by chance. With about 20 num_shuffles this is subtracted, and units no more informative
    than chance are left out; 0 if none is left. num_bins, binning: see `mutual_information`.
    Ridgeway and Mozer (2018), "Learning deep disentangled embeddings", section 3.
    """
    options = {"num_bins": num_bins, "binning": binning, "num_shuffles": num_shuffles}
    found = mutual_information(codes, factors, **options)
    squared = found.above_chance**2
    most = squared.max(1)
    rest = (squared.sum(1) - most) / (squared.shape[1] - 1)
    units = np.where(most > 0, 1 - rest / np.where(most > 0, most, 1), 0)
    counted = found.informative
    score = units[counted].mean() if counted.any() else 0.0
    return Modularity(float(score), units, counted)


def explicitness(
    key: Key, codes: Rows, factors: Rows, *, num_train: int = 10_000, num_test: int = 5_000
) -> Explicitness:
    """1/k Σ_j 1/s_j Σ_v AUC of "v_j = v", by logistic regression of each factor on all of z.

    codes [n, d], factors [n, k]. The classifier is multinomial, with penalty ½ ‖w‖² on the sum of
    losses (scikit-learn's C = 1), on standardised codes of num_train rows; the areas are computed
    on num_test other rows, without states that are in all or none of them. It does not depend on
    where a factor is encoded: a rotation of the code has the same score. ½ is chance. Codes equal
    to their factors score less than 1 if a state lies between others, because a linear function of
    one unit cannot separate it from both sides. Ridgeway and Mozer (2018), section 4. Cost:
    seconds, most for factors with many states.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    checks.key(key)
    codes, states = codes_and_factors(codes, factors)
    train, test = train_and_test(on_host_generator(key), len(codes), num_train, num_test)
    codes = standardised(codes, codes[train])
    areas = []
    for state in states.T:
        known = np.unique(state[train])
        probabilities = np.ones((len(test), 1))
        if len(known) > 1:
            fitted = LogisticRegression(max_iter=1000).fit(codes[train], state[train])
            probabilities = fitted.predict_proba(codes[test])
        areas.append(_area(probabilities, state[test, None] == known))
    return Explicitness(float(np.mean(areas)), np.array(areas))


def _area(scores, is_state):
    """P(score of a row of the state > that of another), ties half; mean over states [m, s]."""
    positive, negative = is_state.sum(0), (~is_state).sum(0)
    told = (positive > 0) & (negative > 0)
    if not told.any():
        return 0.5
    ranks = average_ranks(scores)
    above = (ranks * is_state).sum(0) - positive * (positive + 1) / 2
    return (above[told] / (positive * negative)[told]).mean()
