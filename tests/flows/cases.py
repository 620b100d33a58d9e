"""The flows that the contracts test: a name, and how to make it."""

import math
from functools import partial

import jax
import jax.numpy as jnp

from dgm_jax.bijectors import (
    additive,
    contraction,
    flatten,
    mixture_logistic_cdf,
    ode_solver,
    rational_quadratic_spline,
)
from dgm_jax.combinators import compose, fixed, pushforward, repeat
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import (
    actnorm,
    autoregression,
    cdf,
    cnf,
    coupling,
    diagonal,
    elementwise,
    ffjord,
    flow_pp,
    glow,
    iaf,
    maf,
    planar,
    plu,
    qr,
    realnvp,
    realnvp_image,
    sylvester,
    triangular,
)
from dgm_jax.nets import gated_attention
from dgm_jax.protocol import Flow
from tests.contracts.cases import COND, DensityCase, FlowCase

DIM = 3  # odd, so that halves differ
C = {"cond_shape": (COND,)}
two = {"num_layers": 2, "hidden": (7, 6)}
exact = {"solver": ode_solver(rtol=1e-6, atol=1e-6, adjoint="direct")}


def of_images(make, shape, cond_shape=None, **options):
    """A flow of images as one of vectors, for the contracts; deep, so with a smaller spread."""
    own = {"hidden": 4, "num_blocks": 1, "cond_shape": cond_shape} | options

    def flow():
        return compose(fixed(flatten(shape)), make(shape, **own))

    return FlowCase(flow, math.prod(shape), cond_shape, spread=0.1, large=True)


def keyed(flow):
    """A flow that draws, with one key. Of one variable, Hutchinson's ε is ±1 and ε² a is exact."""

    def bijector(params, cond=None, *, key=None):
        return flow.bijector(params, cond, key=jax.random.key(3))

    return Flow(flow.init, bijector)


