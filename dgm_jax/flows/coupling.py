"""RealNVP on vectors: flows whose two directions cost the same."""

import math
from collections.abc import Callable, Sequence

import distrax
import jax
import numpy as np

from .. import checks
from ..bijectors import Coupling, Law, Permutation, affine
from ..combinators import compose, fixed, repeat
from ..nets import mlp
from ..protocol import Flow, Shape


def coupling(
    dim: int,
    *,
    hidden: Sequence[int],
    mask: Sequence[bool] | None = None,
    law: Law | None = None,
    cond_shape: Shape | None = None,
    activation: Callable = jax.nn.silu,
) -> Flow:
    """x_a = z_a, x_b = τ(z_b; f(z_a, c)), one pass each way. Starts as the identity.

    mask: True where a coordinate is kept (part a); default every other one, beginning with the
    first. Both parts must have a member. dim may be odd.
    """
    checks.positive_int(dim, "dim")
    checks.cond_shape(cond_shape)
    if dim < 2:
        raise ValueError(f"coupling needs dim >= 2, a part to keep and one to move; got {dim}.")
    mask = np.arange(dim) % 2 == 0 if mask is None else np.asarray(mask)
    checks.mask(mask, dim)
    law = affine() if law is None else law
    checks.noun(law, Law, "law")
    kept = int(mask.sum())
    in_dims = (kept, math.prod(cond_shape)) if cond_shape else (kept,)
    net = mlp(
        in_dims,
        (dim - kept) * law.num_params,
        hidden=hidden,
        activation=activation,
        zero_last=True,
    )

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        context = () if cond is None else (cond,)
        return Coupling(mask, lambda kept: net.apply(params, kept, *context), law)

    return Flow(net.init, bijector)


def realnvp(
    dim: int,
    *,
    num_layers: int = 10,
    hidden: Sequence[int] = (512, 512),
    shuffle: int | None = None,
    unroll: bool = False,
    **options,
) -> Flow:
    """num_layers couplings that keep and move the even and the odd coordinates in turn.

    Density and sampling are both one pass of every layer. shuffle: a seed of one fixed permutation
    after each pair of layers, so that over the layers each coordinate meets every other; None for
    none. options: those of `coupling`, for every layer.
    Dinh et al. (2017), "Density estimation using Real NVP".
    """
    checks.positive_int(dim, "dim")
    checks.positive_int(num_layers, "num_layers", least=2)
    if num_layers % 2:
        raise ValueError(f"num_layers must be even, layers come in pairs; got {num_layers}.")
    # Even coordinates first, then odd ones: halves are sliced and joined for nothing.
    halves = Permutation(np.argsort(np.arange(dim) % 2, kind="stable"))
    even = np.arange(dim) < (dim + 1) // 2
    pair = [coupling(dim, mask=mask, **options, hidden=hidden) for mask in (even, ~even)]
    if shuffle is not None:
        checks.positive_int(shuffle, "shuffle", least=0)
        pair.insert(0, fixed(Permutation(np.random.default_rng(shuffle).permutation(dim))))
    layers = repeat(compose(*pair), num_layers // 2, unroll=unroll)
    return compose(fixed(distrax.Inverse(halves)), layers, fixed(halves))
