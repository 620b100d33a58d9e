"""Cases of what lies below the chapters: combinators, distributions, preprocessing."""

import distrax
import jax.numpy as jnp

from dgm_jax.bijectors import Permutation
from dgm_jax.combinators import compose, conditional, fixed, invert, pushforward, repeat
from dgm_jax.data.preprocessing import logit_map, standardize
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import autoregression, coupling, maf
from dgm_jax.nets import mlp
from tests.contracts.cases import COND, DensityCase, FlowCase

DIM = 3


def three_levels(rng, shape):
    return rng.uniform(0.1, 2.9, shape)


def turn():
    return fixed(Permutation([2, 0, 1]))


FLOWS = {
    "compose": FlowCase(
        lambda: compose(coupling(DIM, hidden=(7,)), autoregression(DIM, hidden=(7,))),
        large=True,
    ),
    "invert": FlowCase(lambda: invert(coupling(DIM, hidden=(7,)))),
    "repeat": FlowCase(lambda: repeat(coupling(DIM, hidden=(7,)), 3, unroll=True), large=True),
    "permutation": FlowCase(turn, learned=False),
    "repeat, no parameters": FlowCase(lambda: repeat(turn(), 2), learned=False),
    "levels": FlowCase(
        lambda: fixed(distrax.Inverse(logit_map(3))), learned=False, draw_x=three_levels
    ),
    "standardize": FlowCase(
        lambda: fixed(standardize([1.0, 2.0, 3.0], [0.5, 1.0, 2.0])), learned=False
    ),
}


def diagonal(f):
    return distrax.MultivariateNormalDiag(f[..., :2], jnp.exp(f[..., 2:]))


def levels():
    """A density of two grey levels' worth of pixels: on [-2/18, 2 + 2/18]² for alpha = 0.05."""
    flow = compose(fixed(distrax.Inverse(logit_map(2))), maf(2, hidden=(6,), num_layers=2))
    return pushforward(flow, standard_normal(2))


DENSITIES = {
    "normal, dim 1": DensityCase(lambda: standard_normal(1), dim=1),
    "normal": DensityCase(lambda: standard_normal(2)),
    "a net of a condition": DensityCase(
        lambda: conditional(mlp(COND, 4, hidden=(6,)), diagonal, cond_shape=(COND,)),
        cond_shape=(COND,),
    ),
    "levels": DensityCase(levels, low=-0.1111, high=2.1111),
}
