"""A key reaches every part of a model, and None is deterministic, whatever carries the part.

A part that draws is put into each carrier: a probe, which moves what it is given by noise, into
those that are made of parts, and dropout into those that have nets of their own.
"""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import flows
from dgm_jax.bijectors import Permutation, flatten
from dgm_jax.combinators import (
    compose,
    conditional,
    encoded,
    factor_out,
    fixed,
    invert,
    latent_variable,
    pushforward,
    repeat,
)
from dgm_jax.distributions import standard_normal
from dgm_jax.protocol import Density, Flow, Net, again
from tests.contracts.cases import drawn
from tests.contracts.compiled import jit

DIM = 4
HALF = {"dropout": 0.5}
QUIET = fixed(Permutation([2, 0, 3, 1]))


def noise(key):
    return jnp.zeros(DIM) if key is None else jax.random.normal(again(key), (DIM,))


def _shift(params, cond=None, *, key=None):
    return distrax.Block(distrax.ScalarAffine(noise(key)), 1)


NOISY = Flow(lambda key: {}, _shift)  # x = z + noise


def normal(mean):
    return distrax.MultivariateNormalDiag(mean, jnp.ones(DIM))


NOISY_BASE = Density(lambda key: {}, lambda params, cond=None, *, key=None: normal(noise(key)))
NOISY_NET = Net(lambda key: {}, lambda params, x, *, key=None: x + noise(key))
QUIET_NET = Net(lambda key: {}, lambda params, x, *, key=None: 2 * x)
C = {"cond_shape": (DIM,)}
LEFT_OUT = (1, 2, 4)  # of an image of which half of the channels leaves as noise

FLOWS = {
    "compose, first": lambda: compose(NOISY, QUIET),
    "compose, last": lambda: compose(QUIET, NOISY),
    "compose, of two that would cancel": lambda: compose(NOISY, invert(NOISY)),
    "repeat": lambda: repeat(NOISY, 2),
    "repeat, unroll": lambda: repeat(NOISY, 2, unroll=True),
    "invert": lambda: invert(NOISY),
    "factor_out": lambda: factor_out(compose(invert(fixed(flatten((1, 2, 2)))), NOISY), LEFT_OUT),
    "coupling": lambda: flows.coupling(DIM, hidden=(9,), **HALF),
    "realnvp": lambda: flows.realnvp(DIM, num_layers=2, hidden=(9,), **HALF),
    "autoregression": lambda: flows.autoregression(DIM, hidden=(9,), **HALF),
    "iaf": lambda: flows.iaf(DIM, num_layers=2, hidden=(9,), **HALF),
    "maf": lambda: flows.maf(DIM, num_layers=2, hidden=(9,), **HALF),
    "channel_coupling": lambda: compose(
        flows.channel_coupling((1, 2, 2), hidden=4, num_blocks=1, **HALF),
        invert(fixed(flatten((1, 2, 2)))),
    ),
    "glow": lambda: flows.glow(
        (2, 2, 1), num_scales=1, num_steps=1, hidden=4, num_blocks=1, **HALF
    ),
}
DENSITIES = {
    "pushforward, flow": lambda: pushforward(NOISY, standard_normal(DIM)),
    "pushforward, base": lambda: pushforward(QUIET, NOISY_BASE),
    "conditional": lambda: conditional(NOISY_NET, normal, **C),
    "encoded, net": lambda: encoded(NOISY_NET, conditional(QUIET_NET, normal, **C), **C),
    "encoded, density": lambda: encoded(QUIET_NET, conditional(NOISY_NET, normal, **C), **C),
    "prior": lambda: latent("prior"),
    "likelihood": lambda: latent("likelihood"),
    "posterior": lambda: latent("posterior"),
}


def latent(part):
    """One of the three of a latent variable model whose parts all draw."""
    given_one = conditional(NOISY_NET, normal, **C)
    model = latent_variable(NOISY_BASE, given_one, given_one)
    if part == "prior":
        return Density(model.init, model.prior)
    return Density(model.init, getattr(model, part), cond_shape=(DIM,))


def parameters(model):
    return drawn(jax.eval_shape(model.init, jax.random.key(0)), 0, 0.7)


def check(under, again, other, none, still_none):
    """Of what was computed under one key twice, under another, and under none twice."""
    np.testing.assert_array_equal(under, again)
    np.testing.assert_array_equal(none, still_none)
    assert np.abs(under - none).max() > 1e-3 and np.abs(under - other).max() > 1e-3
    assert np.isfinite(under).all() and np.isfinite(none).all()


@pytest.mark.parametrize("name", FLOWS)
def test_a_key_reaches_the_parts_of_a_flow_in_both_directions(name):
    flow = FLOWS[name]()
    params = parameters(flow)
    size = 8 if name == "factor_out" else DIM
    z = np.random.default_rng(1).normal(size=(3, size)).astype(np.float32)

    @jit
    def run(params, key, other):
        keys = (key, again(key), other, None, None)
        all_x = [flow.bijector(params, key=k).forward(z) for k in keys]
        return all_x, flow.bijector(params, key=again(key)).inverse(all_x[0])

    all_x, back = run(params, jax.random.key(2), jax.random.key(3))
    check(*map(np.asarray, all_x))
    np.testing.assert_allclose(back, z, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", DENSITIES)
def test_a_key_reaches_the_parts_of_a_density(name):
    model = DENSITIES[name]()
    params = parameters(model)
    x = np.random.default_rng(1).normal(size=(3, DIM)).astype(np.float32)
    cond = None if model.cond_shape is None else x[::-1]

    @jit
    def run(params, key, other):
        keys = (key, again(key), other, None, None)
        return [model.dist(params, cond, key=k).log_prob(x) for k in keys]

    check(*map(np.asarray, run(params, jax.random.key(2), jax.random.key(3))))
