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
    """T_MAF = T_IAF⁻¹: in each layer u_i = τ(x_i; f_i(x_<i, c)), with the same parameters as `iaf`.

        flow = maf(5, hidden=(64, 64))
        model = combinators.pushforward(flow, distributions.standard_normal(5))
        log_prob = jax.jit(lambda params, x: model.dist(params).log_prob(x))  # x [..., 5] -> [...]

    f is a MADE, whose output i depends on the coordinates before i only. A layer maps data x to u,
    reversed, and the next one u on to the noise. Density (`inverse`) is one pass of every f.
    Sampling (`forward`) computes x one coordinate at a time: d passes in the lecture, the
    arithmetic of one with the default inverse="unit_once". With z the noise, log|det ∂z/∂x| is the
    sum over layers and coordinates of log ∂τ/∂x_i. It starts as one reversal per layer.

    dim: d, the size of the vectors x
    num_layers: the number of layers, each with its own f
    hidden, activation: widths of the hidden layers of f, and their non-linearity, by default SiLU
    law: τ, an increasing function of x_i, by default `bijectors.affine()`, e^s_i x_i + m_i
    order: order[t] is the coordinate computed at step t of a layer; by default 0..d-1
    cond_shape: of a condition c [..., *cond_shape]; None for p(x)
    residual: whether every two hidden layers are a residual block (of equal widths)
    direct: whether f_i also reads x_<i directly; by default if a hidden layer has fewer than d - 1
        units, or d with a condition
    dropout: the fraction of hidden units set to 0 if the bijector gets a key
    inverse: how sampling is computed, exactly: "unit_once" computes each hidden unit once;
        "block_fixed_point" and "fixed_point" repeat passes until nothing changes; "naive" makes d
        passes per layer
    num_blocks, density_blocks, tolerance: the numbers of blocks of coordinates in which sampling
        and the pass are computed, by default as in `nets.made` (for the inverse 2 or 3 up to d =
        16, √d / 2 up to 64, 4 up to 256, √d / 4 above; for the pass 1 if a layer has fewer than 256
        units or d < 8, else 2, and 4 from d = 512); and the largest change at which a fixed point
        has been reached, by default 0, exact
    unroll: whether the layers are written out instead of run in a scan, which compiles longer
        (`combinators.repeat`)
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Papamakarios et al.
    (2017), "Masked autoregressive flow for density estimation".
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