FLOWS = {
    # an autoregression with each inverse, a coupling with each law
    "autoregression": FlowCase(
        lambda: autoregression(DIM, hidden=(9,), order=[2, 0, 1], activation=jax.nn.relu)
    ),
    "autoregression, narrow": FlowCase(
        lambda: autoregression(DIM, hidden=(5, 1), activation=jnp.tanh), full=True
    ),
    "iaf, naive": FlowCase(lambda: iaf(DIM, **two, inverse="naive", order=[1, 2, 0])),
    "iaf, fixed point": FlowCase(
        lambda: iaf(DIM, **two, inverse="fixed_point", order=[2, 0, 1]), full=True
    ),
    "maf, conditional": FlowCase(lambda: maf(DIM, **two, **C, order=[2, 0, 1]), **C),
    "maf, block fixed point": FlowCase(
        lambda: maf(DIM, **two, **C, inverse="block_fixed_point", num_blocks=2), **C, full=True
    ),
    "maf, residual": FlowCase(
        lambda: maf(DIM, num_layers=2, hidden=(6, 6, 6), residual=True, density_blocks=2),
        large=True,
        full=True,
    ),
    "coupling, mask, conditional": FlowCase(
        lambda: coupling(DIM, hidden=(7,), mask=[False, False, True], **C), **C
    ),
    "coupling, additive": FlowCase(lambda: coupling(DIM, hidden=(7,), law=additive())),
    "coupling, contraction": FlowCase(lambda: coupling(DIM, hidden=(7,), law=contraction())),
    "coupling, spline": FlowCase(
        lambda: coupling(DIM, hidden=(7,), law=rational_quadratic_spline())
    ),
    "coupling, mixture": FlowCase(
        lambda: coupling(DIM, hidden=(7,), law=mixture_logistic_cdf()), full=True
    ),
    "realnvp, shuffle": FlowCase(lambda: realnvp(DIM, num_layers=4, hidden=(7,), shuffle=0)),
    # maps of one formula
    "diagonal": FlowCase(lambda: diagonal(DIM)),
    "triangular": FlowCase(lambda: compose(triangular(DIM), triangular(DIM, lower=False))),
    "plu": FlowCase(lambda: plu(DIM)),
    "qr": FlowCase(lambda: qr(DIM, num_reflections=2)),
    "actnorm": FlowCase(lambda: repeat(compose(actnorm(DIM), plu(DIM)), 2)),
    "planar": FlowCase(lambda: repeat(planar(DIM), 2), full=True),
    "planar, conditional": FlowCase(lambda: planar(DIM, **C), **C),
    "sylvester": FlowCase(lambda: sylvester(DIM)),
    "sylvester, householder": FlowCase(lambda: sylvester(DIM, form="householder", **C), **C),
    "sylvester, triangular": FlowCase(
        lambda: repeat(sylvester(DIM, form="triangular"), 2), full=True
    ),
    "elementwise": FlowCase(lambda: elementwise(DIM, law=rational_quadratic_spline())),
    "cdf": FlowCase(lambda: cdf(DIM)),
    # ... of an ODE, whose gradients are in tests/bijectors/test_continuous.py
    "cnf, conditional": FlowCase(
        lambda: cnf(DIM, hidden=(7, 6), **C, **exact),
        **C,
        tolerance=5e-5,
        gradients=False,
        large=True,
    ),
    "ffjord, with a key": FlowCase(
        lambda: keyed(ffjord(1, hidden=(7,), **exact)),
        dim=1,
        tolerance=5e-5,
        gradients=False,
        full=True,
    ),
    # whole products
    "realnvp of images": of_images(realnvp_image, (2, 2, 1))._replace(gradients=False),
    "glow, conditional": of_images(glow, (4, 4, 1), (COND,), num_steps=2),
    "flow++, conditional": of_images(
        flow_pp,
        (2, 4, 1),
        (COND,),
        num_couplings=(1, 1, 1),
        num_components=2,
        net=partial(gated_attention, num_heads=1),
    )._replace(gradients=False),  # they are in tests/flows
    "glow, three scales": of_images(glow, (8, 8, 1), num_scales=3, num_steps=4)._replace(
        gradients=False, full=True
    ),
    # the rest of the product
    "maf, ten layers": FlowCase(
        lambda: maf(DIM, num_layers=10, hidden=(7,)), spread=0.2, large=True, full=True
    ),
    "maf, naive": FlowCase(lambda: maf(DIM, **two, inverse="naive"), full=True),
    "maf, spline": FlowCase(lambda: maf(DIM, **two, law=rational_quadratic_spline()), full=True),
    "maf, mixture": FlowCase(
        lambda: maf(DIM, **two, law=mixture_logistic_cdf(num_components=3)), full=True
    ),
    "iaf, additive": FlowCase(lambda: iaf(DIM, **two, law=additive()), full=True),
    "iaf, conditional": FlowCase(lambda: iaf(DIM, **two, **C), **C, full=True),
    "realnvp, conditional": FlowCase(lambda: realnvp(DIM, **two, **C), **C, full=True),
    "realnvp, unroll": FlowCase(
        lambda: realnvp(DIM, num_layers=4, hidden=(7,), unroll=True), full=True
    ),
}

# Those that devices and half precision are tested with by default: a carrier with a
# condition, layers in a scan, a law with bins, an inverse that is solved, images.
STAND_FOR_ALL = (
    "maf, conditional",
    "realnvp, shuffle",
    "coupling, spline",
    "sylvester",
    "glow, conditional",
)


def pushed(flow, dim=2):
    return pushforward(flow, standard_normal(dim))


thin = {"num_layers": 2, "hidden": (6,)}
DENSITIES = {
    "autoregression, dim 1": DensityCase(lambda: pushed(autoregression(1, hidden=(4,)), 1), dim=1),
    "iaf": DensityCase(lambda: pushed(iaf(2, **thin))),
    "maf, naive": DensityCase(
        lambda: pushed(maf(2, **thin, order=[1, 0], inverse="naive")), full=True
    ),
    "maf, conditional": DensityCase(lambda: pushed(maf(2, **thin, **C)), **C),
    "maf, dim 1, conditional": DensityCase(lambda: pushed(maf(1, **thin, **C), 1), dim=1, **C),
    "realnvp": DensityCase(lambda: pushed(realnvp(2, **thin)), full=True),
    "realnvp, conditional": DensityCase(lambda: pushed(realnvp(2, **thin, **C)), **C),
}
