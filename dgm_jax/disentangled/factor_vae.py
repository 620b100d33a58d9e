"""The FactorVAE: total correlation, by a critic that compares codes with permuted codes.

It is easy to sample from the aggregate posterior q(z), and from ∏_j q(z_j): permute each entry
separately within a batch of codes. A critic T that discriminates the two has the optimum
T* = log q(z) - Σ_j log q(z_j), whose mean over codes is the total correlation. The two players of
`learning.alternate` have the parameters {"model", "critic"}, and batches of equally many rows:

    loss = functools.partial(disentangled.factor_vae_loss, model, critic, gamma=35, num_data=N)
    critic_loss = functools.partial(disentangled.factor_critic_loss, model, critic)
    players = {"model": Player(loss, optax.adam(1e-4)),
               "critic": Player(critic_loss, optax.adam(1e-4, b1=0.5))}
    learning.alternate(players, lambda key: {"model": model.init(key), "critic": critic.init(key)})

A critic learns the dependence between entries, but hardly that narrow posteriors of few rows are
isolated points, which also counts as total correlation: at least
KL - log N - Σ_j KL(q(z_j) ‖ p(z_j)).

Kim and Mnih (2018), "Disentangling by factorising", algorithm 2, with the critic
`nets.mlp(n, 1, hidden=(1000,) * 5)` with leaky ReLU, and γ near 35 for dSprites.
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
    """-ELBO + γ E_q(z) T(z), with a critic T that estimates log q(z) / ∏_j q(z_j): a FactorVAE.

    With optimal T the second term is γ TC, the total correlation KL(q(z) ‖ ∏_j q(z_j)) of the
    aggregate posterior q(z), in nats. T is trained by `factor_critic_loss` (`learning.alternate`).

    model: with one z per row, and a Gaussian posterior with independent entries, such as `vae.vae`
    x: [batch, *shape], at least two rows
    critic: T, apply(params, z [batch, n]) -> logits [batch, 1], such as an MLP
    params: {"model", "critic"}, the parameters of both; the critic gets no gradient here
    key: draws z, of which the mean of T is taken
    gamma: γ, a number, or a weight that depends on the step
    num_data: N, the number of rows of the data set, used by the metrics only

    Returns (loss, metrics), a scalar and a dict of scalars, in nats per example: "ratio_kl",
    E T(z), the critic's estimate of TC, which is not a bound; "neg_elbo", its terms "distortion",
    -E log p(x | z), and "kl", and the estimates of the three parts of the KL from the batch alone,
    "mutual_information", "total_correlation" (not used in the loss) and "dimension_kl". Cost: a
    pass of the model and of the critic. Kim and Mnih (2018), "Disentangling by factorising",
    equation 2.
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
    """-E_q(z) log σ(T(z)) - E_q̄ log σ(-T(z)), q̄ = ∏_j q(z_j): the loss of the critic, in nats.

    σ is the logistic function; the optimum is T* = log q(z) / q̄(z). Codes of x are samples of
    q(z), and codes of other rows with each entry permuted over the batch (`permuted`) samples of
    q̄.

    model: with a Gaussian posterior with independent entries, such as `vae.vae`
    critic: T, apply(params, z [batch, n]) -> logits [batch, 1]
    params: {"model", "critic"}, the parameters of both; the model gets no gradient here
    key: draws the codes and the permutations
    x: [batch, *shape]
    other: the rows [m, *shape] for q̄. None splits x into two halves, one for each; an odd batch
        raises `InputError`

    Returns (loss, {"accuracy", "ratio_kl"}): the fraction of codes on the right side of T = 0, 1/2
    if entries are independent, and E_q T, the estimate of the total correlation. Kim and Mnih
    (2018), "Disentangling by factorising", algorithm 2.
    """
    _check(model, critic, params, key, x)
    if other is None:
        checks.divisible(x, 2, "2 halves, codes and permuted codes")
        half = len(x) // 2
    else:
        checks.rows_of(other, "other")
        if jnp.shape(other)[1:] != x.shape[1:]:
            raise checks.InputError(
                f"other must be rows like those of x, [n, *{x.shape[1:]}]; got {jnp.shape(other)}."
            )
        x, half = jnp.concatenate([x, other]), len(x)
    draw_key, order_key = jax.random.split(key)
    posterior = model.posterior(params["model"], x)
    independent_entries(posterior)
    z = stop_gradient(posterior.sample(seed=draw_key))
    seen = jnp.concatenate([z[:half], permuted(order_key, z[half:])])  # one pass of the critic
    values = _values(critic, params["critic"], seen)
    return density_ratio_loss(values[:half], values[half:])


def permuted(key: Key, z: Array) -> Array:
    """z [batch, n] with each entry permuted separately over the batch: samples of ∏_j q(z_j).

    The entries of a row then come from different rows, so that their dependence is lost. key: draws
    one permutation of the rows for each entry.
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
