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
    """x = T_K ∘ ... ∘ T_1(z), z, x ∈ R^dim; T_k: x_i = τ(z_i; f_i(z_<i, c)), then a reversal of x.

    f is a MADE, whose output i depends on the coordinates before i only; each layer has its own
    (`flows.autoregression`). Sampling (`forward`) is one pass of every f. Density (`inverse`)
    computes the noise one coordinate at a time: d passes in the lecture, the arithmetic of one with
    the default inverse="unit_once". log|det ∂x/∂z| is the sum over layers and coordinates of
    log ∂τ/∂z_i. It starts as K reversals.

    dim: d, the size of the vectors
    num_layers: K
    hidden, activation: widths of the hidden layers of f, and their non-linearity, by default SiLU
    law: τ, an increasing function of z_i, by default `bijectors.affine()`, e^s_i z_i + m_i
    order: order[t] is the coordinate computed at step t of a layer; by default 0..d-1
    cond_shape: of a condition c [..., *cond_shape]; None for p(x)
    residual: whether every two hidden layers are a residual block (of equal widths)
    direct: whether f_i also reads z_<i directly; by default if a hidden layer has fewer than d - 1
        units, or d with a condition
    dropout: the fraction of hidden units set to 0 if the bijector gets a key
    inverse: how the inverse is computed, exactly: "unit_once" computes each hidden unit once;
        "block_fixed_point" and "fixed_point" repeat passes until nothing changes; "naive" makes d
        passes per layer
    num_blocks, density_blocks, tolerance: the numbers of blocks of coordinates in which the inverse
        and the pass are computed, by default as in `nets.made` (for the inverse 2 or 3 up to d =
        16, √d / 2 up to 64, 4 up to 256, √d / 4 above; for the pass 1 if a layer has fewer than 256
        units or d < 8, else 2, and 4 from d = 512); and the largest change at which a fixed point
        has been reached, by default 0, exact
    unroll: whether the layers are written out instead of run in a scan, which compiles longer
        (`combinators.repeat`)
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Kingma et al. (2016),
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
