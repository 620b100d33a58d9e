"""SAP: how much better the best unit predicts a factor than the second best."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..arrays import on_host_generator
from ..protocol import Key, Rows
from .codes import codes_and_factors, standardised, train_and_test


class Sap(NamedTuple):
    """SAP, the mean of `gaps` over factors."""

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

    codes [n, d], factors [n, k]. The two best units of each factor are compared. The predictor is a
    linear support vector machine on one number, one state against the others, with states weighted
    by their inverse frequency (scikit-learn's LinearSVC with C = 0.01), trained on num_train rows;
    accuracies are those of num_test others. A linear classifier of one number cannot separate more
    than three states, so codes equal to their factors do not reach 1; a factor with two states has
    at most ½.
    standardise: at this C the score depends on the scale of codes. True standardises them first;
        the published protocol does not 0 for noise. Kumar et al. (2018), "Variational inference of
        disentangled latent concepts", section 3.
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
