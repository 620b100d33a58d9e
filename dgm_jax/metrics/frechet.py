"""The Fréchet distance of two sets of features, each approximated by a Gaussian."""

import warnings
from typing import NamedTuple

import numpy as np

from .. import checks
from ..protocol import Rows
from .samples import feature_rows


class Moments(NamedTuple):
    """Mean and covariance of n rows of features, in float64, as `moments` computes them.

    mean: μ [d]
    covariance: S [d, d], the unbiased one, with 1 / (n - 1)
    num: n
    """

    mean: np.ndarray  # [d]
    covariance: np.ndarray  # [d, d]
    num: int


class Frechet(NamedTuple):
    """d² = ‖μ - μ'‖² + tr(S + S' - 2 (S S')^½), as `frechet_distance` computes it.

    distance: d², the squared distance, as published tables have it; 0 for equal moments
    means: the part ‖μ - μ'‖²
    covariances: the rest
    num_real, num_fake: the numbers of rows; distances are comparable only for the same two
    """

    distance: float  # d², as every table has it
    means: float  # ‖μ - μ'‖²
    covariances: float  # the rest
    num_real: int
    num_fake: int

    def __str__(self):
        return f"{self.distance:.4g} ({self.num_real} real, {self.num_fake} fake)"


def moments(features: Rows) -> Moments:
    """μ = 1/n Σ x, S = 1/(n - 1) Σ (x - μ)(x - μ)ᵀ of rows [n, d], in float64.

    features: x, rows [n, d]

    Returns `Moments`: `mean` μ [d], `covariance` S [d, d] and `num` n. Compute it once for the real
    data: `frechet_distance` takes moments in place of rows. Cost: n d². Raises `ValueError` for
    fewer than two rows or numbers that are not finite.
    """
    features = feature_rows(features, "features").astype(np.float64)
    mean = features.mean(0)
    rest = features - mean
    return Moments(mean, rest.T @ rest / (len(rest) - 1), len(rest))


def frechet_distance(real: Rows | Moments, fake: Rows | Moments) -> Frechet:
    """d² = ‖μ - μ'‖² + tr S + tr S' - 2 tr (S S')^½, of the two Gaussians with the sets' moments.

    The squared 2-Wasserstein distance of N(μ, S) and N(μ', S') (Dowson and Landau, 1982). With the
    features of FID's Inception, and only then, it is the FID (Heusel et al., 2017, "GANs trained by
    a two time-scale update rule converge to a local Nash equilibrium", equation 6). Returns
    `Frechet`, lower is better: `distance` d², its parts `means` (the first term) and `covariances`
    (the rest), and `num_real` n and `num_fake` m.

    real, fake: rows of features, [n, d] and [m, d], at least two each, or their `Moments`. Others
        raise `InputError`

    Two finite samples of one distribution have a distance of about b/n + b'/m (`frechet_floor`).
    With fewer rows than features this dominates, and a warning says so.

    S S' is not symmetric, and its numerical square root may be complex. With S = A Aᵀ the trace is
    that of (Aᵀ S' A)^½, a sum of roots of real eigenvalues: A is the Cholesky factor, or for a
    singular S its eigenvectors with positive eigenvalues. Cost: (n + m) d² + O(d³), in float64.
    """
    real, fake = _moments(real, "real"), _moments(fake, "fake")
    dim = len(real.mean)
    if len(fake.mean) != dim:
        raise checks.InputError(
            f"fake must have as many features as real, {dim}; got {len(fake.mean)}."
        )
    if min(real.num, fake.num) <= dim:
        _warn(real, fake)
    means = float(((real.mean - fake.mean) ** 2).sum())
    traces = np.trace(real.covariance) + np.trace(fake.covariance)
    covariances = float(traces - 2 * _trace_of_root(real, fake))
    return Frechet(means + covariances, means, covariances, real.num, fake.num)


def frechet_floor(covariance: Rows, num_real: int, num_fake: int) -> float:
    """E d² for two samples of one Gaussian N(μ, S), to first order in 1/n and 1/m.

    The formula is (1/n + 1/m) (5/4 tr S + ½ Σ_ij λ_i λ_j / (λ_i + λ_j)), with λ the eigenvalues of
    the covariance S [d, d] and n, m = num_real, num_fake; for S = I it is (1/n + 1/m) (d + d (d +
    1)/4). The means contribute tr S, the Wishart errors E of the covariances the rest, since d² ≈ ½
    Σ_ij E_ij² / (λ_i + λ_j) near 0. It holds for n and m well above d, and is too large for fewer
    rows. Cost: O(d³).
    """
    checks.floating(covariance, "covariance", (None, None))
    covariance = checks.finite_rows(covariance, "covariance").astype(np.float64)
    if len(covariance) != covariance.shape[1]:
        raise checks.InputError(f"covariance must be [d, d]; got shape {covariance.shape}.")
    num_real = checks.positive_int(num_real, "num_real", least=2)
    num_fake = checks.positive_int(num_fake, "num_fake", least=2)
    values = np.linalg.eigvalsh(covariance)
    values = values[values > 0]
    pairs = (values[:, None] * values / (values[:, None] + values)).sum()
    return float((1 / num_real + 1 / num_fake) * (1.25 * values.sum() + 0.5 * pairs))


def _moments(given, name) -> Moments:
    if not isinstance(given, Moments):
        return moments(feature_rows(given, name))
    mean, covariance = np.asarray(given.mean), np.asarray(given.covariance)
    checks.moments(mean, covariance, f"covariance of {name}")
    num = checks.positive_int(given.num, f"num of {name}", least=2)
    return Moments(mean.astype(np.float64), covariance.astype(np.float64), num)


def _warn(real, fake):
    dim = len(real.mean)
    floor = frechet_floor(real.covariance, real.num, fake.num)
    warnings.warn(
        f"frechet_distance of {real.num} real and {fake.num} fake rows with {dim} features: a "
        f"covariance is singular, and of samples that were perfect the distance would be large, "
        f"{floor:.3g} by its expansion in 1/n. Take more than {dim} rows of each.",
        stacklevel=3,
    )


def _trace_of_root(real, fake) -> float:
    """tr (S S')^½ by eigenvalues of Aᵀ S' A, S = A Aᵀ being that of fewer rows.

    Then, if S is of rank r < d, the matrix is [r, r] and has no zero eigenvalues, whose rounding
    errors ε would come out as √ε.
    """
    low, high = (real, fake) if real.num <= fake.num else (fake, real)
    factor = _cholesky(low)
    if factor is None:
        factor = _by_eigenvectors(low)
        product = factor.T @ high.covariance @ factor
    else:
        product = _below(factor, high.covariance)
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(product, UPLO="L"), 0)).sum())


def _cholesky(given: Moments) -> np.ndarray | None:
    """The lower triangle A with S = A Aᵀ, or None where S is singular."""
    if given.num <= len(given.mean):
        return None
    try:
        return np.linalg.cholesky(given.covariance)
    except np.linalg.LinAlgError:  # features that are constant or depend on each other
        return None


def _by_eigenvectors(given: Moments) -> np.ndarray:
    """A [d, r] with S = A Aᵀ, of the r eigenvalues above 0."""
    values, vectors = np.linalg.eigh(given.covariance)
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def _below(a, covariance, block=256) -> np.ndarray:
    """Aᵀ S A on and below the diagonal, A a lower triangle: a third of the multiplications."""
    product = np.zeros_like(a)
    for start in range(0, len(a), block):
        columns = slice(start, start + block)
        right = covariance[start:, start:] @ a[start:, columns]  # above them, A is 0
        product[start:, columns] = a[start:, start:].T @ right
    return product
