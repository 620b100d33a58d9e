"""DCI: which units of a code a predictor uses for each factor."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import checks
from ..arrays import on_host_generator
from ..protocol import Key, Rows
from .codes import codes_and_factors, entropy, train_and_test

Predictor = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""predict(z [n, d], v [n], z_test [m, d]) -> (importance of each unit [d] >= 0, v [m])."""


class Dci(NamedTuple):
    """Disentanglement, completeness and informativeness of codes, as `dci` computes them.

    disentanglement: the weighted mean of `units`, 1 if each unit is important for one factor only
    completeness: the weighted mean of `factors`, 1 if each factor is predicted from one unit only
    informativeness: the mean of `accuracy`, on rows for testing
    importance: R [d, k], the importance of unit i for the prediction of factor j
    units: the disentanglement of each unit, [d]; factors: the completeness of each factor, [k]
    accuracy: of the prediction of each factor, [k]
    """

    disentanglement: float
    completeness: float
    informativeness: float  # the accuracy on rows for testing, a mean over factors
    importance: np.ndarray  # R [d, k]
    units: np.ndarray  # the disentanglement of each, [d]
    factors: np.ndarray  # the completeness of each, [k]
    accuracy: np.ndarray  # of each factor, [k]


def random_forest(*, num_trees: int = 10, min_rows: int = 5) -> Predictor:
    """A predictor for `dci`: a random forest, with importances by the decrease of impurity.

    A function (z [m, d], v [m], z_test) -> (importance [d], v of z_test). Each split considers all
    units.

    num_trees: the number of trees
    min_rows: no leaf has fewer rows, which prevents overfitting to noise

    scikit-learn's RandomForestClassifier. Breiman (2001), "Random forests".
    """
    num_trees = checks.positive_int(num_trees, "num_trees")
    min_rows = checks.positive_int(min_rows, "min_rows")

    def make():
        from sklearn.ensemble import RandomForestClassifier  # slow to import

        options = {"max_features": None, "min_samples_leaf": min_rows, "random_state": 0}
        return RandomForestClassifier(num_trees, **options)

    return _predictor(make)


def gradient_boosting(*, num_trees: int = 100) -> Predictor:
    """A predictor for `dci`: gradient boosted trees for each state of a factor, as in the paper.

    A function (z [m, d], v [m], z_test) -> (importance [d], v of z_test), with the importance of a
    unit by the decrease of impurity.

    num_trees: the number of boosting steps

    Cost: minutes for 10,000 rows and factors with tens of states. scikit-learn's
    GradientBoostingClassifier. Friedman (2001), "Greedy function approximation: a gradient boosting
    machine".
    """
    num_trees = checks.positive_int(num_trees, "num_trees")

    def make():
        from sklearn.ensemble import GradientBoostingClassifier  # slow to import

        return GradientBoostingClassifier(n_estimators=num_trees, random_state=0)

    return _predictor(make)


@checks.spelled
def dci(
    key: Key,
    codes: Rows,
    factors: Rows,
    *,
    predictor: Predictor | None = None,
    num_train: int = 10_000,
    num_test: int = 5_000,
) -> Dci:
    """D = Σ_i ρ_i [1 - H_k(P_i)], C = Σ_j γ_j [1 - H_d(P'_j)], from importances R [d, k].

    For each factor a predictor is fitted to the codes of some rows, which gives the importance R_ij
    of unit i for factor j, and tested on others: its accuracy is the informativeness. P_i is row i
    of R, divided by its sum, P'_j column j; H_k is the entropy to base k; ρ_i and γ_j are the
    fractions of row i and column j in the sum of R. So a unit that is important for one factor only
    has disentanglement 1, and an unused unit does not count. All three are 1 for codes equal to
    their factors; for noise D and C are near 0, and informativeness is that of guessing. Returns
    `Dci` with `disentanglement` D, `completeness` C, `informativeness`, the mean accuracy,
    `importance` R, `units` [d] and `factors` [k], the brackets of the two sums, and `accuracy` [k]
    for each factor.

    key: draws the rows for fitting
    codes: [n, d]; factors: [n, k], integers that number the states of each factor
    predictor: `random_forest()` by default, `gradient_boosting()` as published, or your own
        function predict(z [m, d], v [m], z_test) -> (importance of each unit [d] ≥ 0, v of z_test).
        Scores with different predictors are not comparable
    num_train, num_test: rows for fitting and for testing, drawn with `key`; of fewer rows 2/3 and
        1/3

    Eastwood and Williams (2018), "A framework for the quantitative evaluation of disentangled
    representations", section 2.
    """
    checks.key(key)
    codes, states = codes_and_factors(codes, factors)
    predictor = random_forest() if predictor is None else predictor
    checks.function(predictor, "predictor")
    train, test = train_and_test(on_host_generator(key), len(codes), num_train, num_test)
    importance, accuracy = [], []
    for state in states.T:
        weight, told = predictor(codes[train], state[train], codes[test])
        importance.append(_importance(weight, codes.shape[1]))
        accuracy.append(np.mean(np.asarray(told) == state[test]))
    return _scores(np.stack(importance, 1), np.array(accuracy))


def _scores(importance, accuracy):
    units, factors = _purity(importance.T), _purity(importance)
    shares = importance if importance.sum() else np.ones_like(importance)
    of_units, of_factors = (shares.sum(axis) / shares.sum() for axis in (1, 0))
    return Dci(
        float(units @ of_units),
        float(factors @ of_factors),
        float(accuracy.mean()),
        importance,
        units,
        factors,
        accuracy,
    )


def _purity(importance):
    """1 - H(column) to the base of its length; 0 for one of zeros, by a grain that is published."""
    shares = importance + 1e-11
    return 1 - entropy(shares / shares.sum(0), 0) / np.log(len(shares))


def _importance(weight, num_units):
    weight = np.asarray(weight, np.float64)
    if weight.shape != (num_units,) or not (weight >= 0).all() or not np.isfinite(weight).all():
        raise checks.InputError(
            f"predictor must return the importance of each of {num_units} units, none below 0; got "
            f"{checks.shown(weight)}."
        )
    return weight


def _predictor(make):
    def predict(codes, states, test_codes):
        if (states == states[0]).all():  # nothing to learn
            return np.zeros(codes.shape[1]), np.full(len(test_codes), states[0])
        fitted = make().fit(codes, states)
        return fitted.feature_importances_, fitted.predict(test_codes)

    return predict
