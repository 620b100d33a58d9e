"""Bounds of log p(x) of a latent variable model, by samples of its posterior."""

from .. import checks
from ..protocol import Array, Key, LatentVariable, Params, split


def log_weights(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int = 1,
    parts_key: Key | None = None,
) -> Array:
    """log w_k = log p(x | z_k) + log p(z_k) - log q(z_k | x) with z_k ~ q(z | x), [K, *batch].

    The mean over k is the ELBO (Kingma & Welling 2014), and log 1/K Σ_k w_k the tighter bound of
    Burda et al. (2016, equation 8); E w_k = p(x). Reparameterised where the posterior's samples
    are. `key` draws z; `parts_key` is handed to the three parts, for dropout in training. In nats.
    The condition is one for each x, or one for all. The likelihood gets it with z [K, *batch, ...],
    against which its batch broadcasts.
    Cost: one pass of the posterior, K of the likelihood. Raises `ValueError` for num_samples
    below 1.
    """
    checks.noun(model, LatentVariable, "model")
    checks.parameters(params, model.init)
    checks.key(key)
    if parts_key is not None:
        checks.key(parts_key, "parts_key")
    checks.array(x, "x")
    num_samples = checks.positive_int(num_samples, "num_samples")
    posterior_key, prior_key, likelihood_key = split(parts_key, 3)
    posterior = model.posterior(params, x, cond, key=posterior_key)
    z, log_q = posterior.sample_and_log_prob(seed=key, sample_shape=num_samples)
    log_prior = model.prior(params, cond, key=prior_key).log_prob(z)
    log_likelihood = model.likelihood(params, z, cond, key=likelihood_key).log_prob(x)
    return log_likelihood + log_prior - log_q
