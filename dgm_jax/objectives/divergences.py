"""The Kullback-Leibler divergence of a model one can sample from a density one can score."""

from collections.abc import Callable

import jax

from .. import checks
from ..protocol import Array, Density, Key, Metrics, Params, again


def reverse_kl(
    model: Density,
    params: Params,
    key: Key,
    log_density: Callable[[Array], Array],
    *,
    num_samples: int,
) -> tuple[Array, Metrics]:
    """KL(p_θ ‖ p) = E_{x ~ p_θ} [log p_θ(x) - log p(x)], in nats, for a reparametrised p_θ.

    log_density: x [num, d] -> log p(x) [num], normalised or not (then the value is the KL minus
    log of the normaliser). The key draws the samples, and what is random within the model, such as
    dropout. Cost: one `sample_and_log_prob`, so IAF is the cheap direction.
    """
    checks.noun(model, Density, "model")
    checks.parameters(params, model.init)
    checks.key(key)
    checks.function(log_density, "log_density")
    num_samples = checks.positive_int(num_samples, "num_samples")
    dist = model.dist(params, key=jax.random.fold_in(again(key), 1))
    x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=(num_samples,))
    loss = mean_log_ratio(log_prob, log_density(x))
    return loss, {"reverse_kl": loss}


def mean_log_ratio(log_p: Array, log_q: Array) -> Array:
    """The mean of log p(x) - log q(x), of samples x from p an estimate of KL(p ‖ q) in nats.

    It is 0 on every sample where the two are one. Both have a number for each sample.
    """
    checks.floating(log_p, "log_p")
    checks.floating(log_q, "log_q")
    if not log_p.size:
        raise checks.InputError(f"log_p is empty (shape {log_p.shape}); it needs a sample.")
    if log_q.shape != log_p.shape:
        raise checks.InputError(
            f"log_q, of log_density, must have one number for each sample, {log_p.shape}; "
            f"got shape {log_q.shape}. Sum over the coordinates."
        )
    return (log_p - log_q).mean()
