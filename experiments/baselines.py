"""Baselines that a model must beat: densities without a network, tuned on the validation split.

`histogram` and `gaussian` return log p(x) of each test row, [n] in nats, so that they are compared
with a model in the same units and with the same standard errors. `verdicts` says which models of a
run did not beat them, and what to try.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dgm_jax.protocol import Rows


def histogram(
    train: np.ndarray, valid: np.ndarray, test: np.ndarray, num_levels: int
) -> np.ndarray:
    """p(x) = ∏_i p_i(x_i), one histogram for each pixel: p_i(v) = (n_iv + λ) / (n + λK).

    Here n_iv counts the training rows in which pixel i has value v. Rows are integers [n, d] with
    values in 0..K-1, K = num_levels. λ is the one of five values that is best on the validation
    split. Returns log p(x) of the test rows, [n] in nats.
    """
    counts = np.stack([(train == v).sum(0) for v in range(num_levels)])  # [K, d]

    def score(x, smoothing):
        log_p = np.log(counts + smoothing) - np.log(len(train) + smoothing * num_levels)
        return np.take_along_axis(log_p, x, axis=0).sum(1)

    best = max((0.01, 0.03, 0.1, 0.3, 1.0), key=lambda s: score(valid, s).mean())
    return score(test, best)


def gaussian(train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> np.ndarray:
    """log N(x; m, C) in nats of continuous test rows, [n]; m and C are those of `fit_gaussian`."""
    mean, covariance = fit_gaussian(train, valid)
    return _log_normal(np.asarray(test, np.float64), mean, covariance)


def fit_gaussian(train: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, C + λ·diag C): mean [d] and regularised covariance [d, d] of rows [n, d], in float64.

    λ is relative to the variance of each column, so columns may be in different units; it is the
    one of seven values that is best on the validation split. A column that does not vary is given a
    millionth of the mean variance of the columns.
    """
    train, valid = (np.asarray(x, np.float64) for x in (train, valid))
    mean = train.mean(0)
    covariance = (train - mean).T @ (train - mean) / len(train)
    variances = np.diag(covariance)
    floor = np.where(variances > 0, 0, 1e-6 * (variances.mean() or 1.0))

    def ridged(ridge):
        return covariance + np.diag(ridge * variances + floor)

    ridges = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
    best = max(ridges, key=lambda r: _log_normal(valid, mean, ridged(r)).mean())
    return mean, ridged(best)


def fit_independent(train: Rows, valid: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(m_i, s_i): mean and deviation of each entry of rows [n, ...], s_i² = v_i + λ·mean v.

    v_i is the variance of entry i in training. λ is the one of six values that is best on the
    validation split; it keeps an entry that hardly varies in training, such as a pixel at the edge
    of a picture, from being treated as a constant.
    """
    train, valid = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (train, valid))
    mean, variances = train.mean(0), train.var(0)

    def score(ridge):
        ridged = variances + ridge * variances.mean()
        return -0.5 * ((valid - mean) ** 2 / ridged + np.log(ridged)).mean()

    best = max((1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3), key=score)
    return mean, np.sqrt(variances + best * variances.mean())


def _log_normal(x, mean, covariance):
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, (x - mean).T)
    log_det = 2 * np.log(np.diag(factor)).sum()
    return -0.5 * ((z**2).sum(0) + log_det + len(mean) * np.log(2 * np.pi))


def verdicts(rows: dict[str, dict], *, steps: str = "--num-steps") -> list[str]:
    """One line for each model of a run that went wrong, with what to try; empty if none did.

    rows: {name: row of results.json}. A row with "best_step" is that of a trained model, the others
    are those of baselines.
    steps: the option that sets the length of training, for the advice.

    A model went wrong if a baseline has a higher test_nats, or if no step of training was better on
    the validation split than the initial parameters.
    """
    trained = {name: row for name, row in rows.items() if "best_step" in row}
    others = {name: row["test_nats"] for name, row in rows.items() if name not in trained}
    told = []
    for name, row in trained.items():
        better = {other: nats for other, nats in others.items() if nats > row["test_nats"]}
        if better:
            best = max(better, key=lambda name: better[name])
            found = f"{row['test_nats']:.2f} nats, worse than {best} ({better[best]:.2f})"
            told.append(f"{name} ends at {found}: {_advice(row, steps)}")
        elif row["best_step"] == 0:
            told.append(f"{name}: {_advice(row, steps)}")
    return told


def _advice(row, steps):
    best, end = row["best_step"], row["num_steps"]
    if best == 0:
        return (
            "no step was better on the validation split than the start. Try a tenth of "
            "--learning-rate, then more --weight-decay."
        )
    if best < end:
        return (
            f"it was best after step {best} of {end} and overfits from there. Try more "
            "--weight-decay, a smaller --learning-rate or --hidden, or more rows."
        )
    return f"it was still learning at its last step, {end}. Try more {steps}."
