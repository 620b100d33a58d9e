"""Maximum mean discrepancy: the distance of two samples' mean embeddings under a kernel."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import compiled_once, on_host_generator
from ..protocol import Array, Key, Rows
from .samples import real_and_fake

Kernel = Callable[[Array, Array], Array]  # x [n, d], y [m, d] -> k(x_i, y_j) [n, m]


class Discrepancy(NamedTuple):
    """An unbiased estimate of MMD², by `mmd` or `kernel_distance`; it may be negative.

    squared: MMD², the mean over subsets if there are several
    spread: the standard deviation over subsets, 0 for one
    num_real, num_fake: the numbers of rows
    num_subsets, subset_size: how many random subsets of how many rows; None for all rows
    """

    squared: float
    spread: float  # standard deviation over subsets, 0 of one
    num_real: int
    num_fake: int
    num_subsets: int
    subset_size: int | None  # None: all rows

    def __str__(self):
        sizes = f"{self.num_real} real, {self.num_fake} fake"
        if self.subset_size is not None:
            sizes += f"; {self.num_subsets} subsets of {self.subset_size}"
        return f"{self.squared:.4g} ± {self.spread:.2g} ({sizes})"


def rbf_kernel(bandwidth: float) -> Kernel:
    """k(x, y) = exp(-‖x - y‖² / 2h²): a function of rows x [n, d], y [m, d] -> [n, m], for `mmd`.

    bandwidth: h, the distance over which k decreases, in the units of x; above 0

    The mean of k for Gaussians N(μ, s²) and N(μ', s'²) on the line is √(h² / v) exp(-(μ - μ')² /
    2v) with v = h² + s² + s'². Gretton et al. (2012), "A kernel two-sample test".
    """
    bandwidth = checks.positive(bandwidth, "bandwidth")

    def kernel(x: Array, y: Array) -> Array:
        norms = jnp.sum(x**2, 1)[:, None] + jnp.sum(y**2, 1)[None]
        squared = jnp.maximum(norms - 2 * jnp.dot(x, y.T, precision="highest"), 0)
        return jnp.exp(-squared / (2 * bandwidth**2))

    return kernel


@checks.spelled
def polynomial_kernel(
    *, degree: int = 3, scale: float | None = None, offset: float = 1.0
) -> Kernel:
    """k(x, y) = (s x·y + c)^p, a function of rows x [n, d] and y [m, d] -> [n, m], for `mmd`.

    With it MMD compares the moments up to degree p.

    degree: p; scale: s, None for 1/d; offset: c, at least 0. The defaults are those of the kernel
        inception distance (KID)

    Bińkowski et al. (2018), "Demystifying MMD GANs".
    """
    degree = checks.positive_int(degree, "degree")
    scale = None if scale is None else checks.positive(scale, "scale")
    offset = checks.not_negative(offset, "offset")

    def kernel(x: Array, y: Array) -> Array:
        factor = 1 / x.shape[1] if scale is None else scale
        return (factor * jnp.dot(x, y.T, precision="highest") + offset) ** degree

    return kernel


def mmd(real: Rows, fake: Rows, kernel: Kernel) -> Discrepancy:
    """MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y), each over pairs of different rows.

    The squared maximum mean discrepancy: the distance of two distributions in the space of the
    kernel, 0 only if they are equal, for a kernel such as `rbf_kernel`. Leaving out the pairs of a
    row with itself makes the estimate unbiased; for equal distributions it is negative about half
    of the time. Returns a `Discrepancy`: `squared` MMD², `spread` 0, `num_real` n, `num_fake` m,
    `num_subsets` 1 and `subset_size` None.

    real, fake: x [n, d] and y [m, d], at least two rows each, else `InputError`
    kernel: k, from rows [n, d] and [m, d] to [n, m]: `rbf_kernel`, `polynomial_kernel`, or your own

    Cost: (n + m)² kernels, in float32. Gretton et al. (2012), "A kernel two-sample test", equation
    3.
    """
    real, fake = real_and_fake(real, fake)
    checks.function(kernel, "kernel")
    squared = float(_unbiased(kernel, *_float32(real, fake)))
    return Discrepancy(squared, 0.0, len(real), len(fake), 1, None)


@checks.spelled
def kernel_distance(
    key: Key,
    real: Rows,
    fake: Rows,
    *,
    kernel: Kernel | None = None,
    num_subsets: int = 100,
    subset_size: int = 1000,
) -> Discrepancy:
    """1/S Σ_s MMD² of S random subsets of both samples, with k(x, y) = (x·y / d + 1)³: the KID.

    With the features of FID's Inception, and only then, it is the KID. Unlike a Fréchet distance it
    is unbiased for any number of rows. Returns a `Discrepancy`: `squared`, the mean of MMD²;
    `spread`, the standard deviation over subsets, larger than the error of the mean; `num_real` n,
    `num_fake` m, `num_subsets`, `subset_size`.

    key: draws the subsets
    real, fake: rows of features, [n, d] and [m, d]
    kernel: another one, from rows [n, d] and [m, d] to [n, m]
    num_subsets, subset_size: S, and the rows of a subset, without repetition; larger than a sample
        raises `InputError`

    Cost: 4 S subset_size² kernels. Bińkowski et al. (2018), "Demystifying MMD GANs", section 4.
    """
    checks.key(key)
    real, fake = real_and_fake(real, fake)
    if kernel is not None:
        checks.function(kernel, "kernel")
    num_subsets = checks.positive_int(num_subsets, "num_subsets")
    size = checks.positive_int(subset_size, "subset_size", least=2)
    if size > min(len(real), len(fake)):
        raise checks.InputError(
            f"subset_size must be at most the number of rows, {len(real)} real and {len(fake)} "
            f"fake; got {size}."
        )
    x, y = _float32(real, fake)
    squared = _of_cubic if kernel is None else jax.jit(partial(_unbiased, kernel))
    generator = on_host_generator(key)
    drawn = lambda rows: rows[generator.choice(len(rows), size, replace=False)]
    found = [float(squared(drawn(x), drawn(y))) for _ in range(num_subsets)]
    spread = float(np.std(found))
    return Discrepancy(float(np.mean(found)), spread, len(x), len(y), num_subsets, size)


def _float32(real, fake):
    return real.astype(np.float32), fake.astype(np.float32)


def _values(kernel, x, y):
    found = kernel(x, y)
    if getattr(found, "shape", None) != (len(x), len(y)):
        raise checks.InputError(
            f"kernel must return its value at each pair of rows, {(len(x), len(y))}; got "
            f"{checks.shown(found)}."
        )
    return found


def _unbiased(kernel, x, y):
    """Of kernel values less a constant, which cancels, so that float32 keeps more digits."""
    xx, yy, xy = (_values(kernel, *pair) for pair in ((x, x), (y, y), (x, y)))
    constant = xy.mean()

    def of_pairs(values):
        num = len(values)
        others = jnp.where(jnp.eye(num, dtype=bool), 0, values - constant)
        return others.mean() * (num / (num - 1))

    return of_pairs(xx) + of_pairs(yy) - 2 * (xy - constant).mean()


_of_cubic = compiled_once(partial(_unbiased, polynomial_kernel()))
