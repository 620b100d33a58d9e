"""Inverse autoregressive flow: fast sampling, with the density of the samples."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from .. import checks
from ..bijectors import Law, Permutation
from ..combinators import compose, fixed, repeat
from ..protocol import Flow, Shape
from .autoregression import autoregression


@checks.spelled
def iaf(
    dim: int,
    *,
    num_layers: int = 5,
    hidden: Sequence[int] = (512, 512),
    law: Law | None = None,
    order: Sequence[int] | np.ndarray | None = None,
    cond_shape: Shape | None = None,
    activation: Callable = jax.nn.silu,
    residual: bool = False,
    direct: bool | None = None,
    dropout: float = 0.0,
    inverse: str = "unit_once",
    num_blocks: int | None = None,
    density_blocks: int | None = None,
    tolerance: float = 0.0,
    unroll: bool = False,
) -> Flow:
    """x = T_K ∘ ... ∘ T_1(z), each T_k an autoregression of z [..., dim], then a reversal of it.

    Sampling (`forward`) is one pass. Density (`inverse`) computes the noise one coordinate at a
    time: d passes in the lecture, the arithmetic of one with the default inverse="unit_once".
    num_layers: K. law: τ, by default `bijectors.affine()`. order, residual, direct, inverse,
    num_blocks, density_blocks and tolerance are those of the net of each layer (`nets.made`);
    unroll: see `combinators.repeat`. dropout acts if the bijector gets a key. Kingma et al. (2016),
    "Improving variational inference with inverse autoregressive flow".
    """
    layer = autoregression(
        dim,
        hidden=hidden,
        law=law,
        order=order,
        cond_shape=cond_shape,
        activation=activation,
        residual=residual,
        direct=direct,
        dropout=dropout,
        inverse=inverse,
        num_blocks=num_blocks,
        density_blocks=density_blocks,
        tolerance=tolerance,
    )
    reversal = fixed(Permutation(np.arange(dim)[::-1]))
    return repeat(compose(reversal, layer), num_layers, unroll=unroll)
