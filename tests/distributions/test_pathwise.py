"""Which distributions have samples whose gradient by the parameters is that of an expectation."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.autoregressive import made
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import Ancestral, reparametrised, standard_normal, uniform_noise
from dgm_jax.flows import coupling
from dgm_jax.likelihoods import bernoulli, factorised, gaussian, mixture
from dgm_jax.nets import mlp
from tests.helpers import drawn, points


def decoder(conditional):
    model = factorised(mlp(1, 2 * conditional.num_params, hidden=(3,)), conditional, 2)
    return model.dist(drawn(model), points(4, 1))


def ancestral(conditional):
    def walk(choose, seen):
        u, of_u = choose(standard_normal(2).dist({}), seen[0])
        f = jnp.zeros((*u.shape, conditional.num_params))
        z, of_z = choose(distrax.Independent(conditional.dist(f), 1), seen[1])
        return (u, z), (of_u, of_z)

    return Ancestral(walk, 2)


def one_by_one(likelihood):
    model = made(2, likelihood, hidden=(3,))
    return model.dist(drawn(model))


def test_gaussians_and_flows_of_them_are_and_what_chooses_by_a_draw_is_not():
    flow = pushforward(coupling(2, hidden=(3,)), standard_normal(2))
    of_mixture = distrax.Transformed(
        decoder(mixture(2)), distrax.Block(distrax.ScalarAffine(0.0, 2.0), 1)
    )
    every = {
        "normal": (standard_normal(2).dist({}), True),
        "gaussian decoder": (decoder(gaussian()), True),
        "flow": (flow.dist(drawn(flow)), True),
        "gamma": (distrax.Gamma(2.0, 1.0), True),
        "uniform": (uniform_noise((2,)).dist({}, jnp.zeros(2)), True),
        "groups": (ancestral(gaussian()), True),
        "one by one": (one_by_one(gaussian()), True),
        "bits": (decoder(bernoulli()), False),
        "bits as numbers": (distrax.Bernoulli(logits=0.0, dtype=jnp.float32), False),
        "mixture": (decoder(mixture(2)), False),
        "of a mixture": (of_mixture, False),
        "groups, of which one is of mixtures": (ancestral(mixture(2)), False),
        "groups, of which one is of bits": (ancestral(bernoulli()), False),
        "one by one, mixtures": (one_by_one(mixture(2)), False),
        "one by one, bits": (one_by_one(bernoulli()), False),
    }
    assert {name: reparametrised(dist) for name, (dist, _) in every.items()} == {
        name: wanted for name, (_, wanted) in every.items()
    }


def test_the_gradient_through_a_sample_of_a_mixture_is_another_than_that_of_the_expectation():
    """E z = (1 - π) 0 + π 3 has the derivative 3 in π; the samples have none."""

    def dist(logit):
        which = distrax.Categorical(logits=jnp.stack([jnp.zeros_like(logit), logit]))
        return distrax.MixtureSameFamily(
            which, distrax.Normal(jnp.float32([0.0, 3.0]), jnp.ones(2))
        )

    mean = lambda logit, key: dist(logit).sample(seed=key)
    np.testing.assert_array_equal(jax.grad(mean)(0.0, jax.random.key(0)), 0.0)
