"""The sliced Wasserstein distance: on a line, optimal transport is a sort."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import compiled_once
from ..protocol import Key, Rows
from .samples import centred, real_and_fake


class SlicedWasserstein(NamedTuple):
    """The sliced Wasserstein distance of two samples, as `sliced_wasserstein` computes it.

    distance: in the units of the features
    order: p of the distance W_p
    num_directions, num_real, num_fake: the numbers of directions and of rows
    """

    distance: float
    order: int
    num_directions: int
    num_real: int
    num_fake: int

    def __str__(self):
        sizes = f"{self.num_directions} directions, {self.num_real} real, {self.num_fake} fake"
        return f"{self.distance:.4g} ({sizes})"


def sliced_wasserstein(
    key: Key, real: Rows, fake: Rows, *, num_directions: int = 128, order: int = 1
) -> SlicedWasserstein:
    """(E_θ W_p(θ·x, θ·y)^p)^(1/p), over directions θ drawn uniformly from the unit sphere.

    In one dimension W_p^p = ∫_0^1 |F⁻¹(u) - G⁻¹(u)|^p du, with the quantile functions of both
    samples: for samples of equal size the mean of |sorted difference|^p; for other sizes the
    integral of the step functions, exactly. For d = 1 it is W_p itself. A shift by μ has (E_θ
    |θ·μ|²)^½ = ‖μ‖/√d for p = 2. Returns `SlicedWasserstein`: `distance`, `order` p,
    `num_directions`, `num_real` n and `num_fake` m.

    key: draws the directions
    real, fake: rows of features, x [n, d] and y [m, d]
    num_directions: over how many θ the mean is taken
    order: p, a positive integer

    For equal distributions the distance is of the order n^-½, not 0. Cost: num_directions sorts of
    n + m numbers. Rabin et al. (2012), "Wasserstein barycenter and its application to texture
    mixing".
    """
    checks.key(key)
    real, fake = real_and_fake(real, fake)
    num = checks.positive_int(num_directions, "num_directions")
    order = checks.positive_int(order, "order")
    x, y = centred(real, fake)
    directions = jax.random.normal(key, (num, x.shape[1]), jnp.float32)
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    of_x, of_y, weights = _steps(len(x), len(y))
    powers = _powers(x, y, directions, of_x, of_y, weights.astype(np.float32), order)
    mean = float(np.asarray(powers, np.float64).mean())
    return SlicedWasserstein(mean ** (1 / order), order, num, len(x), len(y))


def _steps(n, m):
    """Which row of each sorted set is its quantile on every piece of (0, 1), and its length."""
    ends = np.unique(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]))
    starts = np.concatenate([[0], ends[:-1]])  # in units of 1 / (n m): exact
    return starts // m, starts // n, (ends - starts) / (n * m)


def _projected(x, y, directions, of_x, of_y, weights, order):
    def along(direction):
        a = jnp.sort(jnp.dot(x, direction, precision="highest"))[of_x]
        b = jnp.sort(jnp.dot(y, direction, precision="highest"))[of_y]
        return jnp.dot(abs(a - b) ** order, weights)

    return jax.lax.map(along, directions)


_powers = compiled_once(_projected, static_argnums=(6,))
