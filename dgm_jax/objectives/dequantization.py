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

    P(x) = ∫ p(x + u) du over [0, 1)^D. In nats, one value for each integer x [n, ...]. noise is
    q(u | x), params {"model", "noise"}. The gap is KL(q(u | x) ‖ p(x + u) / P(x)), 0 for the true
    posterior. Use it in evaluation too: without noise p(x) is no bound. model_key: for dropout in
    the model and the noise; None, as in evaluation, for none.
    Ho et al. (2019), "Flow++", eq. 12; with uniform q Theis et al. (2016), section 3.1.
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
    """-E_data of `dequantized_log_prob`, in nats per example: trains the model and its noise.

    x: integers [batch, *shape]. The key draws u, and dropout in the model and the noise. params:
    {"model", "noise"}.
    """
    checks.key(key)
    model_key = jax.random.fold_in(again(key), 1)
    loss = -dequantized_log_prob(model, noise, params, key, x, cond, model_key=model_key).mean()
    return loss, {"dequantized_nll": loss}
