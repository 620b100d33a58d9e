"""IAF and MAF: the autoregressive flow and its inverse."""

from collections.abc import Sequence

import numpy as np

from .. import checks
from ..bijectors import Autoregressive, Law, Permutation, affine
from ..combinators import compose, fixed, invert, repeat
from ..nets.causal import made
from ..protocol import Flow, Shape


def autoregression(
    dim: int, *, law: Law | None = None, cond_shape: Shape | None = None, **options
) -> Flow:
    """One layer x_i = τ(z_i; f_i(z_<i, c)) with a MADE for f. Starts as the identity.

    options: those of `nets.made`, of which `hidden` is needed. `inverse` names the way back: all
    are exact, and what they cost is told there.
    """
    law = affine() if law is None else law
    checks.noun(law, Law, "law")
    net = made(dim, num_outputs=law.num_params, cond_shape=cond_shape, **options)

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        return Autoregressive(net, params, law, dim, cond)

    return Flow(net.init, bijector)


def iaf(
    dim: int,
    *,
    num_layers: int = 5,
    hidden: Sequence[int] = (512, 512),
    unroll: bool = False,
    **options,
) -> Flow:
    """x = T_K ∘ ... ∘ T_1(z), each T_k an autoregression of z, then a reversal of the coordinates.

    Sampling (`forward`) is one pass. Density (`inverse`) needs the noise one coordinate at a time:
    d passes in the lecture, the arithmetic of one with the default `inverse="unit_once"`.
    options: those of `autoregression`, for every layer; unroll: see `combinators.repeat`.
    Kingma et al. (2016), "Improving variational inference with inverse autoregressive flow".
    """
    layer = autoregression(dim, hidden=hidden, **options)
    reversal = fixed(Permutation(np.arange(dim)[::-1]))
    return repeat(compose(reversal, layer), num_layers, unroll=unroll)


def maf(dim: int, **options) -> Flow:
    """IAF run the other way, T_MAF = T_IAF⁻¹: u_i = τ(x_i; f_i(x_<i, c)), with the same parameters.

    Density (`inverse`) is one pass. Sampling (`forward`) makes x one coordinate at a time: d passes
    in the lecture, the arithmetic of one with the default `inverse="unit_once"`.
    options: those of `iaf`.
    Papamakarios et al. (2017), "Masked autoregressive flow for density estimation".
    """
    return invert(iaf(dim, **options))
