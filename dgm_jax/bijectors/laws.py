"""Laws: the scalar bijections y_i = τ(x_i; c_i) inside coupling and autoregressive layers."""

from collections.abc import Callable
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import soft_bound
from ..protocol import Array, described


class Law(NamedTuple):
    """τ(·; c): R → R, an increasing function for each c ∈ R^num_params; c = 0 is the identity.

    The scalar bijection inside of a coupling or autoregressive layer, x_i ↦ τ(x_i; c_i), where a
    net computes c_i from other coordinates (also called the transformer of such a layer). Made by
    `affine`, `rational_quadratic_spline`, ...

    num_params: how many numbers c has for each entry of x
    bijector: bijector(c [..., num_params]) -> a distrax bijector of scalars x [...]
    constant_log_det: whether log τ' is one number, whatever x and c are
    """

    num_params: int
    bijector: Callable[[Array], distrax.Bijector]  # c [..., num_params] -> scalar bijector [...]
    constant_log_det: bool = False  # whether log τ' is one number, whatever x and c are

    __repr__ = described


def affine(*, bound: float = 3.0) -> Law:
    """τ(x; c) = x e^s + c_0, with log-scale s = b tanh(c_1 / b) in (-b, b), b = `bound`.

    A law for coupling and autoregressive layers, whose net computes the two parameters c = (c_0,
    c_1) of each entry x: log τ' = s. The bound limits the scale of one layer to e^±b, which
    prevents overflow; stacked layers reach further. Returns a `Law`: τ, and how many numbers of c
    it takes for each entry; the argument `law` of flows such as `flows.coupling` and `flows.maf`.
    Dinh et al. (2017), "Density estimation using Real NVP", eq. 7.
    """
    bound = checks.positive(bound, "bound")
    return Law(
        2,
        lambda c: distrax.ScalarAffine(shift=c[..., 0], log_scale=soft_bound(c[..., 1], bound)),
    )


def contraction(*, least: float = 1e-3) -> Law:
    """τ(x; c) = x / s + c_0, s = (σ(c_1 + 2) + ε) / (σ(2) + ε) with ε = `least`: affine, s < 1.14.

    A law for coupling layers, whose net computes c = (c_0, c_1) for each entry x; σ is the logistic
    function. The density direction, (y - c_0) s, stretches by at most 1.14 per layer, whatever the
    net outputs. So values and gradients stay bounded through the many layers of a flow of images,
    where `affine` allows e^3 per layer. Sampling may stretch by (σ(2) + ε) / ε per layer, 882 for ε
    = 1e-3.

    least: ε, above 0 and below 1, else InputError
    Returns a `Law`: τ, and how many numbers of c it takes for each entry; the argument `law` of
    flows such as `flows.coupling` and `flows.maf`. From the authors' program of Glow, Kingma and
    Dhariwal (2018), with ε from that of neural spline flows, Durkan et al. (2019).
    """
    least = checks.positive(least, "least")
    if least >= 1:
        raise checks.InputError(f"least must be below 1, the largest slope of σ; got {least}.")

    def log_s(c):
        return jnp.log(jax.nn.sigmoid(c + 2) + least)

    return Law(
        2,
        lambda c: distrax.ScalarAffine(
            shift=c[..., 0], log_scale=log_s(jnp.zeros((), c.dtype)) - log_s(c[..., 1])
        ),
    )


def additive() -> Law:
    """τ(x; c) = x + c_0, with log τ' = 0: a law of one parameter for each entry x.

    A coupling by it preserves volume. Returns a `Law`: τ, and how many numbers of c it takes for
    each entry; the argument `law` of flows such as `flows.coupling` and `flows.maf`. Dinh et al.
    (2015), "NICE: non-linear independent components estimation", eq. 3.
    """
    return Law(1, lambda c: distrax.ScalarAffine(shift=c[..., 0]), constant_log_det=True)
