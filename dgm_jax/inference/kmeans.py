"""k-means, the limit of EM for Gaussians whose common variance goes to 0, used to initialise EM."""

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import wide
from ..protocol import Array, Key
from .moments import moments


def kmeans_plus_plus(key: Key, x: Array, num_components: int) -> Array:
    """K rows of x as centres, the first at random, each further one drawn with p(x_n) ∝ D(x_n)².

    D(x) is the distance from x to the nearest centre drawn before. So the centres are far apart, a
    good start for `kmeans` and EM. If all rows are equal, so are the centres.

    key: for the draws
    x: rows [N, d]. num_components: K, at most N; more raise `ValueError`

    Returns the centres [K, d]. Cost: O(N K d). Arthur and Vassilvitskii (2007), "k-means++: the
    advantages of careful seeding".
    """
    x, num_components = _checked(key, x, num_components)
    first_key, key = jax.random.split(key)
    first = x[jax.random.randint(first_key, (), 0, len(x))]
    share = jax.random.uniform(key, (num_components,), x.dtype)

    def add(i, state):
        centres, nearest = state
        upto = jnp.cumsum(nearest)
        row = x[jnp.minimum((upto <= upto[-1] * share[i]).sum(), len(x) - 1)]
        return centres.at[i].set(row), jnp.minimum(nearest, ((x - row) ** 2).sum(-1))

    centres = jnp.zeros((num_components, x.shape[1]), x.dtype).at[0].set(first)
    return jax.lax.fori_loop(1, num_components, add, (centres, ((x - first) ** 2).sum(-1)))[0]


def kmeans(key: Key, x: Array, num_components: int, *, num_steps: int = 10) -> Array:
    """min Σ_n min_k ‖x_n - m_k‖² over centres m [K, d], by Lloyd's algorithm: a local minimum.

    The centres start at those of `kmeans_plus_plus`. Each step sets each centre to the mean of the
    rows nearest to it, which never increases the sum; a centre without rows stays.

    key: for the random start
    x: rows [N, d]. num_components: K, at most N; more raise `ValueError`
    num_steps: the number of steps

    Returns the centres [K, d]. Cost: O(N K d) per step, in chunks of rows. Lloyd (1982), "Least
    squares quantization in PCM".
    """
    x, num_components = _checked(key, x, num_components)
    num_steps = checks.positive_int(num_steps, "num_steps", least=0)
    even = jnp.zeros(num_components, x.dtype)

    def step(_, centres):
        found, _ = moments(x, even, centres, jnp.ones_like(centres), hard=True)
        weight = found.weight[:, None]
        return centres + jnp.where(weight > 0, found.first / jnp.where(weight > 0, weight, 1), 0)

    return jax.lax.fori_loop(0, num_steps, step, kmeans_plus_plus(key, x, num_components))


def _checked(key, x, num_components):
    checks.key(key)
    return rows(x, num_components), checks.positive_int(num_components, "num_components")


def rows(x: Array, num_components: int, *, bits: bool = False) -> Array:
    """Checks x [n, d], real numbers or bits, with at least as many rows as components."""
    num_components = checks.positive_int(num_components, "num_components")
    checks.array(x, "x")
    if jnp.ndim(x) != 2:
        raise checks.InputError(f"x must be rows [n, d]; got shape {jnp.shape(x)}.")
    if len(x) < num_components:
        raise checks.InputError(
            f"x has {len(x)} rows, fewer than num_components={num_components}; take at most "
            f"{len(x)} components."
        )
    if not bits:
        checks.events(x, jnp.shape(x)[1])
    if checks.readable(x):
        checks.finite_rows(x, "x")
        if bits and not np.isin(np.asarray(x), (0, 1)).all():
            raise checks.InputError("x must be bits, 0 and 1; got other numbers. Try x > 0.5.")
    x = jnp.asarray(x)
    return x if bits else x.astype(wide(x))
