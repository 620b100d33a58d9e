"""A density of numbers as a bound on the probability of levels."""

import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Density, Key, Metrics, Params


def dequantized_log_prob(
    model: Density,
    noise: Density,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
) -> Array:
    """log p(x + u | c) - log q(u | x) for one u ~ q(· | x): at most log P(x | c) in expectation.

    P(x) = ∫ p(x + u) du over [0, 1)^D. In nats, one value for each integer x [n, ...]; params:
    {"model", "noise"}. The gap is KL(q(u | x) ‖ p(x + u) / P(x)), 0 at the true posterior. It is
    the score of evaluation too: without noise there is no bound.
    Ho et al. (2019), eq. 12; with uniform q Theis et al. (2016), section 3.1.
    """
    checks.key(key)
    checks.array(x, "x")
    if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        raise ValueError(f"x must be integers; got {jnp.result_type(x)}. Do not dequantize it.")
    u, log_q = noise.dist(params["noise"], x).sample_and_log_prob(seed=key)
    levels = jnp.asarray(x, u.dtype)
    next_below = jnp.nextafter(levels + 1, levels)  # in float32, 255 + 0.999999 is 256
    y = jnp.minimum(levels + u, next_below)
    return model.dist(params["model"], cond).log_prob(y) - log_q


def dequantized_nll(
    model: Density,
    noise: Density,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
) -> tuple[Array, Metrics]:
    """-E_data of `dequantized_log_prob`, in nats an example: trains the model and its noise."""
    loss = -dequantized_log_prob(model, noise, params, key, x, cond).mean()
    return loss, {"dequantized_nll": loss}
