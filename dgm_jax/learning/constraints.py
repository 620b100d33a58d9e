"""Constraints on parameters, as gradient transformations of optax."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..protocol import Array, Params


def clip_weights(limit: float) -> optax.GradientTransformation:
    """θ ← clip(θ + u, -c, c), entry by entry, for an update u: the last transformation of a chain.

        optax.chain(optax.rmsprop(5e-5), clip_weights(0.01))

    limit: c > 0. It bounds the Lipschitz constant of a critic, by a value that depends on its
        widths and depth.

    Returns an optax transformation without state, whose `update` needs the parameters. Arjovsky et
    al. (2017), "Wasserstein GAN", algorithm 1.
    """
    limit = checks.positive(limit, "limit")

    def update(updates, state, params=None):
        moved = jax.tree.map(lambda p, u: jnp.clip(p + u, -limit, limit) - p, params, updates)
        return moved, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


class HistoryState(NamedTuple):
    """The state of `historical_averaging`: the mean of the past parameters."""

    count: Array  # parameters averaged so far
    mean: Params


def historical_averaging(weight: float) -> optax.GradientTransformation:
    """g ← g + ∇_θ λ ‖θ - θ̄_t‖² = g + 2 λ (θ - θ̄_t), θ̄_t = 1/t Σ_{s≤t} θ_s.

        optax.chain(historical_averaging(0.1), optax.adam(1e-3))

    θ_s are the parameters before update s, and g is the gradient: it comes first in a chain.
    Players that orbit an equilibrium, as in min_x max_y x y, are pulled towards its centre.

    weight: λ ≥ 0

    Returns an optax transformation. Its state is θ̄ and the number of its terms, and θ̄ is constant
    in the gradient. Salimans et al. (2016), "Improved techniques for training GANs", section 3.3.
    """
    weight = checks.not_negative(weight, "weight")

    def init(params):
        return HistoryState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None):
        count = state.count + 1
        mean = jax.tree.map(lambda m, p: m + (p - m) / count.astype(p.dtype), state.mean, params)
        pulled = jax.tree.map(lambda u, p, m: u + 2 * weight * (p - m), updates, params, mean)
        return pulled, HistoryState(count, mean)

    return optax.GradientTransformation(init, update)
