"""A density of real numbers as a lower bound of the probability of levels."""

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import within_cell
from ..protocol import Array, Density, Key, Metrics, Params, again, split


def dequantized_log_prob(
    model: Density,
    noise: Density,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    model_key: Key | None = None,
) -> Array:
    """log p(x + u | c) - log q(u | x) for one u ~ q(· | x): at most log P(x | c) in expectation.

    P(x | c) = ∫ p(x + u | c) du over u in [0, 1)^D is the probability of the levels x under the
    density p. The gap is KL(q(u | x) ‖ p(x + u | c) / P(x | c)), 0 if q is the true posterior of u.

    model: p, a density of real numbers. noise: q, a density on [0, 1)^D with condition x, such as
        `distributions.uniform_noise` or `flows.variational_noise`
    params: {"model": ..., "noise": ...}. key: draws u
    x: integers [n, *shape]; others raise `ValueError`. cond: c, one per row or one for all, for the
        model only
    model_key: for dropout in the model and the noise; None, as in evaluation, for none

    Returns one value per row, [n], in nats. In evaluation too the noise is needed: log p(x) itself
    bounds nothing. Cost: a sample of q with its density, and a density of p. Ho et al. (2019),
    "Flow++", eq. 12; with uniform q Theis et al. (2016), "A note on the evaluation of generative
    models", section 3.1.
    """
    checks.noun(model, Density, "model")
    checks.noun(noise, Density, "noise")
    checks.key(key)
    if model_key is not None:
        checks.key(model_key, "model_key")
    checks.rows_of(x, "x")
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise checks.InputError(f"x must be integers; got {x.dtype}. Do not dequantize it.")
    if noise.cond_shape is not None:
        checks.event_shape(x, noise.cond_shape)
    checks.joint_parameters(params, {"model": model.init, "noise": noise.init})
    noise_key, density_key = split(model_key, 2)
    u, log_q = noise.dist(params["noise"], x, key=noise_key).sample_and_log_prob(seed=key)
    y = within_cell(jnp.asarray(x, u.dtype), u)
    return model.dist(params["model"], cond, key=density_key).log_prob(y) - log_q


def dequantized_nll(
    model: Density,
    noise: Density,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
) -> tuple[Array, Metrics]:
    """-E_data [log p(x + u | c) - log q(u | x)], u ~ q(· | x), in nats per example.

    The loss that trains a density p of real numbers and its dequantisation noise q on levels x
    together: in expectation an upper bound of -E log P(x | c), where P(x | c) = ∫ p(x + u | c) du
    over u in [0, 1)^D is the probability of x under p.

    model: p, a density of real numbers
    noise: q, a density on [0, 1)^D with condition x, such as `distributions.uniform_noise`
    params: {"model": ..., "noise": ...}. key: draws u, and dropout in both
    x: integers [batch, *shape]. cond: c, one per row or one for all, for the model only

    Returns (loss, {"dequantized_nll": loss}), the mean over the batch. Raises `ValueError` if x is
    not of integers. Ho et al. (2019), "Flow++", eq. 12.
    """
    checks.key(key)
    model_key = jax.random.fold_in(again(key), 1)
    loss = -dequantized_log_prob(model, noise, params, key, x, cond, model_key=model_key).mean()
    return loss, {"dequantized_nll": loss}
