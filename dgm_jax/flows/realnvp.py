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
    """num_layers couplings that keep and move the even and the odd coordinates in turn.

    Density and sampling are both one pass of every layer. shuffle: the seed of a fixed permutation
    after each pair of layers, so that every coordinate interacts with every other; None for no
    permutation. hidden, law, cond_shape, activation and dropout: as in `coupling`; unroll: see
    `combinators.repeat`. Dinh et al. (2017), "Density estimation using Real NVP".
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
