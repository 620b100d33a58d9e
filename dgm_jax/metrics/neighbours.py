"""Precision and recall, density and coverage: balls around points in the place of densities.

Each point of a set has a ball that reaches to its k-th nearest neighbour in that set, not counting
itself. The union of balls stands for where the distribution has mass.

Ties: a point on the surface of a ball is in it (`<=`, as the code of Kynkäänniemi et al. has it;
some libraries take `<`). So sets that are one point repeated have precision and recall 1, and a
generator that only makes copies of one of n real points has precision 1 and recall 1/n. Distances
are computed in float32 by products of matrices, and those within their rounding, relative to the
norms of both points less the mean of all, are 0.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import compiled_once
from ..protocol import Array
from .samples import centred, real_and_fake

ROUNDING = 1e-6  # of the sum of two squared norms: below it, a squared distance is 0


class PrecisionRecall(NamedTuple):
    precision: float  # share of fake rows within the balls of the real ones: quality
    recall: float  # share of real rows within the balls of the fake ones: variety
    k: int
    num_real: int
    num_fake: int

    def __str__(self):
        sizes = f"k = {self.k}, {self.num_real} real, {self.num_fake} fake"
        return f"precision {self.precision:.3f}, recall {self.recall:.3f} ({sizes})"


class DensityCoverage(NamedTuple):
    density: float  # real balls around a fake row, over k: 1 on average of equal distributions
    coverage: float  # share of real balls that hold a fake row
    k: int
    num_real: int
    num_fake: int

    def __str__(self):
        sizes = f"k = {self.k}, {self.num_real} real, {self.num_fake} fake"
        return f"density {self.density:.3f}, coverage {self.coverage:.3f} ({sizes})"


def precision_recall(real: Array, fake: Array, *, k: int = 3, chunk: int = 512) -> PrecisionRecall:
    """precision = 1/m Σ_j 1[y_j ∈ ∪_i B(x_i)], recall = 1/n Σ_i 1[x_i ∈ ∪_j B(y_j)].

    B(x) is the ball from x to its k-th nearest neighbour in its own set. real [n, d] is x, fake
    [m, d] is y. Both saturate: samples that are a little narrower than the data, in many
    dimensions, have precision 1 and recall 0. Cost: (n + m)² d multiplications; memory: chunk rows
    of distances at a time. Raises `ValueError` for no more than k rows.
    Kynkäänniemi et al. (2019), "Improved precision and recall metric", equations 1 and 2.
    """
    real, fake, k, chunk = _checked(real, fake, k, chunk, of_fake=True)
    x, y = centred(real, fake)
    balls, held = _in_balls(x, y, _radii(x, k, chunk), _radii(y, k, chunk), chunk)
    return PrecisionRecall(float((balls > 0).mean()), float(held.mean()), k, len(x), len(y))


def density_coverage(real: Array, fake: Array, *, k: int = 5, chunk: int = 512) -> DensityCoverage:
    """density = 1/(k m) Σ_j Σ_i 1[y_j ∈ B(x_i)], coverage = 1/n Σ_i 1[B(x_i) holds a y_j].

    B(x_i) is the ball from a real row to its k-th nearest neighbour among the real rows: one fake
    outlier does not cover much, as it does in recall. Of equal distributions the density is 1 and
    the coverage 1 - Π_{j=1..k} (n - j)/(n + m - j) on average, whatever they are: 0.97 for k = 5
    and n = m. Density has no upper bound. Cost and errors as `precision_recall`.
    Naeem et al. (2020), "Reliable fidelity and diversity metrics", equations 3 and 4.
    """
    real, fake, k, chunk = _checked(real, fake, k, chunk, of_fake=False)
    x, y = centred(real, fake)
    radii = _radii(x, k, chunk)
    balls, _ = _in_balls(x, y, radii, np.zeros(len(y), np.float32), chunk)
    coverage = float((_nearest(x, y, 1, chunk) <= radii).mean())
    return DensityCoverage(float(balls.mean() / k), coverage, k, len(x), len(y))


def _checked(real, fake, k, chunk, *, of_fake):
    real, fake = real_and_fake(real, fake, least=1)
    k, chunk = checks.positive_int(k, "k"), checks.positive_int(chunk, "chunk")
    for name, x in {"real": real, **({"fake": fake} if of_fake else {})}.items():
        if len(x) <= k:
            raise checks.InputError(
                f"{name} must have more than k={k} rows, each of which needs as many neighbours; "
                f"got {len(x)}."
            )
    return real, fake, k, chunk


def _radii(x, k, chunk) -> np.ndarray:
    """Squared distances to the k-th nearest of the same set, [n]: itself is the first of k + 1."""
    return _nearest(x, x, k + 1, chunk)


def _nearest(x, points, rank, chunk) -> np.ndarray:
    """The rank-th smallest squared distance of each x to the points, [n]."""
    points = jnp.asarray(points)
    found = [_of_rank(x[rows], points, rank) for rows in _chunks(len(x), chunk)]
    return np.concatenate(found)[: len(x)]


def _in_balls(x, y, of_x, of_y, chunk) -> tuple[np.ndarray, np.ndarray]:
    """How many balls of x hold each y, [m], and whether a ball of y holds each x, [n]."""
    x, of_x, counts, held = jnp.asarray(x), jnp.asarray(of_x), [], np.zeros(len(x), bool)
    for rows in _chunks(len(y), chunk):
        count, holds = _held(y[rows], x, of_y[rows], of_x)
        counts.append(count)
        held |= np.asarray(holds)
    return np.concatenate(counts)[: len(y)], held


def _chunks(num, chunk):
    """Rows in chunks of one size; the first once more fill up the last."""
    chunk = min(chunk, num)
    return [np.arange(start, start + chunk) % num for start in range(0, num, chunk)]


def _squared_distances(x, y):
    """‖x_i - y_j‖² [i, j]: ‖x‖² + ‖y‖² - 2 x·y, or 0 where that is rounding."""
    norms = jnp.sum(x**2, 1)[:, None] + jnp.sum(y**2, 1)[None]
    found = norms - 2 * jnp.dot(x, y.T, precision="highest")
    return jnp.where(found > ROUNDING * norms, found, 0)


def _of_rank_in(x, points, rank):
    """Without sorting: the next larger distances, one pass each, until `rank` are as small."""
    squared = _squared_distances(x, points)
    value, count, found = -1.0, 0, jnp.inf
    for _ in range(rank):
        value = jnp.where(squared > jnp.reshape(value, (-1, 1)), squared, jnp.inf).min(1)
        found = jnp.where(count < rank, value, found)
        count = (squared <= value[:, None]).sum(1)
    return found


def _held_by(y, x, of_y, of_x):
    squared = _squared_distances(y, x)
    return (squared <= of_x[None]).sum(1), (squared <= of_y[:, None]).any(0)


_of_rank = compiled_once(_of_rank_in, static_argnums=(2,))
_held = compiled_once(_held_by)
