"""Precision and recall, density and coverage, by balls around points.

Each point of a set has a ball that reaches to its k-th nearest neighbour in that set, not counting
itself. The union of the balls approximates the support of the distribution.

A point on the surface of a ball is in it (`<=`, as in the program of Kynkäänniemi et al.; some
libraries use `<`). So two sets that repeat one point have precision and recall 1, and a generator
that only copies one of n real points has precision 1 and recall 1/n. Distances are computed in
float32 by matrix products, after subtracting the common mean, and set to 0 if below their rounding
error. They are computed in blocks of chunk × chunk, which fit into the cache, once per pair of
rows.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import compiled_once
from ..protocol import Rows
from .samples import centred, real_and_fake

ROUNDING = 1e-6  # of the sum of two squared norms: below it, a squared distance is 0


class PrecisionRecall(NamedTuple):
    """How much of the samples is like the data, and how much of the data like samples; in 0..1.

    precision: the fraction of fake rows within the balls of the real ones: quality
    recall: the fraction of real rows within the balls of the fake ones: variety
    k: the balls reach to the k-th nearest neighbour
    num_real, num_fake: the numbers of rows

    Returned by `precision_recall`.
    """

    precision: float  # fraction of fake rows within the balls of the real ones: quality
    recall: float  # fraction of real rows within the balls of the fake ones: variety
    k: int
    num_real: int
    num_fake: int

    def __str__(self):
        sizes = f"k = {self.k}, {self.num_real} real, {self.num_fake} fake"
        return f"precision {self.precision:.3f}, recall {self.recall:.3f} ({sizes})"


class DensityCoverage(NamedTuple):
    """How densely samples lie among the data, and how much of the data they cover.

    density: in how many balls of real rows a fake row is, divided by k: 1 on average for equal
        distributions, with no upper bound
    coverage: the fraction of balls of real rows that contain a fake row, in 0..1
    k: the balls reach to the k-th nearest neighbour
    num_real, num_fake: the numbers of rows

    Returned by `density_coverage`.
    """

    density: float  # real balls around a fake row, over k: 1 on average of equal distributions
    coverage: float  # fraction of real balls that contain a fake row
    k: int
    num_real: int
    num_fake: int

    def __str__(self):
        sizes = f"k = {self.k}, {self.num_real} real, {self.num_fake} fake"
        return f"density {self.density:.3f}, coverage {self.coverage:.3f} ({sizes})"


def precision_recall(real: Rows, fake: Rows, *, k: int = 3, chunk: int = 512) -> PrecisionRecall:
    """precision = 1/m Σ_j 1[y_j ∈ ∪_i B(x_i)], recall = 1/n Σ_i 1[x_i ∈ ∪_j B(y_j)].

    B(x) is the ball around x to its k-th nearest neighbour in its own set, with its surface; the
    union of the balls approximates the support of a distribution. Both saturate: in many
    dimensions, samples that are slightly narrower than the data have precision 1 and recall 0.
    Returns `PrecisionRecall`: `precision`, `recall`, `k`, `num_real` n and `num_fake` m.

    real, fake: rows of features, x [n, d] and y [m, d]
    k: the number of the neighbour, not counting x itself; no more than k rows raise `InputError`
    chunk: memory is chunk² distances at a time

    Cost: (n + m)² d / 2 multiplications, in float32. Kynkäänniemi et al. (2019), "Improved
    precision and recall metric for assessing generative models", equations 1 and 2.
    """
    x, y, k, chunk = _checked(real, fake, k, chunk, of_fake=True)
    found = _in_balls(x, y, _radii(x, k, chunk), _radii(y, k, chunk), chunk)
    precision, recall = (found.balls > 0).mean(), found.in_fake.mean()
    return PrecisionRecall(float(precision), float(recall), k, len(x), len(y))


def density_coverage(real: Rows, fake: Rows, *, k: int = 5, chunk: int = 512) -> DensityCoverage:
    """density = 1/(k m) Σ_j Σ_i 1[y_j ∈ B(x_i)], coverage = 1/n Σ_i 1[B(x_i) contains a y_j].

    B(x_i) is the ball around a real row to its k-th nearest neighbour among the real rows, with its
    surface. Unlike recall, coverage is robust to fake outliers. For equal distributions the density
    is 1 and the coverage 1 - Π_{j=1..k} (n - j)/(n + m - j) in expectation: 0.97 for k = 5 and n =
    m. Density has no upper bound. Returns `DensityCoverage`: `density`, `coverage`, `k`, `num_real`
    n and `num_fake` m.

    real, fake: rows of features, x [n, d] and y [m, d]
    k: the number of the neighbour, not counting x itself; no more than k real rows raise
        `InputError`
    chunk: memory is chunk² distances at a time

    Cost: n (n / 2 + m) d multiplications, in float32. Naeem et al. (2020), "Reliable fidelity and
    diversity metrics for generative models", equations 3 and 4.
    """
    x, y, k, chunk = _checked(real, fake, k, chunk, of_fake=False)
    found = _in_balls(x, y, _radii(x, k, chunk), np.zeros(len(y), np.float32), chunk)
    density, coverage = found.balls.mean() / k, found.covered.mean()
    return DensityCoverage(float(density), float(coverage), k, len(x), len(y))


def _checked(real, fake, k, chunk, *, of_fake):
    """Centred rows of both, k, and a chunk no larger than they are many."""
    real, fake = real_and_fake(real, fake, least=1)
    k, chunk = checks.positive_int(k, "k"), checks.positive_int(chunk, "chunk")
    for name, x in {"real": real, **({"fake": fake} if of_fake else {})}.items():
        if len(x) <= k:
            raise checks.InputError(
                f"{name} must have more than k={k} rows, each of which needs as many neighbours; "
                f"got {len(x)}."
            )
    return *centred(real, fake), k, min(chunk, max(len(real), len(fake)))


class _Held(NamedTuple):
    balls: np.ndarray  # how many balls of x hold each y, [m]
    in_fake: np.ndarray  # whether a ball of y holds each x, [n]
    covered: np.ndarray  # whether the ball of each x holds a y, [n]


def _radii(x, k, chunk) -> np.ndarray:
    """Squared distances to the k-th nearest of the same set, [n]: itself is the first of k + 1."""
    blocks = _blocks(x, chunk)
    least = np.full((len(blocks), chunk, k + 1), np.inf, np.float32)

    def keep(i, found):
        least[i] = np.sort(np.concatenate([least[i], found], 1), 1)[:, : k + 1]

    for i, rows in enumerate(blocks):
        for j, columns in enumerate(blocks[i:], i):  # those before have met these rows
            squared = _squared(rows, columns)  # programs of their own: in one, each pass makes it
            keep(i, _least(squared, k + 1))
            if j > i:
                keep(j, _least(squared.T, k + 1))
    return least[..., k].reshape(-1)[: len(x)]


def _in_balls(x, y, of_x, of_y, chunk) -> _Held:
    """What the balls around x [n, d] and y [m, d] hold of each other, by their squared radii."""
    n, m, x, y = len(x), len(y), _blocks(x, chunk), _blocks(y, chunk)
    of_x, of_y = _blocks(of_x, chunk), _blocks(of_y, chunk)
    found = [[_held(*a, *b) for b in zip(x, of_x)] for a in zip(y, of_y)]
    joined = lambda place, over: np.array([[b[place] for b in row] for row in found]).sum(over)
    balls, in_fake, covered = joined(0, 1), joined(1, 0) > 0, joined(2, 0) > 0
    return _Held(balls.reshape(-1)[:m], in_fake.reshape(-1)[:n], covered.reshape(-1)[:n])


def _blocks(x, chunk):
    """Rows in blocks of one size: those of NaN at the end are near to nothing, in no ball."""
    missing = np.full((-len(x) % chunk, *x.shape[1:]), np.nan, np.float32)
    return jnp.asarray(np.concatenate([x, missing]).reshape(-1, chunk, *x.shape[1:]))


def _squared_distances(x, y):
    """‖x_i - y_j‖² [i, j]: ‖x‖² + ‖y‖² - 2 x·y, or 0 where that is rounding."""
    norms = jnp.sum(x**2, 1)[:, None] + jnp.sum(y**2, 1)[None]
    found = norms - 2 * jnp.dot(x, y.T, precision="highest")
    return jnp.where(found <= ROUNDING * norms, 0, found)


def _least_in(squared, rank):
    """The least numbers of each row, [n, rank], without sorting: a pass for each next larger one.

    The c-th of them is the smallest value that c numbers of the row do not exceed.
    """
    value, values, counts = -1.0, [], []
    for _ in range(rank):
        value = jnp.where(squared > value, squared, jnp.inf).min(1, keepdims=True)
        values.append(value)
        counts.append((squared <= value).sum(1, keepdims=True))
    values, counts = jnp.concatenate(values, 1), jnp.concatenate(counts, 1)
    at = [jnp.where(counts >= c, values, jnp.inf).min(1) for c in range(1, rank + 1)]
    return jnp.stack(at, 1)


def _held_by(y, of_y, x, of_x):
    squared = _squared_distances(y, x)
    by_x, by_y = squared <= of_x[None], squared <= of_y[:, None]
    return by_x.sum(1), by_y.any(0), by_x.any(0)


_squared = compiled_once(_squared_distances)
_least = compiled_once(_least_in, static_argnums=(1,))
_held = compiled_once(_held_by)
