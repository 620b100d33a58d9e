"""How a code z of data x represents the factors v from which x was generated.

Codes are rows [n, d], usually the means of q(z | x), and factors rows [n, k] of integers whose
values are states without an order, such as the shape or the position. The rows should be all
combinations of the factors, or a random sample of these. A code is disentangled if each factor is
encoded in its own unit. The metrics differ in how they measure this:

| question                                                      | function           | of noise |
|---------------------------------------------------------------|--------------------|----------|
| does the unit that moves least tell which factor stayed?      | `factor_vae_score` | 1/k      |
| ... and a linear classifier of all units?                     | `beta_vae_score`   | 1/k      |
| does one unit know more of a factor than all others?          | `mig`              | 0        |
| ... by how well it predicts the factor?                       | `sap`              | 0        |
| does a unit know of one factor only?                          | `modularity`       | 0.67 (a) |
| can all units together tell a factor, by a linear classifier? | `explicitness`     | 0.5      |
| how are factors and the units that predict them paired?       | `dci`              | 0 (b)    |
| do models trained from other seeds find the same units?       | `udr`              | small    |

(a) 0 with num_shuffles. (b) Its informativeness is that of guessing. Codes equal to the factors, in
any order, scale and sign, score 1 unless a docstring says otherwise. Two units that are two factors
rotated by 45 degrees score 0 in `mig`, `sap`, `modularity` and `dci`, and ½ in the first two.
`code_scores` computes all but the last. Locatello et al. (2019), "Challenging common assumptions",
compare them.
"""

import numpy as np

from .. import checks
from ..protocol import Rows


def active_units(means: Rows, *, threshold: float = 0.01) -> np.ndarray:
    """Var_x(E[z_i | x]) > threshold for each unit i of z: whether z_i depends on x.

    means: E[z | x_n] of the posterior at many x, [n, ...]; threshold: of the variance. Returns
        booleans [...]. A unit that ignores the data has the same posterior mean for all x. Raises
        `ValueError` for means that are not finite. Burda et al. (2016), "Importance weighted
        autoencoders", section 5.2.
    """
    means = checks.finite_rows(means, "means").astype(np.float64)
    threshold = checks.not_negative(threshold, "threshold")
    return means.var(axis=0) > threshold


# ------------------------------------------------------------- what metrics of factors need too
def code_rows(codes: Rows, name: str = "codes") -> np.ndarray:
    """Codes as a NumPy array [n, d] in float64, if they are finite and d is at least 2.

    codes: rows; name: that of the argument, for the `InputError` for others
    """
    codes = checks.finite_rows(codes, name)
    if codes.ndim != 2 or codes.shape[1] < 2:
        raise checks.InputError(
            f"{name} must be rows [n, d] of d >= 2 units; got shape {codes.shape}."
        )
    return codes.astype(np.float64)


def codes_and_factors(codes: Rows, factors: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(codes [n, d] in float64, states [n, k]): factors as integers 0, 1, ... in order of values.

    codes: finite rows, d ≥ 2
    factors: whole numbers [n, k], k ≥ 2, each with at least two different values

    Others raise `InputError`.
    """
    codes, factors = code_rows(codes), checks.finite_rows(factors, "factors")
    if factors.ndim != 2 or factors.shape[1] < 2 or len(factors) != len(codes):
        raise checks.InputError(
            f"factors must be rows [n, k] of k >= 2 factors, one for each of {len(codes)} codes; "
            f"got shape {factors.shape}."
        )
    if (factors != np.floor(factors)).any():
        raise checks.InputError(
            "factors must be whole numbers, which are taken for states; got others. Put real "
            "numbers into bins: np.digitize(v, edges)."
        )
    states = np.stack([np.unique(v, return_inverse=True)[1] for v in factors.T], 1)
    if not states.max(0).all():
        column = int(np.argmin(states.max(0)))
        raise checks.InputError(
            f"factors must vary; column {column} has one value, {factors[0, column]}. Drop it."
        )
    return codes, states


def standardised(codes: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(z - μ) / s, with mean μ and standard deviation s of each unit over the rows `of`.

    codes: z [n, d]; of: rows [m, d], such as those for training. Units that are constant there are
        only shifted.
    """
    scale = np.where(np.ptp(of, axis=0) > 0, of.std(0), 1)
    return (codes - of.mean(0)) / scale


def entropy(p: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """-Σ p log p over the given axes, in nats, with 0 log 0 = 0.

    p: probabilities, of any shape; axis: one axis or several, which are summed over
    """
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis)


def average_ranks(x: np.ndarray) -> np.ndarray:
    """The rank 1..n of each number within its column, [n, d]; equal numbers share a mean rank.

    x: [n, d]
    """

    ranks = np.empty(x.shape)
    for i, column in enumerate(x.T):
        _, which, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranks[:, i] = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return ranks


def train_and_test(
    generator: np.random.Generator, num_rows: int, num_train: int, num_test: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of num_train and num_test different rows out of num_rows, in random order.

    If there are fewer rows, 2/3 and 1/3 of all. generator: of NumPy.
    """
    num_train = checks.positive_int(num_train, "num_train")
    num_test = checks.positive_int(num_test, "num_test")
    order = generator.permutation(num_rows)
    if num_train + num_test > num_rows:
        num_train, num_test = min(num_train, 2 * num_rows // 3), min(num_test, -(-num_rows // 3))
    return order[:num_train], order[num_train : num_train + num_test]
