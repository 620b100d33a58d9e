"""Bounds of log p(x) of a latent variable model, by samples of its posterior."""

from .. import checks
from ..protocol import Array, Inferred, Key, LatentVariable, Params, split


def infer(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int = 1,
    parts_key: Key | None = None,
) -> Inferred:
    """z_k ~ q(z | x), k = 1..K, with log p(x | z), log p(z), log q(z | x) and KL(q ‖ p).

    Reparameterised where the posterior's samples are. `key` draws z; `parts_key` is handed to the
    parts of the model, for dropout in training. The condition is one for each x, or one for all.
    The likelihood gets it with z [K, *batch, ...], against which its batch broadcasts. In nats.
    KL(q ‖ p) is in closed form where `kl_divergence` of the two distributions is, else log q -
    log p at the samples.
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
    if model.infer is not None:
        return model.infer(params, key, x, cond, num_samples=num_samples, parts_key=parts_key)
    posterior_key, prior_key, likelihood_key = split(parts_key, 3)
    posterior = model.posterior(params, x, cond, key=posterior_key)
    prior = model.prior(params, cond, key=prior_key)
    z, log_q = posterior.sample_and_log_prob(seed=key, sample_shape=num_samples)
    log_prior = prior.log_prob(z)
    log_likelihood = model.likelihood(params, z, cond, key=likelihood_key).log_prob(x)
    return Inferred(z, log_likelihood, log_prior, log_q, {"z": log_q - log_prior})


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
    Burda et al. (2016, equation 8); E w_k = p(x). Arguments and cost are those of `infer`.
    """
    found = infer(model, params, key, x, cond, num_samples=num_samples, parts_key=parts_key)
    return found.log_likelihood + found.log_prior - found.log_posterior
