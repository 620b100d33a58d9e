"""The coupling layer on vectors: a flow whose two directions cost the same."""

import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.tree_util import Partial

from .. import checks
from ..arrays import as_vectors
from ..bijectors import Coupling, Law, affine
from ..nets import mlp
from ..protocol import Flow, Shape, again


@checks.spelled
def coupling(
    dim: int,
    *,
    hidden: Sequence[int],
    mask: Sequence[bool] | np.ndarray | None = None,
    law: Law | None = None,
    cond_shape: Shape | None = None,
    activation: Callable = jax.nn.silu,
    dropout: float = 0.0,
) -> Flow:
    """x_a = z_a, x_b = τ(z_b; f(z_a, c)), with log|det ∂x/∂z| = Σ_b log τ'.

    A layer of RealNVP on vectors [..., dim], with one pass of f in each direction. It starts as the
    identity. Here τ' is ∂τ/∂z_b, and the sum is over the coordinates of part b.

    dim: the size of the vectors, at least 2
    hidden, activation: the widths of the hidden layers of f, an `mlp`, and their non-linearity,
        SiLU
    mask: [dim], True where a coordinate is kept (part a); by default every other one, beginning
        with the first. Neither part may be empty; dim may be odd
    law: τ, an increasing function of each z_b, by default `bijectors.affine()`, z_b e^s + t
    cond_shape: of a condition c [..., *cond_shape], flattened to a vector; None for none
    dropout: the fraction of hidden units set to 0 if the bijector gets a key, the same ones in both
        directions
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Dinh et al. (2017),
    "Density estimation using Real NVP", eqs. 4-8.
    """
    dim = checks.positive_int(dim, "dim")
    cond_shape = checks.cond_shape(cond_shape)
    if dim < 2:
        raise checks.InputError(
            f"coupling needs dim >= 2, a part to keep and one to move; got {dim}."
        )
    mask = checks.mask(np.arange(dim) % 2 == 0 if mask is None else mask, dim)
    law = affine() if law is None else law
    checks.noun(law, Law, "law")
    num_kept = int(mask.sum())
    net = mlp(
        (num_kept, math.prod(cond_shape)) if cond_shape else num_kept,
        (dim - num_kept) * law.num_params,
        hidden=hidden,
        activation=activation,
        zero_last=True,
        dropout=dropout,
    )

    def conditioner(params, context, key, kept):
        return net.apply(params, kept, *context, key=again(key))

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        context = ()
        if cond is not None and cond_shape is not None:
            context = (as_vectors(cond, len(cond_shape)),)
        return Coupling(mask, Partial(conditioner, params, context, key), law)

    return Flow(net.init, bijector, cond_shape=cond_shape)
