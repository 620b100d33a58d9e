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
    """-E log p(x | z) + β E KL(q(z | x) ‖ p(z)), in nats per example: the loss of a β-VAE.

    β = 1 is the negative ELBO. β > 1 reduces all three parts of the KL: the total correlation, but
    also the information that codes have about the data, and the divergence of each entry from its
    prior.

    model: with one z per row, and a Gaussian posterior with independent entries, such as `vae.vae`
    params: those of the model; key: draws z
    x: [batch, *shape], at least two rows; cond: one condition per row, or None
    beta: β, a number, or a weight that depends on the step
    num_data: N, the number of rows of the data set, used by the metrics only
    parts_key: key of dropout in the distributions; None for no dropout

    Both E are means over the rows of x; of a row, log p(x | z) and the KL are sums over entries.
    Returns (loss, metrics), a scalar and a dict of scalars, in nats per example: "neg_elbo";
    "distortion", -E log p(x | z); "kl"; and the estimates of its three parts, the
    "mutual_information" of row and code, the "total_correlation" of the entries of z, and
    "dimension_kl", the divergence of each entry from its prior. Another posterior raises
    `InputError`. Cost: one pass of the model, one z per row. Higgins et al. (2017), "beta-VAE:
    learning basic visual concepts with a constrained variational framework", equation 4.
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

    Both E are means over the rows of x; the absolute value is that of the mean KL minus C.

    model: with one z per row, and a Gaussian posterior with independent entries, such as `vae.vae`;
        another raises `InputError`
    params: those of the model; key: draws z
    x: [batch, *shape], at least two rows; cond: one condition per row, or None
    capacity: C in nats. It grows in training, so that the factors that gain most likelihood per nat
        enter the code first, one after the other:

            loss = lambda params, key, x, weights: disentangled.capacity_loss(
                model, params, key, x, capacity=weights["capacity"], num_data=N)
            weights = {"capacity": optax.linear_schedule(0.0, 25.0, 100_000)}

    gamma: γ, large, so that the KL follows C; a number, or a weight that depends on the step
    num_data: N, the number of rows of the data set, used by the metrics only
    parts_key: key of dropout in the distributions; None for no dropout

    Returns (loss, metrics), a scalar and a dict of scalars, in nats per example: "neg_elbo";
    "distortion", -E log p(x | z); "kl", of which C is the target; and the estimates of its three
    parts "mutual_information", "total_correlation" and "dimension_kl" (`objectives.elbo_terms`).
    Burgess et al. (2018), "Understanding disentangling in β-VAE", equation 8.
    """
    capacity, gamma = checks.weight(capacity, "capacity"), checks.weight(gamma, "gamma")
    terms = elbo_terms(model, params, key, x, cond, num_data=num_data, parts_key=parts_key)
    return terms.distortion + gamma * jnp.abs(terms.kl - capacity), told(terms)
