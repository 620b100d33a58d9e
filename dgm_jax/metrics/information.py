"""Mutual information of single units of a code and single factors, from histograms; and the MIG."""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..protocol import Rows
from .codes import codes_and_factors, entropy

BINNINGS = ("width", "quantile")
ROUNDING = 1e-12  # nats below which information is none
DEVIATIONS = 5  # above the mean of shuffled rows, from which on a unit is said to know something


class Information(NamedTuple):
    """I(z_i; v_j) of each unit and factor, in nats, and what shuffled rows have by chance.

    mutual: I [d, k]
    entropy: H(v_j) [k], the largest possible I
    chance: the mean of I over random shuffles of the rows, [d, k]: what finite samples show for
        independent z and v; 0 without shuffles
    spread: the standard deviation over shuffles, [d, k]
    num_shuffles: how many

    Returned by `mutual_information`.
    """

    mutual: np.ndarray  # [d, k]
    entropy: np.ndarray  # H(v_j) [k]
    chance: np.ndarray  # [d, k], the mean over shuffles, 0 where there were none
    spread: np.ndarray  # [d, k], their standard deviation
    num_shuffles: int

    @property
    def above_chance(self) -> np.ndarray:
        """I minus its mean over shuffles, at least 0, [d, k]."""
        return np.maximum(self.mutual - self.chance, 0)

    @property
    def informative(self) -> np.ndarray:
        """Whether a unit is more informative than the mean of shuffles plus five deviations, [d].

        Without shuffles all units count as informative.
        """
        known = self.mutual > self.chance + DEVIATIONS * self.spread
        return np.any(known, 1) if self.num_shuffles else np.ones(len(known), bool)


class InformationGap(NamedTuple):
    """The mutual information gap (MIG), as `mig` computes it.

    score: the mean of `gaps`
    gaps: for each factor, the difference of its two largest `shares`, [k]
    best: the most informative unit of each factor, integers [k]
    shares: I(z_i; v_j) / H(v_j), [d, k], both minus the information of shuffled rows, if there are
        any
    """

    score: float
    gaps: np.ndarray  # of each factor, [k], as fractions of its entropy
    best: np.ndarray  # the most informative unit of each factor, [k]
    shares: np.ndarray  # I(z_i; v_j) / H(v_j), [d, k]


@checks.spelled
def mutual_information(
    codes: Rows,
    factors: Rows,
    *,
    num_bins: int = 20,
    binning: str = "width",
    num_shuffles: int = 0,
) -> Information:
    """I(z_i; v_j) = Σ_b Σ_s p(b, s) log [p(b, s) / (p(b) p(s))], b bins of z_i, s states of v_j.

    p(b, s) is the fraction of the rows whose z_i is in bin b and whose v_j is s.

    codes: z [n, d], d ≥ 2; factors: v [n, k], k ≥ 2, whole numbers that name the states of a factor
    num_bins: into how many bins each unit is divided. With fewer bins than a factor has states,
        even a code equal to the factor has less than H(v_j)
    binning: "width", bins of equal width between the minimum and the maximum, as published; a far
        outlier puts all other rows into one bin. "quantile", bins with equally many rows, where
        equal values share a bin, and one bin per value if there are no more values than bins
    num_shuffles: with n rows even noise has about (B - 1)(S - 1) / 2n nats, for B bins and S
        states. This bias is estimated from so many random shuffles of the rows of the factors; 0,
        or at least 2

    Returns `Information`, all in nats: mutual, I [d, k]; entropy, H(v_j) [k], the largest possible
    I; chance and spread, mean and standard deviation of I over the shuffles, [d, k], or 0. A factor
    with one value only raises `InputError`. Cost: (1 + num_shuffles) n d k additions. Chen et al.
    (2018), "Isolating sources of disentanglement in VAEs", section 4.
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


@checks.spelled
def mig(
    codes: Rows,
    factors: Rows,
    *,
    num_bins: int = 20,
    binning: str = "width",
    num_shuffles: int = 0,
) -> InformationGap:
    """1/k Σ_j [I(z_(1); v_j) - I(z_(2); v_j)] / H(v_j), (1), (2) the most informative units of v_j.

    The mutual information gap: 1 if one unit determines each factor and no other unit is
    informative of it; 0 for noise, and if a factor is spread over two units equally. Uninformative
    units do no harm. Returns `InformationGap`: `score`, `gaps` [k], the term of each factor, `best`
    [k], the unit (1) of each factor, and `shares` [d, k], I(z_i; v_j) / H(v_j).

    codes: z [n, d]; factors: v [n, k], integers that number the states of each factor
    num_bins, binning, num_shuffles: how I is estimated: the number of bins of a unit; "width", bins
        of equal width, or "quantile", bins with equally many rows; and the number of random
        shuffles of the rows that estimate its bias, 0 for no correction. The defaults are the
        published protocol, which cannot reach 1 if there are fewer bins than states. To reach it,
        use at least as many num_bins as the largest number of states, binning="quantile" and about
        20 num_shuffles: then terms are (I - c) / (H - c), with c the information of shuffled rows

    Chen et al. (2018), "Isolating sources of disentanglement in VAEs", equation 6.
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
