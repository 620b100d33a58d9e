"""The reverse KL: from a model that can be sampled to a density that can be evaluated."""

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

    log_density: x [num, d] -> log p(x) [num]; if it is not normalised, the value is the KL minus
    the log of the normaliser. num_samples: samples of the model. The key draws them, and dropout in
    the model.
    Cost: one `sample_and_log_prob`, which is cheap for an IAF.
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
    """The mean of log p(x) - log q(x), for samples x from p an estimate of KL(p ‖ q) in nats.

    log_p, log_q: one number per sample, any shape. It is 0 on every sample if p = q.
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
