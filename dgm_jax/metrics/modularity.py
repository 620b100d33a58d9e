"""Modularity: each unit encodes one factor. Explicitness: all units together determine each."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..arrays import on_host_generator
from ..protocol import Key, Rows
from .codes import average_ranks, codes_and_factors, standardised, train_and_test
from .information import mutual_information


class Modularity(NamedTuple):
    """How few factors each unit of a code encodes, as `modularity` computes it, from 0 to 1.

    score: the mean of `units` over the units that count
    units: the modularity of each unit, [d]: 1 if it encodes one factor, 0 if it is uninformative
    counted: booleans [d], which units are more informative than shuffled rows; all without shuffles
    """

    score: float
    units: np.ndarray  # [d], 0 for uninformative ones
    counted: np.ndarray  # [d], booleans


class Explicitness(NamedTuple):
    """Areas under the ROC curve: 1 if a linear classifier recognises each state, ½ for guessing.

    score: the mean over factors
    areas: of each factor, the mean over its states, [k]

    Returned by `explicitness`.
    """

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
    """1/d Σ_i m_i, m_i = 1 - Σ_{j≠j*} I_ij² / [(k - 1) I_ij*²], with I_ij = I(z_i; v_j).

    I is the mutual information of unit i and factor j, and j* the factor with the largest one for
    the unit. 1 if each unit encodes one factor only, even if several units encode the same; 0 for a
    unit that is equally informative of all factors, or of none. The published protocol (the
    defaults) gives 0.67 for noise, because it compares what finite samples show by chance.

    codes: z [n, d], d ≥ 2; factors: v [n, k], k ≥ 2, whole numbers that name the states of a factor
    num_bins: into how many bins each unit is divided, to estimate I (`mutual_information`)
    binning: "width", bins of equal width, or "quantile", bins with equally many rows
    num_shuffles: 0, or at least 2, such as 20: the mean information of so many random shuffles of
        the rows is subtracted from I, and units whose I exceeds it by five standard deviations for
        no factor are left out; the score is 0 if none is left

    Returns `Modularity`: score, from 0 to 1; units, m_i [d]; counted, booleans [d], the units over
    which the score is the mean. Cost: that of `mutual_information`. Ridgeway and Mozer (2018),
    "Learning deep disentangled embeddings with the f-statistic loss", section 3.
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

    AUC is the area under the ROC curve and s_j the number of states of factor j. The classifier is
    multinomial, with penalty ½ ‖w‖² on the sum of losses (scikit-learn's C = 1), on standardised
    codes. It does not matter where a factor is encoded: a rotation of the code has the same score.
    ½ is chance. Codes equal to their factors score less than 1 if a state lies between others,
    because a linear function of one unit cannot separate it from both sides. Returns
    `Explicitness`: `score`, the mean over factors, and `areas` [k], that of each factor.

    key: draws the rows for fitting
    codes: z [n, d]; factors: v [n, k], integers that number the states of each factor
    num_train, num_test: rows for fitting and for the areas, drawn with `key`; of fewer rows 2/3 and
        1/3. States of all or none of the test rows are left out

    Cost: seconds, most for factors with many states. Ridgeway and Mozer (2018), "Learning deep
    disentangled embeddings with the f-statistic loss", section 4.
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
