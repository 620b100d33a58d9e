"""Four densities on the plane that are known up to a constant: log p̃(x) = -U(x).

A flow learns them by reverse KL from `log_density` alone, without samples. All lie in about
[-4, 4]². With w_1(x) = sin(2πx_1/4), w_2 = 3 exp(-½ ((x_1 - 1)/0.6)²), w_3 = 3 σ((x_1 - 1)/0.3):

| name | -U(x)                                                                                     |
|------|-------------------------------------------------------------------------------------------|
| u1   | -½ ((‖x‖ - 2)/0.4)² + log(e^{-½((x_1 - 2)/0.6)²} + e^{-½((x_1 + 2)/0.6)²})                |
| u2   | -½ ((x_2 - w_1)/0.4)²                                                                     |
| u3   | log(e^{-½((x_2 - w_1)/0.35)²} + e^{-½((x_2 - w_1 + w_2)/0.35)²})                          |
| u4   | log(e^{-½((x_2 - w_1)/0.4)²} + e^{-½((x_2 - w_1 + w_3)/0.35)²})                           |

u2, u3 and u4 are not integrable, because they extend along x_1 without end. As is usual, each is
multiplied by a window e^{-½ ((|x_1| - 4)₊ / 0.2)²}, which is 1 on [-4, 4].
Rezende and Mohamed (2015), "Variational inference with normalizing flows", table 1.
"""

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array


def u1(x: Array) -> Array:
    """-½ ((‖x‖ - 2)/0.4)² + log(e^{-½((x_1 - 2)/0.6)²} + e^{-½((x_1 + 2)/0.6)²}): two arcs.

    log p(x) up to a constant, in nats: x [..., 2] -> [...]. The arcs are those of a ring of radius
    2, left and right. Rezende and Mohamed (2015), "Variational inference with normalizing flows",
    table 1.
    """
    checks.events(x, 2)
    norm = jnp.sqrt(jnp.maximum((x**2).sum(-1), 1e-20))  # gradient safe at 0
    sides = jnp.logaddexp(_bump(x[..., 0] - 2, 0.6), _bump(x[..., 0] + 2, 0.6))
    return _bump(norm - 2, 0.4) + sides


def u2(x: Array) -> Array:
    """-½ ((x_2 - w_1)/0.4)², w_1 = sin(2πx_1/4): a wave; for |x_1| > 4 minus ½ ((|x_1| - 4)/0.2)².

    log p(x) up to a constant, in nats: x [..., 2] -> [...]. The last term makes it integrable.
    Rezende and Mohamed (2015), "Variational inference with normalizing flows", table 1.
    """
    checks.events(x, 2)
    return _bump(x[..., 1] - _wave(x), 0.4) + _window(x)


def u3(x: Array) -> Array:
    """log(e^{-½((x_2 - w_1)/0.35)²} + e^{-½((x_2 - w_1 + w_2)/0.35)²}): a wave of two branches.

    log p(x) up to a constant, in nats: x [..., 2] -> [...]; w_1 = sin(2πx_1/4), w_2 = 3 exp(-½
    ((x_1 - 1)/0.6)²). For |x_1| > 4 it is lowered by ½ ((|x_1| - 4)/0.2)², which makes it
    integrable. Rezende and Mohamed (2015), "Variational inference with normalizing flows", table 1.
    """
    checks.events(x, 2)
    height = x[..., 1] - _wave(x)
    branch = 3 * jnp.exp(_bump(x[..., 0] - 1, 0.6))
    return jnp.logaddexp(_bump(height, 0.35), _bump(height + branch, 0.35)) + _window(x)


def u4(x: Array) -> Array:
    """log(e^{-½((x_2 - w_1)/0.4)²} + e^{-½((x_2 - w_1 + w_3)/0.35)²}): a wave that forks.

    log p(x) up to a constant, in nats: x [..., 2] -> [...]; w_1 = sin(2πx_1/4), w_3 = 3 σ((x_1 -
    1)/0.3) with the logistic function σ. For |x_1| > 4 it is lowered by ½ ((|x_1| - 4)/0.2)², which
    makes it integrable. Rezende and Mohamed (2015), "Variational inference with normalizing flows",
    table 1.
    """
    checks.events(x, 2)
    height = x[..., 1] - _wave(x)
    branch = 3 * jax.nn.sigmoid((x[..., 0] - 1) / 0.3)
    return jnp.logaddexp(_bump(height, 0.4), _bump(height + branch, 0.35)) + _window(x)


ENERGIES = {"u1": u1, "u2": u2, "u3": u3, "u4": u4}


def _wave(x):
    return jnp.sin(2 * jnp.pi * x[..., 0] / 4)


def _bump(distance, scale):
    return -0.5 * (distance / scale) ** 2


def _window(x):
    return _bump(jnp.maximum(jnp.abs(x[..., 0]) - 4, 0), 0.2)
