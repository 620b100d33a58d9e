"""The reverse KL: from a model that can be sampled to a density that can be evaluated."""

from collections.abc import Callable

import jax

from .. import checks
from ..distributions import reparametrised
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

    It fits a model to a density that can be evaluated but not sampled, such as an energy. The
    gradient passes through the samples.

    model: p_θ, a density without condition, whose samples must be reparametrised, as those of a
        flow
    key: draws the samples, and dropout in the model
    log_density: x [num_samples, *shape] -> log p(x) [num_samples]; if p is not normalised, the
        value is the KL minus log ∫ p(x) dx
    num_samples: the number of samples, of which the mean is taken

    Returns (loss, {"reverse_kl": loss}). Cost: one `sample_and_log_prob` of the model, which for an
    IAF is one pass. Raises `ValueError` if log_density returns another shape, and for a model
    whose samples are not reparametrised, such as one of levels or a mixture.
    """
    checks.noun(model, Density, "model")
    checks.parameters(params, model.init)
    checks.key(key)
    checks.function(log_density, "log_density")
    num_samples = checks.positive_int(num_samples, "num_samples")
    dist = model.dist(params, key=jax.random.fold_in(again(key), 1))
    if not reparametrised(dist):
        raise checks.InputError(
            "model must have samples that are reparametrised, for a gradient through them; those "
            f"of {dist.name.lstrip('_')} are not. objectives.mean_log_ratio has the value alone, "
            "objectives.leave_one_out a gradient."
        )
    x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=(num_samples,))
    loss = mean_log_ratio(log_prob, log_density(x))
    return loss, {"reverse_kl": loss}


def mean_log_ratio(log_p: Array, log_q: Array) -> Array:
    """1/n Σ_i [log p(x_i) - log q(x_i)], for samples x_i ~ p an estimate of KL(p ‖ q) in nats.

    log_p, log_q: one number per sample, of one shape. Returns a scalar: unbiased, 0 on every sample
        if p = q, and possibly negative. Raises `ValueError` if the shapes differ or are empty.
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
