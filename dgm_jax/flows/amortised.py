"""Flows whose parameters are affine functions of the condition: θ(c) = θ + c·Θ."""

import math
from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import as_vectors, same_rank, wide
from ..protocol import Array, Flow, Key, Params, Shape


def amortised(
    start: Callable[[Key], dict[str, Array]],
    layer: Callable[..., distrax.Bijector],
    *,
    cond_shape: Shape | None = None,
) -> Flow:
    """T(·; θ + c·Θ), with Θ = 0 at the start; without a condition T(·; θ).

    start(key) -> θ, a dict of arrays; layer(θ, dtype=dtype) -> the bijector with these parameters,
    each with the batch axes of c in front, and results in that dtype. A condition of any shape is
    flattened to a vector. Half precision is computed in float32, because a bound of 0.999 is 1 in
    bfloat16.
    Parameters: θ; with cond_shape {"own": θ, "cond": Θ}, where each array of Θ is [n, *shape].
    Rezende and Mohamed (2015), "Variational inference with normalizing flows", section 4.
    """
    cond_shape = checks.cond_shape(cond_shape)

    def init(key):
        checks.key(key)
        own = start(key)
        if cond_shape is None:
            return own
        num = math.prod(cond_shape)
        return {"own": own, "cond": jax.tree.map(lambda a: jnp.zeros((num, *a.shape)), own)}

    def bijector(params: Params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        dtype = jnp.result_type(*jax.tree.leaves(params))
        params = jax.tree.map(lambda a: a.astype(wide(a)), params)
        if cond is not None and cond_shape is not None:
            vectors = as_vectors(cond, len(cond_shape))
            params = jax.tree.map(
                lambda own, slope: sum(same_rank(own, jnp.tensordot(vectors, slope, 1))),
                params["own"],
                params["cond"],
            )
        return layer(params, dtype=dtype)

    return Flow(init, bijector, cond_shape=cond_shape)
