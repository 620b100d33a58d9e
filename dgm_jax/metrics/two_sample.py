"""Classifier two-sample tests: two sets are alike if no classifier can separate them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import checks
from ..arrays import on_host_generator
from ..protocol import Key, Rows
from .samples import real_and_fake

Classifier = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""classify(x [n, d], is_real [n], x_test [m, d]) -> scores [m], above 0 for real."""


class TwoSample(NamedTuple):
    """The test accuracy of a classifier of real against fake rows, by `two_sample_test`.

    accuracy: on held-out rows, half of them real; near ½ the classifier cannot separate the sets
    p_value: the probability of this accuracy or a higher one for equal distributions
    num_test, num_real, num_fake: the numbers of held-out rows, and of all real and fake ones
    """

    accuracy: float  # on held-out rows, half of them real
    p_value: float  # P(this accuracy or a higher one) of equal distributions
    num_test: int
    num_real: int
    num_fake: int

    def __str__(self):
        sizes = f"{self.num_test} held out of {self.num_real} real, {self.num_fake} fake"
        return f"accuracy {self.accuracy:.3f}, p = {self.p_value:.2g} ({sizes})"


def nearest_neighbours(*, k: int | None = None) -> Classifier:
    """The fraction of real rows among the k nearest neighbours, minus ½: a classifier.

    A function (x [n, d], is_real [n], x_test [m, d]) -> scores [m], above 0 for real, as
    `two_sample_test` takes it.

    k: the number of neighbours, in Euclidean distance; None for about √n, an odd number. At most n
        are used

    Cost: n m d multiplications. Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample
    tests".
    """
    k = None if k is None else checks.positive_int(k, "k")

    def classify(x, is_real, x_test):
        num = min(k or int(math.sqrt(len(x))) // 2 * 2 + 1, len(x))
        norms = (x**2).sum(1)
        found = []
        for start in range(0, len(x_test), 512):
            squared = norms - 2 * x_test[start : start + 512] @ x.T  # but for ‖x_test‖²
            nearest = np.argpartition(squared, num - 1, axis=1)[:, :num]
            found.append(is_real[nearest].mean(1) - 0.5)
        return np.concatenate(found)

    return classify


def logistic_regression(*, penalty: float = 1.0, num_steps: int = 20) -> Classifier:
    """w·x + b that maximises Σ log σ(±(w·x + b)) - penalty ‖w‖²/2, + for real rows: a classifier.

    A function (x [n, d], is_real [n], x_test [m, d]) -> scores [m], above 0 for real, as
    `two_sample_test` takes it. Features are standardised first. It compares means only: it cannot
    separate sets that differ in their variance alone.

    penalty: above 0
    num_steps: steps of Newton's method

    Cost: n d² + d³ per step. Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests".
    """
    penalty = checks.positive(penalty, "penalty")
    num_steps = checks.positive_int(num_steps, "num_steps")

    def classify(x, is_real, x_test):
        mean, scale = x.mean(0), x.std(0)
        scale = np.where(scale > 0, scale, 1)
        design, test = (
            np.concatenate([(a - mean) / scale, np.ones((len(a), 1))], 1) for a in (x, x_test)
        )
        ridge = penalty * np.diag([1.0] * x.shape[1] + [1e-6])
        w = np.zeros(design.shape[1])
        for _ in range(num_steps):
            p = 0.5 * (1 + np.tanh(0.5 * design @ w))
            gradient = design.T @ (is_real - p) - ridge @ w
            curvature = (design * (p * (1 - p))[:, None]).T @ design + ridge
            w = w + np.linalg.solve(curvature, gradient)
        return test @ w

    return classify


def two_sample_test(
    key: Key, real: Rows, fake: Rows, *, classifier: Classifier | None = None
) -> TwoSample:
    """1/t Σ_i 1[the classifier is right about test row i], for t test rows that are real or fake.

    The classifier is trained on half of the rows and tested on the t others, with as many real as
    fake ones; t is min(n, m), or one less if it is odd. For equal distributions the number of right
    answers is about binomial with probability ½, so that an accuracy above ½ + 1.64 √(1/4t) has a
    p-value below 0.05 (in the normal approximation).

    key: draws which rows are for testing, and subsamples the larger set to the size of the smaller
    real, fake: rows, [n, d] and [m, d], at least four each, else `InputError`
    classifier: a function (x [t, d], is_real [t], x_test [t, d]) -> scores [t], above 0 for real; a
        score of 0 counts as half right. `nearest_neighbours()` by default, `logistic_regression()`,
        or your own, such as one that trains a net

    Returns `TwoSample`: accuracy; p_value, the probability of this accuracy or a higher one for
    equal distributions, in the normal approximation; and the numbers num_test = t, num_real = n and
    num_fake = m. Cost: that of the classifier.

    Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests".
    """
    checks.key(key)
    real, fake = real_and_fake(real, fake, least=4)
    classifier = nearest_neighbours() if classifier is None else classifier
    checks.function(classifier, "classifier")
    num = min(len(real), len(fake)) // 2 * 2
    generator = on_host_generator(key)
    x, y = (a[generator.permutation(len(a))[:num]].astype(np.float64) for a in (real, fake))
    half = num // 2
    train, test = np.concatenate([x[:half], y[:half]]), np.concatenate([x[half:], y[half:]])
    is_real = np.repeat([1.0, 0.0], half)
    scores = classifier(train, is_real, test)
    if getattr(scores, "shape", None) != is_real.shape:
        raise checks.InputError(
            f"classifier must return one score for each of {len(test)} rows, as an array; got "
            f"{checks.shown(scores)}."
        )
    scores = np.asarray(scores)
    right = np.where(scores == 0, 0.5, (scores > 0) == (is_real > 0)).mean()
    deviation = (right - 0.5) * math.sqrt(4 * len(test))
    p_value = 0.5 * math.erfc(deviation / math.sqrt(2))
    return TwoSample(float(right), p_value, len(test), len(real), len(fake))
