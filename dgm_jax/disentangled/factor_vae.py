"""The FactorVAE: total correlation by a critic that tells codes from codes with permuted entries.

The aggregate posterior q(z) is easily drawn from, and so is ∏_j q(z_j): permute each entry of a
batch of codes by itself. A critic T that tells the two apart is at best T* = log q(z) - Σ_j
log q(z_j), whose mean over codes is the total correlation. Two players of `learning.alternate`, of
the parameters {"model", "critic"}, with a batch of as many rows for each:

    loss = functools.partial(disentangled.factor_vae_loss, model, critic, gamma=35, num_data=N)
    critic_loss = functools.partial(disentangled.factor_critic_loss, model, critic)
    players = {"model": Player(loss, optax.adam(1e-4)),
               "critic": Player(critic_loss, optax.adam(1e-4, b1=0.5))}
    learning.alternate(players, lambda key: {"model": model.init(key), "critic": critic.init(key)})

A critic of samples sees how entries depend on each other, and hardly that sharp codes of few rows
are isolated points, which is total correlation too: at least KL - log N - Σ_j KL(q(z_j) ‖ p(z_j)).

Kim and Mnih (2018), "Disentangling by factorising", algorithm 2. There the critic is a
`nets.mlp(n, 1, hidden=(1000,) * 5)` with leaky ReLU, and γ is near 35 for dSprites.
"""

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from .. import checks
from ..objectives import density_ratio_loss, elbo_terms, ratio_kl
from ..objectives.aggregate import independent_entries
from ..protocol import Array, Key, LatentVariable, Metrics, Net, Params
from .terms import told


def factor_vae_loss(
    model: LatentVariable,
    critic: Net,
    params: Params,
    key: Key,
    x: Array,
    *,
    gamma: float | Array,
    num_data: int,
) -> tuple[Array, Metrics]:
    """-ELBO + γ E_q(z) T(z), of {"model", "critic"}; T at its best makes it -ELBO + γ TC, in nats.

    critic: T, z [batch, n] -> [batch, 1], in logits. Its own parameters get no gradient here.
    gamma: γ, or a weight of the step. num_data and metrics as in `beta_vae_loss`, and "ratio_kl",
    what the critic takes for the total correlation: no bound of it.
    Kim and Mnih (2018), equation 2.
    """
    _check(model, critic, params, key, x)
    gamma = checks.weight(gamma, "gamma")
    terms = elbo_terms(model, params["model"], key, x, num_data=num_data)
    correlation = ratio_kl(_values(critic, stop_gradient(params["critic"]), terms.z))
    loss = terms.distortion + terms.kl + gamma * correlation
    return loss, told(terms) | {"ratio_kl": correlation}


def factor_critic_loss(
    model: LatentVariable,
    critic: Net,
    params: Params,
    key: Key,
    x: Array,
    other: Array | None = None,
) -> tuple[Array, Metrics]:
    """-E_q(z) log σ(T(z)) - E_q̄ log σ(-T(z)), q̄ = ∏_j q(z_j): what the critic minimises, in nats.

    Codes of x are as they are; those of `other` rows have each entry `permuted` by itself. Without
    `other` these are the second half of x, and the codes those of the first. No gradient reaches
    the model. Metrics are those of `density_ratio_loss`: accuracy, 1/2 where entries are
    independent, and ratio_kl.
    """
    _check(model, critic, params, key, x)
    if other is None:
        checks.divisible(x, 2, "2 halves, codes and permuted codes")
        half = len(x) // 2
    else:
        checks.rows_of(other, "other")
        checks.event_shape(other, x.shape[1:], "other")
        x, half = jnp.concatenate([x, other]), len(x)
    draw_key, order_key = jax.random.split(key)
    posterior = model.posterior(params["model"], x)
    independent_entries(posterior)
    z = stop_gradient(posterior.sample(seed=draw_key))
    seen = jnp.concatenate([z[:half], permuted(order_key, z[half:])])  # one pass of the critic
    values = _values(critic, params["critic"], seen)
    return density_ratio_loss(values[:half], values[half:])


def permuted(key: Key, z: Array) -> Array:
    """z [batch, n] with each entry in an order of its own: draws of q(z) made draws of ∏_j q(z_j).

    Entries come from other rows than their neighbours do, so that what they had in common is lost.
    """
    checks.floating(z, "z", (None, None))
    checks.key(key)
    return jax.random.permutation(key, z, axis=0, independent=True)


def _values(critic, params, z):
    values = critic.apply(params, z)
    checks.floating(values, "the value of critic", (len(z), 1))
    return values[:, 0]


def _check(model, critic, params, key, x):
    checks.noun(model, LatentVariable, "model")
    checks.noun(critic, Net, "critic")
    checks.joint_parameters(params, {"model": model.init, "critic": critic.init})
    checks.key(key)
    checks.rows_of(x, "x")
