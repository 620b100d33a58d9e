"""RealNVP on vectors."""

from collections.abc import Callable, Sequence

import distrax
import jax
import numpy as np

from .. import checks
from ..bijectors import Law, Permutation
from ..combinators import compose, fixed, repeat
from ..protocol import Flow, Shape
from .coupling import coupling


@checks.spelled
def realnvp(
    dim: int,
    *,
    num_layers: int = 10,
    hidden: Sequence[int] = (512, 512),
    shuffle: int | None = None,
    law: Law | None = None,
    cond_shape: Shape | None = None,
    activation: Callable = jax.nn.silu,
    dropout: float = 0.0,
    unroll: bool = False,
) -> Flow:
    """x = T_1 ∘ ... ∘ T_K (z), couplings T_k: x_a = z_a, x_b = τ(z_b; f_k(z_a, c)), z, x ∈ R^dim.

    Layers come in pairs: one keeps the odd coordinates and moves the even ones, the next keeps the
    even ones and moves the odd ones. log|det ∂x/∂z| is the sum over layers and moved coordinates b
    of log ∂τ/∂z_b.

    dim: the size of the vectors, at least 2
    num_layers: K, even
    hidden: the widths of the hidden layers of each net f_k, an `mlp`
    shuffle: the seed of one fixed permutation after each pair, in the direction of sampling, so
        that every coordinate interacts with every other; None for no permutation
    law: τ, by default `bijectors.affine()`, x_b = z_b e^s + t
    cond_shape: the shape of one condition c [..., *cond_shape]; None for p(x)
    activation: that of the nets
    dropout: the fraction of their hidden units set to 0 if the bijector gets a key
    unroll: whether the pairs are written out instead of run in a scan (`combinators.repeat`)

    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Starts as the identity, or
    as a permutation if shuffled. Cost: density and sampling are both one pass of every f_k. Dinh et
    al. (2017), "Density estimation using Real NVP".
    """
    dim = checks.positive_int(dim, "dim")
    num_layers = checks.positive_int(num_layers, "num_layers", least=2)
    if num_layers % 2:
        raise checks.InputError(f"num_layers must be even, layers come in pairs; got {num_layers}.")
    # Even coordinates first, then odd ones: halves are sliced and joined for nothing.
    halves = Permutation(np.argsort(np.arange(dim) % 2, kind="stable"))
    even = np.arange(dim) < (dim + 1) // 2
    pair = [
        coupling(
            dim,
            hidden=hidden,
            mask=mask,
            law=law,
            cond_shape=cond_shape,
            activation=activation,
            dropout=dropout,
        )
        for mask in (even, ~even)
    ]
    if shuffle is not None:
        shuffle = checks.integer(shuffle, "shuffle")
        pair.insert(0, fixed(Permutation(np.random.default_rng(shuffle).permutation(dim))))
    layers = repeat(compose(*pair), num_layers // 2, unroll=unroll)
    return compose(fixed(distrax.Inverse(halves)), layers, fixed(halves))
