"""Mutual information of single units of a code and single factors, by counting; and its gap."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..protocol import Array
from .codes import codes_and_factors, entropy

BINNINGS = ("width", "quantile")
ROUNDING = 1e-12  # nats below which information is none
DEVIATIONS = 5  # above the mean of shuffled rows, from which on a unit is said to know something


class Information(NamedTuple):
    """I(z_i; v_j) in nats, and what shuffled rows give, whose true information is 0."""

    mutual: np.ndarray  # [d, k]
    entropy: np.ndarray  # H(v_j) [k]
    chance: np.ndarray  # [d, k], the mean over shuffles, 0 where there were none
    spread: np.ndarray  # [d, k], their standard deviation
    num_shuffles: int

    @property
    def above_chance(self) -> np.ndarray:
        """I less its mean over shuffles, 0 at least, [d, k]."""
        return np.maximum(self.mutual - self.chance, 0)

    @property
    def informative(self) -> np.ndarray:
        """Whether a unit knows more of a factor than five deviations of shuffles, [d].

        Without shuffles all units count.
        """
        known = self.mutual > self.chance + DEVIATIONS * self.spread
        return known.any(1) if self.num_shuffles else np.ones(len(known), bool)


class InformationGap(NamedTuple):
    """MIG = mean over factors of `gaps`."""

    score: float
    gaps: np.ndarray  # of each factor, [k], shares of its entropy
    best: np.ndarray  # the unit that knows most of it, [k]
    shares: np.ndarray  # what unit i knows of factor j, of all there is to know, [d, k]


def mutual_information(
    codes: Array,
    factors: Array,
    *,
    num_bins: int = 20,
    binning: str = "width",
    num_shuffles: int = 0,
) -> Information:
    """I(z_i; v_j) = Σ p(z, v) log p(z, v) / (p(z) p(v)) over bins of z_i and states of v_j, nats.

    codes [n, d], factors [n, k]. Bins lose information: where they are fewer than the states of a
    factor, even a code that is the factor knows less than H(v_j).
    binning: "width", num_bins of equal width between the smallest and the largest value, as is
        published; one far outlier makes all other rows one bin. "quantile", bins of equally many
        rows, with equal values in one bin, and a bin for each value of a unit that has no more.
    num_shuffles: from n rows even noise has some (b - 1)(s - 1) / 2n nats, b bins and s states.
        It is found by shuffling the rows of the factors so many times (by default_rng(0)).
    Cost: (1 + num_shuffles) n d k additions.
    """
    codes, states = codes_and_factors(codes, factors)
    num_bins = checks.positive_int(num_bins, "num_bins", least=2)
    num_shuffles = checks.positive_int(num_shuffles, "num_shuffles", least=0)
    checks.choice(binning, BINNINGS, "binning")
    if num_shuffles == 1:
        raise checks.InputError("num_shuffles must be 0 or at least 2, for a deviation; got 1.")
    bins = np.stack([_bins(unit, num_bins, binning) for unit in codes.T], 1)
    mutual, of_factors = _mutual(bins, states, num_bins)
    chance = spread = np.zeros_like(mutual)
    if num_shuffles:
        generator = np.random.default_rng(0)
        shuffled = [
            _mutual(bins, generator.permutation(states), num_bins)[0] for _ in range(num_shuffles)
        ]
        chance, spread = np.mean(shuffled, 0), np.std(shuffled, 0, ddof=1)
    return Information(mutual, of_factors, chance, spread, num_shuffles)


def mig(
    codes: Array,
    factors: Array,
    *,
    num_bins: int = 20,
    binning: str = "width",
    num_shuffles: int = 0,
) -> InformationGap:
    """1/k Σ_j [I(z_(1); v_j) - I(z_(2); v_j)] / H(v_j), (1), (2) the units that know most of v_j.

    1 where one unit knows all of a factor and no other anything; 0 of noise, and where a factor is
    spread over two units equally. Units that know nothing do no harm. The defaults are the
    published protocol, which has no 1 where bins are fewer than states: 0.90 for the factors of
    dSprites. For that take num_bins of the most states of a factor or more, binning="quantile" and
    some 20 `num_shuffles`, by which shares are (I - c) / (H - c), c the information of shuffled
    rows. `mutual_information` says what the options mean.
    Chen et al. (2018), "Isolating sources of disentanglement", equation 6.
    """
    options = {"num_bins": num_bins, "binning": binning, "num_shuffles": num_shuffles}
    found = mutual_information(codes, factors, **options)
    shares = found.above_chance / np.maximum(found.entropy - found.chance, 1e-12)
    gaps = np.diff(np.sort(shares, 0)[-2:], axis=0)[0]
    return InformationGap(float(gaps.mean()), gaps, shares.argmax(0), shares)


def _bins(unit, num_bins, binning):
    """The bin of each number of a unit [n], below num_bins."""
    if binning == "width":
        edges = np.linspace(unit.min(), unit.max(), num_bins + 1)
        return np.searchsorted(edges[1:-1], unit, side="right")
    values, which, counts = np.unique(unit, return_inverse=True, return_counts=True)
    if len(values) <= num_bins:
        return which
    below = np.cumsum(counts) - counts  # rows with a smaller number
    return (below * num_bins // len(unit))[which]


def _mutual(bins, states, num_bins):
    """I [d, k] = H(z_i) + H(v_j) - H(z_i, v_j), and H(v_j) [k]."""
    num_units, found = bins.shape[1], []
    for state in states.T:
        num = state.max() + 1
        cells = (np.arange(num_units) * num_bins + bins) * num + state[:, None]
        counts = np.bincount(cells.ravel(), minlength=num_units * num_bins * num)
        joint = counts.reshape(num_units, num_bins, num) / len(state)
        of_unit, of_factor = entropy(joint.sum(2), 1), entropy(joint[0].sum(0), 0)
        nats = of_unit + of_factor - entropy(joint, (1, 2))
        found.append((np.where(nats > ROUNDING, nats, 0), of_factor))
    return tuple(np.stack(each, -1) for each in zip(*found))
