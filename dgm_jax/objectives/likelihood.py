"""Fitting a density by its likelihood, and the units in which the result is told."""

import math

import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Density, Key, Metrics, Params


def nll(
    model: Density, params: Params, key: Key | None, x: Array, cond: Array | None = None
) -> tuple[Array, Metrics]:
    """-E_data log p_θ(x | c), in nats an example: the forward KL(data ‖ p_θ) up to a constant.

    key: for a density that is an estimate, such as that of `flows.ffjord`; exact with None.
    """
    loss = -model.dist(params, cond, key=key).log_prob(x).mean()
    return loss, {"nll": loss}


def reverse_kl(
    model: Density, params: Params, key: Key, log_density, *, num_samples: int
) -> tuple[Array, Metrics]:
    """KL(p_θ ‖ p) = E_{x ~ p_θ} [log p_θ(x) - log p(x)], in nats, for a reparametrised p_θ.

    log_density: x [num, d] -> log p(x) [num], normalised or not (then the value is the KL minus
    log of the normaliser). Cost: one `sample_and_log_prob`, so IAF is the cheap direction.
    """
    checks.key(key)
    checks.function(log_density, "log_density")
    checks.positive_int(num_samples, "num_samples")
    x, log_prob = model.dist(params).sample_and_log_prob(seed=key, sample_shape=(num_samples,))
    target = log_density(x)
    if target.shape != log_prob.shape:
        raise ValueError(
            f"log_density must return one number for each sample, {log_prob.shape}; "
            f"got shape {target.shape}. Sum over the coordinates."
        )
    loss = (log_prob - target).mean()
    return loss, {"reverse_kl": loss}


def bits_per_dim(log_prob: Array, dim: int, log_det: Array | float = 0.0) -> Array:
    """-log₂ p(x) / d from log p in nats: the code length of a level, where x counts levels.

    x must be dequantized levels in [0, K)^d, so that a bin of one level has volume 1 and a uniform
    density costs log₂ K. Where the model lives on y = g(x) instead, give log_det = log|det ∂g/∂x|,
    or push the model through g⁻¹ (`combinators.pushforward`) and give none.
    """
    checks.positive_int(dim, "dim")
    return -(log_prob + log_det) / (dim * math.log(2))


def mean_and_stderr(values: Array) -> tuple[Array, Array]:
    """The mean over examples [n] and its standard error, s / √n."""
    values = jnp.asarray(values)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values must be at least two numbers [n]; got shape {values.shape}.")
    return values.mean(), values.std(ddof=1) / jnp.sqrt(len(values))
