"""The β-VAE: a larger weight of the KL, or a target capacity for it."""

import jax.numpy as jnp

from .. import checks
from ..objectives import elbo_terms
from ..protocol import Array, Key, LatentVariable, Metrics, Params
from .terms import told


@checks.spelled
def beta_vae_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    beta: float | Array,
    num_data: int,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E log p(x | z) + β E KL(q(z | x) ‖ p(z)), in nats per example: `objectives.elbo` with a β.

    x: [batch, *shape]. beta: β, or a weight of the step. β = 1 is the negative ELBO. β > 1 reduces
    all three parts of the KL: the total correlation, but also the information that codes have about
    the data.
    num_data: N, the rows of the data set, used only by the metrics, those of `elbo_terms`:
    neg_elbo, distortion, kl, mutual_information, total_correlation, dimension_kl.
    parts_key: the key of the distributions (dropout).
    Higgins et al. (2017), "beta-VAE: learning basic visual concepts", equation 4.
    """
    beta = checks.weight(beta, "beta")
    terms = elbo_terms(model, params, key, x, cond, num_data=num_data, parts_key=parts_key)
    return terms.distortion + beta * terms.kl, told(terms)


@checks.spelled
def capacity_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    capacity: float | Array,
    gamma: float | Array = 1000.0,
    num_data: int,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E log p(x | z) + γ |E KL(q(z | x) ‖ p(z)) - C|: codes with C nats of information.

    capacity: C in nats. It grows in training, so that the factors that gain most likelihood per nat
        enter the code first, one after the other:

            loss = lambda params, key, x, weights: disentangled.capacity_loss(
                model, params, key, x, capacity=weights["capacity"], num_data=N)
            weights = {"capacity": optax.linear_schedule(0.0, 25.0, 100_000)}

    gamma: γ. num_data, parts_key and metrics as in `beta_vae_loss`.
    Burgess et al. (2018), "Understanding disentangling in β-VAE", equation 8.
    """
    capacity, gamma = checks.weight(capacity, "capacity"), checks.weight(gamma, "gamma")
    terms = elbo_terms(model, params, key, x, cond, num_data=num_data, parts_key=parts_key)
    return terms.distortion + gamma * jnp.abs(terms.kl - capacity), told(terms)
