"""Masked autoregressive flow: a fast density, trained by maximum likelihood."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from .. import checks
from ..bijectors import Law
from ..combinators import invert
from ..protocol import Flow, Shape
from .iaf import iaf


@checks.spelled
def maf(
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
    """T_MAF = T_IAF⁻¹: u_i = τ(x_i; f_i(x_<i, c)), with the same parameters as `iaf`.

    Density (`inverse`) is one pass. Sampling (`forward`) computes x one coordinate at a time: d
    passes in the lecture, the arithmetic of one with the default inverse="unit_once".
    law: τ, by default `bijectors.affine()`. order, residual, direct, inverse, num_blocks,
    density_blocks and tolerance are those of the net of each layer (`nets.made`); unroll: see
    `combinators.repeat`. dropout acts if the bijector gets a key.

        flow = maf(5, hidden=(64, 64))
        model = combinators.pushforward(flow, distributions.standard_normal(5))
        log_prob = jax.jit(lambda params, x: model.dist(params).log_prob(x))  # x [..., 5] -> [...]

    Papamakarios et al. (2017), "Masked autoregressive flow for density estimation".
    """
    flow = iaf(
        dim,
        num_layers=num_layers,
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
        unroll=unroll,
    )
    return invert(flow)
