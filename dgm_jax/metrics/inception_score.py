"""The Inception score: the class probabilities of samples under a classifier."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..protocol import Rows
from .samples import feature_rows


class InceptionScore(NamedTuple):
    """exp(E_x KL(p(y | x) ‖ p(y))) as `inception_score` computes it: 1..C for C classes.

    score: the mean over splits; higher is better
    spread: the standard deviation over splits, 0 for one split
    num_splits, num_fake: the numbers of splits and of samples; scores are comparable only for equal
        ones
    """

    score: float  # the mean of all splits
    spread: float  # their standard deviation, 0 of one split
    num_splits: int
    num_fake: int

    def __str__(self):
        sizes = f"{self.num_fake} fake in {self.num_splits} splits"
        return f"{self.score:.3f} ± {self.spread:.3f} ({sizes})"


def inception_score(logits: Rows, *, num_splits: int = 1) -> InceptionScore:
    """exp(E_x KL(p(y | x) ‖ p(y))), with p(y) = E_x p(y | x) over all samples x.

    The score is 1 if all samples have the same class probabilities, and C if each is classified
    with certainty and all classes are equally frequent. Real data do not enter, so one perfect
    sample of each class has the score C. Returns `InceptionScore`: `score`; `spread`, the standard
    deviation over parts; `num_splits`, and `num_fake` n.

    logits: [n, C], those of a classifier of C classes at the samples. Scores of different
        classifiers are not comparable
    num_splits: into how many parts the rows are divided, each with its own p(y); the score is the
        mean over parts. The published protocol has 10 splits of 5000 samples; with fewer samples
        the score is biased downwards. Shuffle samples that are sorted by class. More splits than
        rows raise `InputError`

    Salimans et al. (2016), "Improved techniques for training GANs", section 4.
    """
    num_splits = checks.positive_int(num_splits, "num_splits")
    logits = feature_rows(logits, "logits", least=1).astype(np.float64)
    if len(logits) < num_splits:
        raise checks.InputError(
            f"num_splits must be at most the {len(logits)} rows of logits; got {num_splits}."
        )
    scores = [_score(part) for part in np.array_split(logits, num_splits)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), num_splits, len(logits))


def _score(logits) -> float:
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    log_marginal = np.logaddexp.reduce(log_p, axis=0) - np.log(len(log_p))
    return float(np.exp((np.exp(log_p) * (log_p - log_marginal)).sum(1).mean()))
