"""SAP: how much better the best unit predicts a factor than the second best."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..arrays import on_host_generator
from ..protocol import Key, Rows
from .codes import codes_and_factors, standardised, train_and_test


class Sap(NamedTuple):
    """The separated attribute predictability (SAP), as `sap` computes it.

    score: the mean of `gaps`
    gaps: for each factor, the difference of its two largest accuracies, [k]
    accuracy: of the prediction of factor j from unit i alone, on rows for testing, [d, k]
    """

    score: float
    gaps: np.ndarray  # of each factor, [k]
    accuracy: np.ndarray  # of each unit for each factor, on rows for testing, [d, k]


@checks.spelled
def sap(
    key: Key,
    codes: Rows,
    factors: Rows,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    standardise: bool = True,
) -> Sap:
    """SAP = 1/k Σ_j (A_(1)j - A_(2)j), A_ij the accuracy of predicting v_j from z_i alone.

    (1) and (2) are the two best units of each factor. The predictor is a linear support vector
    machine on one number, one state against the others, with states weighted by their inverse
    frequency (scikit-learn's LinearSVC with C = 0.01). A linear classifier of one number cannot
    separate more than three states, so codes equal to their factors do not reach 1; a factor with
    two states has at most ½. 0 for noise. Returns `Sap`: `score`, `gaps` [k], the term of each
    factor, and `accuracy`, A [d, k].

    key: draws the rows for fitting
    codes: z [n, d]; factors: v [n, k], integers that number the states of each factor
    num_train, num_test: rows for fitting and for testing, drawn with `key`; of fewer rows 2/3 and
        1/3
    standardise: whether each unit is divided by its standard deviation first, since at this C the
        score depends on the scale of codes; the published protocol does not

    Kumar, Sattigeri and Balakrishnan (2018), "Variational inference of disentangled latent concepts
    from unlabeled observations", section 3.
    """
    from sklearn.svm import LinearSVC  # slow to import

    checks.key(key)
    codes, states = codes_and_factors(codes, factors)
    train, test = train_and_test(on_host_generator(key), len(codes), num_train, num_test)
    if checks.flag(standardise, "standardise"):
        codes = standardised(codes, codes[train])
    accuracy = np.empty((codes.shape[1], states.shape[1]))
    for (i, j), _ in np.ndenumerate(accuracy):
        unit, state = codes[:, i, None], states[:, j]
        told = np.full(len(test), state[train[0]])
        if (state[train] != state[train[0]]).any():
            machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
            told = machine.fit(unit[train], state[train]).predict(unit[test])
        accuracy[i, j] = np.mean(told == state[test])
    gaps = np.diff(np.sort(accuracy, 0)[-2:], axis=0)[0]
    return Sap(float(gaps.mean()), gaps, accuracy)
