"""Activation normalisation: a diagonal affine map that is initialised from data."""

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import wide
from ..bijectors import Diagonal
from ..protocol import Array, Flow


def actnorm(dim: int, *, event_ndims: int = 1) -> Flow:
    """x = e^s ⊙ z + b, with log|det ∂x/∂z| = Σ_i s_i; s and b are initialised from data.

    Parameters s and b, both [dim], start at 0, so that the layer is the identity. Then
    `combinators.adapt(model, params, x)` sets those of all such layers of a model, from a batch x
    of data. It sets b to the mean of what enters the layer, and s to the logarithm of its standard
    deviation, so that each coordinate of z has mean 0 and standard deviation 1 over the batch. A
    coordinate that is constant in the batch is shifted and not scaled. A batch of one vector raises
    InputError. From then on both are trained like other parameters: unlike with batch
    normalisation, the density of an example never depends on other examples.

    dim: the number of coordinates of x [..., dim], or of channels
    event_ndims: the axes of one event, 1 for vectors and 3 for images [..., H, W, dim]. For images
        the statistics of a channel are over all pixels of the batch, and log|det| is H W Σ_i s_i
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: O(1) per entry of x.
    Kingma and Dhariwal (2018), "Glow", section 3.1.
    """
    dim = checks.positive_int(dim, "dim")
    event_ndims = checks.positive_int(event_ndims, "event_ndims")

    def init(key):
        checks.key(key)
        return {"log_scale": jnp.zeros(dim), "shift": jnp.zeros(dim)}

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return Diagonal(params["log_scale"], params["shift"], event_ndims=event_ndims)

    def adapt(params, x, cond=None):
        checks.events(x, dim)
        if x.size < 2 * dim:
            raise checks.InputError(
                f"adapt needs a batch of two or more, [n, ...]; got shape {x.shape}."
            )
        mean, std = _moments(x.reshape(-1, dim))
        dtypes = jax.tree.map(lambda leaf: leaf.dtype, params)
        params = jax.tree.map(jnp.astype, {"log_scale": jnp.log(std), "shift": mean}, dtypes)
        return params, bijector(params).inverse(x)

    return Flow(init, bijector, adapt)


def _moments(rows: Array) -> tuple[Array, Array]:
    """Mean and standard deviation [d]; 1 where it is no more than the rounding of the values."""
    rows = rows.astype(wide(rows))
    mean = rows.mean(0)
    std = jnp.sqrt(((rows - mean[None]) ** 2).mean(0))
    rounding = 8 * jnp.finfo(rows.dtype).eps * jnp.abs(rows).max(0)
    return mean, jnp.where(std <= rounding, 1, std)  # NaN stays NaN
