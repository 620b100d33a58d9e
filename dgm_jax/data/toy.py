"""Toy densities on the plane, whose log-density and entropy are known exactly.

A model of a toy is perfect when -E log p_θ(x) reaches `entropy`; none can be better. All lie in
about [-4, 4]²; all numbers are in nats.

| toy          | distribution of x                                                | entropy   |
|--------------|------------------------------------------------------------------|-----------|
| checkerboard | uniform on the 32 like-coloured unit cells of an 8x8 board       | log 32    |
| gaussians    | `num` isotropic Gaussians on a circle                            | on a grid |
| moons        | two half circles, each a string of 64 Gaussians                  | constant  |
| rings        | four circles plus Gaussian noise: a Bessel function              | constant  |
| spirals      | two arms of 3/2 turns, each a string of 256 Gaussians            | constant  |
| pinwheel     | five long Gaussians, rotated by an angle that grows with radius² | on a grid |

An entropy "on a grid" is integrated numerically when the toy is made; a "constant" was integrated
once and is checked by a test. A curve with Gaussian noise is replaced by a string of Gaussians
closer than one standard deviation, so that the log-density is a finite sum and thus exact.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import i0e, logsumexp

from .. import checks
from ..arrays import same_rank, within_cell
from ..protocol import Array, Key, Rows, described


class Toy(NamedTuple):
    """p(x) on the plane, whose log-density and entropy are known: a density to learn, in nats.

    sample: (key, num) -> x [num, 2]
    log_prob: x [..., 2] -> log p(x) [...]; -inf outside the support
    entropy: -E log p(x), which no model's E[-log p_θ(x)] can be below

    Made by `moons`, `rings` and others; `TOYS` lists them by name.
    """

    sample: Callable[[Key, int], Array]  # sample(key, num) -> x [num, 2]
    log_prob: Callable[[Rows], Array]  # x [..., 2] -> [...]; -inf outside the support
    entropy: float

    __repr__ = described


def checkerboard() -> Toy:
    """p(x) = 1/32 where ⌊x_0⌋ + ⌊x_1⌋ is even, on [-4, 4)², else 0: a `Toy`.

    Uniform on the 32 like-coloured unit squares of an 8×8 board; the entropy is log 32 = 3.466
    nats. Returns a `Toy`, which has `sample(key, num)` -> x [num, 2], `log_prob(x)` -> [...] in
    nats and the number `entropy`.
    """

    def sample(key, num):
        cell_key, u_key = jax.random.split(key)
        row, half_col = jax.random.randint(cell_key, (2, num), 0, jnp.array([[8], [4]]))
        corner = jnp.stack([2 * half_col + row % 2, row], -1) - 4.0  # [num, 2]
        return within_cell(corner, jax.random.uniform(u_key, (num, 2)))

    def log_prob(x):
        even = jnp.floor(x).sum(-1) % 2 == 0
        on_board = ((x >= -4) & (x < 4)).all(-1)
        return jnp.where(even & on_board, -np.log(32.0), -jnp.inf)

    return _toy(sample, log_prob, np.log(32.0))


def gaussians(num: int = 8, *, radius: float = 3.0, scale: float = 0.3) -> Toy:
    """p(x) = 1/K Σ_k N(x; μ_k, σ² I), with the means μ_k evenly on a circle around 0: a `Toy`.

    num: K, the number of Gaussians
    radius: that of the circle
    scale: σ, the standard deviation of each

    Its entropy is integrated numerically when it is made. Returns a `Toy`, which has `sample(key,
    num)` -> x [num, 2], `log_prob(x)` -> [...] in nats and the number `entropy`.
    """
    num = checks.positive_int(num, "num")
    radius = checks.positive(radius, "radius")
    scale = checks.positive(scale, "scale")
    return _petals(num, radius, (scale, scale), twist=0.0)


def moons() -> Toy:
    """p(x) = 1/128 Σ_k N(x; μ_k, σ² I), σ = 0.2, μ_k on two interlocking half circles: a `Toy`.

    64 means lie on each half circle of radius 2.2, closer than σ, so that the density is that of
    two smooth arcs. Entropy 2.485 nats. Returns a `Toy`, which has `sample(key, num)` -> x [num,
    2], `log_prob(x)` -> [...] in nats and the number `entropy`.
    """
    angle = np.pi * (np.arange(64) + 0.5) / 64
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], -1)
    return _beads(2.2 * np.concatenate([upper, -upper]), 0.2, entropy=2.48480)


def rings() -> Toy:
    """p(x) = 1/4 Σ_k N(|x|; r_k, σ²) i0e(|x| r_k / σ²) / √(2πσ²): four noisy circles, a `Toy`.

    The radii r_k are 0.85, 1.7, 2.55 and 3.4, and σ = 0.1. A point uniform on a circle of radius r
    plus noise N(0, σ² I) has the density exp(-(|x|² + r²) / 2σ²) I_0(|x| r / σ²) / 2πσ² (the Rice
    distribution of |x|, over 2π|x|), with the Bessel function I_0 and i0e(t) = e^-t I_0(t). Entropy
    2.971 nats. Returns a `Toy`, which has `sample(key, num)` -> x [num, 2], `log_prob(x)` -> [...]
    in nats and the number `entropy`.
    """
    radii, scale = np.array([0.85, 1.7, 2.55, 3.4], np.float32), 0.1

    def sample(key, num):
        ring_key, angle_key, eps_key = jax.random.split(key, 3)
        radius = jnp.asarray(radii)[jax.random.randint(ring_key, (num,), 0, len(radii))]
        angle = jax.random.uniform(angle_key, (num,), maxval=2 * np.pi)
        x = radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
        return x + scale * jax.random.normal(eps_key, (num, 2))

    def log_prob(x):
        norm = jnp.sqrt(jnp.maximum((x**2).sum(-1, keepdims=True), 1e-20))  # gradient safe at 0
        norm, radius = same_rank(norm, radii)
        log_rice = -0.5 * ((norm - radius) / scale) ** 2 + jnp.log(i0e(norm * radius / scale**2))
        return logsumexp(log_rice, -1) - np.log(len(radii) * 2 * np.pi * scale**2)

    return _toy(sample, log_prob, 2.97122)


def spirals() -> Toy:
    """p(x) = 1/512 Σ_k N(x; μ_k, σ² I), σ = 0.1, μ_k on two arms r = 0.37 θ, θ in (0, 3π): a `Toy`.

    256 means fill each arm about evenly along its length; the second arm is the first one turned by
    180°. Entropy 2.644 nats. Returns a `Toy`, which has `sample(key, num)` -> x [num, 2],
    `log_prob(x)` -> [...] in nats and the number `entropy`.
    """
    angle = 3 * np.pi * np.sqrt((np.arange(256) + 0.5) / 256)
    arm = 0.37 * angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return _beads(np.concatenate([arm, -arm]), 0.1, entropy=2.64443)


def pinwheel() -> Toy:
    """p(x) = 1/5 Σ_k N(R_k(x)⁻¹ x; (2.2, 0), diag(0.6², 0.2²)): five curved petals, a `Toy`.

    R_k(x) is the rotation by 2πk/5 + 0.12 |x|². A rotation by an angle that depends on the radius
    alone keeps areas, so no determinant enters the density. Its entropy is integrated numerically
    when it is made. Returns a `Toy`, which has `sample(key, num)` -> x [num, 2], `log_prob(x)` ->
    [...] in nats and the number `entropy`.
    """
    return _petals(5, 2.2, (0.6, 0.2), twist=0.12)


TOYS = {
    "checkerboard": checkerboard,
    "gaussians": gaussians,
    "moons": moons,
    "rings": rings,
    "spirals": spirals,
    "pinwheel": pinwheel,
}


def _toy(sample, log_prob, entropy) -> Toy:
    """The checks every toy makes at its boundary."""

    def checked_sample(key, num):
        checks.key(key)
        num = checks.positive_int(num, "num")
        return sample(key, num)

    def checked_log_prob(x):
        checks.events(x, 2)
        return log_prob(x)

    return Toy(checked_sample, checked_log_prob, float(entropy))


def _beads(means, scale, entropy) -> Toy:
    """p(x) = 1/K Σ_k N(x; μ_k, σ² I) for means [K, 2]. log_prob costs K terms a point."""
    means = means.astype(np.float32)

    def sample(key, num):
        bead_key, eps_key = jax.random.split(key)
        mean = jnp.asarray(means)[jax.random.randint(bead_key, (num,), 0, len(means))]
        return mean + scale * jax.random.normal(eps_key, (num, 2))

    def log_prob(x):
        x, centres = same_rank(x[..., None, :], means)
        distance = ((x - centres) ** 2).sum(-1)  # [..., K]
        log_normal = -0.5 * distance / scale**2
        return logsumexp(log_normal, -1) - np.log(len(means) * 2 * np.pi * scale**2)

    return _toy(sample, log_prob, entropy)


def _petals(num, radius, scales, twist) -> Toy:
    """K copies of N((r, 0), diag(scales²)), turned by 2πk/K and then by twist |x|²."""
    turns = (2 * np.pi * np.arange(num) / num).astype(np.float32)
    mean, scales = np.array([radius, 0.0], np.float32), np.array(scales, np.float32)

    def sample(key, num_samples):
        petal_key, eps_key = jax.random.split(key)
        turn = jnp.asarray(turns)[jax.random.randint(petal_key, (num_samples,), 0, num)]
        x = mean[None] + scales[None] * jax.random.normal(eps_key, (num_samples, 2))
        return _rotate(x, turn + twist * (x**2).sum(-1))

    def log_prob(x):
        straight = _rotate(x, -twist * (x**2).sum(-1))
        petal, middle, size = same_rank(_rotate(straight[..., None, :], -turns), mean, scales)
        z = (petal - middle) / size  # [..., K, 2]
        return logsumexp(-0.5 * (z**2).sum(-1), -1) - np.log(num * 2 * np.pi * np.prod(scales))

    return _toy(sample, log_prob, _petals_entropy(num, radius, scales))


def _petals_entropy(num, radius, scales) -> float:
    """E -log p over the first petal, which by symmetry is that over all; the twist keeps areas.

    A sum over 161² points within ±8 standard deviations, float64: exact to about 1e-6 nats.
    """
    grid = np.linspace(-8, 8, 161)
    eps = grid + 1j * grid[:, None]  # the plane as complex numbers: a turn is a product
    weight = np.exp(-0.5 * np.abs(eps) ** 2)
    x = radius + scales[0] * eps.real + 1j * scales[1] * eps.imag
    straight = x * np.exp(-2j * np.pi * np.arange(num) / num)[:, None, None] - radius  # [K, ...]
    log_petals = -0.5 * ((straight.real / scales[0]) ** 2 + (straight.imag / scales[1]) ** 2)
    log_p = np.logaddexp.reduce(log_petals) - np.log(num * 2 * np.pi * np.prod(scales))
    return -np.sum(weight * log_p) / np.sum(weight)


def _rotate(x, angle):
    """x [..., 2] turned by angle [...], counter-clockwise."""
    angle, x_0, x_1 = same_rank(angle, x[..., 0], x[..., 1])
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cos * x_0 - sin * x_1, sin * x_0 + cos * x_1], -1)
