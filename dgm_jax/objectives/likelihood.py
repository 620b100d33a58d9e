"""Maximum likelihood, and the units in which it is reported."""

import math

import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Density, Key, Metrics, Params, Rows


def nll(
    model: Density, params: Params, key: Key | None, x: Array, cond: Array | None = None
) -> tuple[Array, Metrics]:
    """-E_data log p_θ(x | c), in nats per example: the forward KL(data ‖ p_θ) up to a constant.

    model: a `Density` p_θ; params: θ
    x: [batch, *shape]. cond: one condition per row, or one for all
    key: for dropout, or the stochastic log-determinant of `flows.ffjord`; with None the density is
        exact, as in evaluation

    Returns (loss, {"nll": loss}), the mean over the batch.

        loss = functools.partial(objectives.nll, model)
        algorithm = learning.gradient_descent(model.init, loss, optax.adam(1e-3))
    """
    checks.noun(model, Density, "model")
    checks.parameters(params, model.init)
    if key is not None:
        checks.key(key)
    checks.rows_of(x, "x")
    loss = -model.dist(params, cond, key=key).log_prob(x).mean()
    return loss, {"nll": loss}


def bits_per_dim(log_prob: Rows | float, dim: int, log_det: Array | float = 0.0) -> Rows | float:
    """-(log p(x) + log_det) / (d log 2): log p in nats as the code length of one level, in bits.

    log_prob: log p, any shape; the result has this shape, or that of a broadcast with log_det
    dim: d, the number of entries of x
    log_det: log|det ∂g/∂x| in nats, if log_prob is that of y = g(x); 0 for a model of x. A model
        pushed through g⁻¹ by `combinators.pushforward` is one of x

    x must be dequantised levels in [0, K)^d, so that the bin of a level has volume 1 and a uniform
    density costs log₂ K; or levels themselves, with log P(x).
    """
    dim = checks.positive_int(dim, "dim")
    checks.numbers(log_prob, "log_prob")
    checks.numbers(log_det, "log_det")
    checks.common_batch({"log_prob": jnp.shape(log_prob), "log_det": jnp.shape(log_det)})
    return -(log_prob + log_det) / (dim * math.log(2))


def mean_and_stderr(values: Rows) -> tuple[Array, Array]:
    """(x̄, s / √n), x̄ = 1/n Σ_i x_i, s² = Σ_i (x_i - x̄)² / (n - 1): a mean, its standard error.

    values: x, independent numbers [n] with n ≥ 2, such as log_prob of test examples. Returns two
        scalars. Raises `ValueError` for another shape.
    """
    checks.array(values, "values")
    if values.ndim != 1 or len(values) < 2:
        raise checks.InputError(
            f"values must be at least two numbers [n]; got shape {values.shape}."
        )
    values = jnp.asarray(values)
    return values.mean(), values.std(ddof=1) / jnp.sqrt(len(values))
