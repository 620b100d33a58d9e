"""The autoregressive layer of IAF and MAF."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from .. import checks
from ..bijectors import Autoregressive, Law, affine
from ..nets import made
from ..protocol import Flow, Shape


@checks.spelled
def autoregression(
    dim: int,
    *,
    hidden: Sequence[int],
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
) -> Flow:
    """x_i = τ(z_i; f_i(z_<i, c)) for i = 1..d, log|det ∂x/∂z| = Σ_i log ∂τ/∂z_i; f is a MADE.

    One layer of an IAF on vectors [..., dim]; its inverse is one of a MAF (`combinators.invert`).
    It starts as the identity. Parameters are those of the net f, `nets.made`.

    dim: d, the size of the vectors
    hidden, activation: widths of the hidden layers of f, and their non-linearity, by default SiLU
    law: τ, an increasing function of z_i, by default `bijectors.affine()`, e^s_i z_i + m_i
    order: order[t] is the coordinate computed at step t; by default 0..d-1
    cond_shape: of a condition c [..., *cond_shape]; None for none
    residual: whether every two hidden layers are a residual block (of equal widths)
    direct: whether f_i also reads z_<i directly; by default if a hidden layer has fewer than d - 1
        units, or d with a condition
    dropout: the fraction of hidden units set to 0 if the bijector gets a key, with the same units
        in both directions
    inverse: how z is computed from x, exactly, one coordinate after the other: "unit_once" computes
        each hidden unit once; "block_fixed_point" and "fixed_point" repeat passes until nothing
        changes; "naive" makes d passes
    num_blocks, density_blocks: the number of blocks of coordinates in which the inverse and the
        pass are computed, by default as in `nets.made`: for the inverse 2 or 3 up to d = 16, √d / 2
        up to 64, 4 up to 256 and √d / 4 above; for the pass 1 if a layer has fewer than 256 units
        or d < 8, else 2, and 4 from d = 512
    tolerance: the largest change at which a fixed point has been reached; by default 0, exact
    Returns a `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward`
    maps z to x, for `combinators.pushforward` and `combinators.compose`. Cost: `forward` is one
    pass of the net. The inverse with "unit_once" has the arithmetic of one pass too, in d small
    steps. Kingma et al. (2016), "Improving variational inference with inverse autoregressive flow",
    eq. 10.
    """
    dim, cond_shape = checks.positive_int(dim, "dim"), checks.cond_shape(cond_shape)
    law = affine() if law is None else law
    checks.noun(law, Law, "law")
    net = made(
        dim,
        hidden=hidden,
        num_outputs=law.num_params,
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

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        return Autoregressive(net, params, law, dim, cond, key=key)

    return Flow(net.init, bijector, cond_shape=cond_shape)
