"""How a code changes while one factor of the data is fixed and all others are random."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..arrays import on_host_generator
from ..protocol import Key, Rows
from .codes import codes_and_factors

CHUNK = 500  # batches at once


class FixedFactor(NamedTuple):
    """How often the factor that a batch has in common is recognised: by `beta_vae_score`.

    accuracy: the fraction of new batches whose factor is recognised: the score
    train_accuracy: the same for the batches that the classifier was trained on
    chance: 1/k, the accuracy of guessing among k factors
    """

    accuracy: float  # on new batches
    train_accuracy: float
    chance: float  # 1/k

    def __str__(self):
        return f"{self.accuracy:.3f} (chance {self.chance:.2f})"


class FactorVotes(NamedTuple):
    """How often the factor that a batch has in common is recognised: by `factor_vae_score`.

    accuracy, train_accuracy: the fractions of new batches and of the num_train voting ones whose
        factor is recognised; the first is the score
    chance: 1/k, the accuracy of guessing among k factors
    votes: [d, k], in how many batches with equal v_j unit i had the smallest variance
    active: [d], booleans: which units varied enough to take part
    """

    accuracy: float
    train_accuracy: float
    chance: float
    votes: np.ndarray  # [d, k]: in how many batches unit i moved least, of all where v_j stayed
    active: np.ndarray  # [d], booleans: which units took part

    __str__ = FixedFactor.__str__


@checks.spelled
def beta_vae_score(
    key: Key,
    codes: Rows,
    factors: Rows,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    batch_size: int = 64,
) -> FixedFactor:
    """P(a linear classifier predicts j from 1/L Σ_l |z_l - z_l'|), where pairs agree in factor j.

    For each point a factor j is drawn, and L pairs of rows that agree in v_j and are random
    otherwise: the first from all rows, the second from those with its v_j. The classifier is
    multinomial logistic regression with penalty ½ ‖w‖² on the sum of losses (scikit-learn's C = 1),
    on unscaled differences: codes with much smaller variance than 1 score less. Uninformative units
    do no harm. 1 for codes equal to their factors, and for linear maps of them in which each unit
    has few factors; 1/k for noise. Returns `FixedFactor`: `accuracy` on the test points (the
    score), `train_accuracy`, and `chance`, 1/k.

    key: draws points and rows
    codes: z [n, d]; factors: v [n, k], integers that number the states of each factor
    num_train, num_test: the numbers of points for training, at least 100, and for testing
    batch_size: L

    Cost: (num_train + num_test) L d. Higgins et al. (2017), "beta-VAE: learning basic visual
    concepts with a constrained variational framework", section 3.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    draws = _Draws(key, codes, factors, num_train, num_test, batch_size)
    x, x_test = (draws.each(num, _mean_difference) for num in (draws.num_train, draws.num_test))
    fitted = LogisticRegression(max_iter=1000).fit(*x)
    return FixedFactor(fitted.score(*x_test), fitted.score(*x), 1 / draws.num_factors)


@checks.spelled
def factor_vae_score(
    key: Key,
    codes: Rows,
    factors: Rows,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    batch_size: int = 64,
    threshold: float = 0.05,
) -> FactorVotes:
    """P(the unit with the smallest variance predicts j), where v_j is equal in all rows of a batch.

    For each vote a factor j and a value of it (that of a random row) are drawn, and batch_size rows
    with that value. The unit with the smallest variance in the batch, relative to that over all
    rows (both with n - 1), votes for j. A unit predicts the factor with most of its num_train
    votes; the accuracy is that of num_test other votes. 1 for codes equal to their factors; 1/k for
    noise, and usually if factors are mixed. Returns `FactorVotes`: `accuracy` (the score),
    `train_accuracy`, `chance` (1/k), `votes` [d, k], how often unit i voted for factor j, and
    `active` [d], booleans, which units took part.

    key: draws votes and rows
    codes: z [n, d]; factors: v [n, k], integers that number the states of each factor
    num_train, num_test: the numbers of votes for training, at least 100, and for testing
    batch_size: the rows of a vote, at least 2
    threshold: units whose standard deviation over all rows is smaller are left out, because an
        unused unit would vary least of all; the score is 0 if none is left

    Cost: (num_train + num_test) batch_size d. Kim and Mnih (2018), "Disentangling by factorising",
    section 4.
    """
    threshold = checks.not_negative(threshold, "threshold")
    draws = _Draws(key, codes, factors, num_train, num_test, batch_size)
    variance = draws.codes.var(0, ddof=1)
    active = (np.sqrt(variance) >= threshold) & (np.ptp(draws.codes, axis=0) > 0)
    shape, chance = (len(active), draws.num_factors), 1 / draws.num_factors
    if not active.any():
        return FactorVotes(0.0, 0.0, chance, np.zeros(shape, int), active)
    scale = np.where(active, variance, 1)

    def moves_least(first, second):
        moved = np.where(active, second.var(1, ddof=1) / scale, np.inf)
        return moved.argmin(1)

    def count(num):
        unit, factor = draws.each(num, moves_least, one_value=True)
        return np.bincount(unit * shape[1] + factor, minlength=shape[0] * shape[1]).reshape(shape)

    votes, test_votes = count(draws.num_train), count(draws.num_test)
    told, units = votes.argmax(1), np.arange(len(votes))
    accuracy, train_accuracy = (v[units, told].sum() / v.sum() for v in (test_votes, votes))
    return FactorVotes(float(accuracy), float(train_accuracy), chance, votes, active)


def _mean_difference(first, second):
    return abs(first - second).mean(1)


class _Draws:
    """Batches of pairs of codes that agree in one factor; rows are sorted once by each."""

    def __init__(self, key, codes, factors, num_train, num_test, batch_size):
        checks.key(key)
        self.num_train = checks.positive_int(num_train, "num_train", least=100)
        self.num_test = checks.positive_int(num_test, "num_test")
        self.batch_size = checks.positive_int(batch_size, "batch_size", least=2)
        self.codes, self.states = codes_and_factors(codes, factors)
        self.num_factors = self.states.shape[1]
        self.generator = on_host_generator(key)
        most = self.states.max() + 1
        self.order = np.argsort(self.states, axis=0, kind="stable")  # [n, k]
        self.counts = np.stack([np.bincount(v, minlength=most) for v in self.states.T])
        self.starts = np.cumsum(self.counts, 1) - self.counts  # [k, states]

    def each(self, num, function, *, one_value=False):
        """function(first, second) [num, ...] of codes [batches, size, d], and the factors [num]."""
        factor = self.generator.integers(self.num_factors, size=num)
        parts = np.split(factor, range(CHUNK, num, CHUNK))
        return np.concatenate([function(*self.pairs(part, one_value)) for part in parts]), factor

    def pairs(self, factor, one_value):
        """Codes [batches, size, d] twice, which agree in a factor [batches]."""
        shape = (len(factor), 1 if one_value else self.batch_size)
        first = self.generator.integers(len(self.codes), size=shape)
        factor = factor[:, None]
        value = self.states[first, factor]
        place = self.generator.random((len(factor), self.batch_size)) * self.counts[factor, value]
        second = self.order[self.starts[factor, value] + place.astype(int), factor]
        return self.codes[first], self.codes[second]
