"""Penalties on the gradient of a critic, one per sample: the norm is over all its axes.

Each is a function of (critic: x [batch, ...] -> values [batch], key, real, fake), as the `penalty`
of `objectives.critic_loss`. Cost: one pass through the critic, and two gradients of it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Key

TINY = 1e-12  # the slope of √ at 0 is infinite, and a critic may be flat


def gradient_penalty(
    critic: Callable[[Array], Array],
    key: Key,
    real: Array,
    fake: Array,
    *,
    target: float = 1.0,
    one_sided: bool = False,
) -> Array:
    """E (‖∇_x D(x)‖₂ - 1)² at x = u x_real + (1 - u) x_fake, with one u ~ U(0, 1) per sample.

    critic: D, x [batch, ...] -> values [batch], each of which depends on its own row only
    key: draws u
    real, fake: data and samples, both [batch, ...]; another shape of one raises `ValueError`
    target: the norm in place of 1; 0 is the zero-centred penalty of Thanh-Tung et al. (2019)
    one_sided: if True, only norms above the target are penalised

    Returns a scalar, the mean over the batch. The norm is over all axes of one x, and smoothed at 0
    by 10⁻¹² under the root. Cost: one pass of the critic and its gradient, and the gradient of both
    in training. Gulrajani et al. (2017), "Improved training of Wasserstein GANs", equation 3, with
    weight 10.
    """
    checks.function(critic, "critic")
    target = checks.not_negative(target, "target")
    one_sided = checks.flag(one_sided, "one_sided")
    check_rows(real, fake)
    if real.shape != fake.shape:
        raise checks.InputError(
            f"real and fake must be as many rows; got {len(real)} and {len(fake)}."
        )
    checks.key(key)
    u = jax.random.uniform(key, (len(real), *[1] * (real.ndim - 1)), real.dtype)
    excess = jnp.sqrt(_squared_norms(critic, u * real + (1 - u) * fake) + TINY) - target
    return jnp.square(jax.nn.relu(excess) if one_sided else excess).mean()


def r1(critic: Callable[[Array], Array], key: Key, real: Array, fake: Array) -> Array:
    """½ E ‖∇_x D(x)‖² at the data x: the penalty R_1 of γ R_1, for a critic D.

    critic: D, x [batch, ...] -> values [batch], each of which depends on its own row only
    real: the data [batch, ...]
    key, fake: not used; every penalty of `critic_loss` has the same arguments

    Returns a scalar, the mean over the batch. At equilibrium, where samples are distributed as
    data, the critic is flat and the penalty 0. The weight γ is of the order of 10 for images and
    lower on the plane. Cost: one pass of the critic and its gradient, and the gradient of both in
    training. Mescheder et al. (2018), "Which training methods for GANs do actually converge?",
    equation 9.
    """
    checks.function(critic, "critic")
    checks.key(key)
    check_rows(real, fake)
    return _squared_norms(critic, real).mean() / 2


def r2(critic: Callable[[Array], Array], key: Key, real: Array, fake: Array) -> Array:
    """½ E ‖∇_x D(x)‖² at the samples x = G(z): the penalty R_2 of γ R_2, for a critic D.

    critic: D, x [batch, ...] -> values [batch], each of which depends on its own row only
    fake: the samples [batch, ...]
    key, real: not used; every penalty of `critic_loss` has the same arguments

    Returns a scalar, the mean over the batch. Cost: one pass of the critic and its gradient, and
    the gradient of both in training. Mescheder et al. (2018), "Which training methods for GANs do
    actually converge?".
    """
    checks.function(critic, "critic")
    checks.key(key)
    check_rows(real, fake)
    return _squared_norms(critic, fake).mean() / 2


def check_rows(real: Array, fake: Array) -> None:
    """Checks floating-point rows [batch, ...] with one event shape."""
    for x, name in ((real, "real"), (fake, "fake")):
        checks.floating(x, name)
    if real.ndim < 2 or real.shape[1:] != fake.shape[1:] or not real.size or not fake.size:
        raise checks.InputError(
            "real and fake must be rows of one shape, [batch, ...]; got "
            f"{real.shape} and {fake.shape}."
        )


def _squared_norms(critic, x):
    """‖∇_x D(x_i)‖² over all axes but the first, [batch]."""

    def total(x):
        values = critic(x)
        checks.floating(values, "the result of critic")
        return values.sum()

    return jnp.square(jax.grad(total)(x)).reshape(len(x), -1).sum(1)
