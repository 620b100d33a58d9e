"""Autoregressive densities of other kinds than Gaussian, from one net."""

from itertools import product

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.distributions import Autoregressive
from dgm_jax.nets import made
from tests.contracts.compiled import jit

DIM = 5
EVERYTHING = jnp.array(list(product([0.0, 1.0], repeat=DIM)))  # [32, 5]


def bernoulli(f):
    return distrax.Bernoulli(logits=f[..., 0])


def build(**options):
    """A Bernoulli MADE away from its start."""
    net = made(DIM, hidden=(9, 7), num_outputs=1, **options)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 1, a.shape), a.dtype), shapes)
    return net, params


OPTIONS = {
    "in order": {},
    "permuted": {"order": [3, 0, 4, 1, 2]},
    "naive": {"inverse": "naive"},
    "conditional": {"cond_dim": 2},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bernoulli_made_sums_to_one_over_all_binary_vectors_and_draws_from_itself(name):
    """A1: Σ_x p(x) = 1 over 2^D, and 20000 samples in their proportions."""
    net, params = build(**OPTIONS[name])
    cond = jnp.array([0.5, -1.0]) if "cond_dim" in OPTIONS[name] else None

    @jit
    def run(params, key):
        dist = Autoregressive(net, params, bernoulli, DIM, cond)
        x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=20_000)
        return dist.log_prob(EVERYTHING), x, log_prob, dist.log_prob(x)

    log_p, x, log_prob, again = run(params, jax.random.key(0))
    p = np.exp(np.asarray(log_p, np.float64))
    np.testing.assert_allclose(p.sum(), 1, atol=1e-5)
    assert p.max() > 2.5 / 32  # far from uniform
    np.testing.assert_allclose(log_prob, again, rtol=1e-4, atol=1e-4)
    index = (np.asarray(x) @ 2 ** np.arange(DIM)[::-1]).astype(int)
    got = np.bincount(index, minlength=32) / len(x)
    assert (np.abs(got - p) < 4.5 * np.sqrt(p / len(x)) + 1e-4).all()


def test_conditionals_are_all_of_the_factors_of_log_prob():
    net, params = build()
    dist = Autoregressive(net, params, bernoulli, DIM)
    factors = dist.conditionals(EVERYTHING)
    assert factors.batch_shape == (32, DIM)
    np.testing.assert_allclose(
        factors.log_prob(EVERYTHING).sum(-1), dist.log_prob(EVERYTHING), rtol=1e-6
    )
    first = factors.log_prob(EVERYTHING)[:, 0]  # p(x_0) sees nothing before it
    np.testing.assert_array_equal(first[:16], first[0])


def test_the_law_of_a_later_coordinate_is_the_ratio_of_marginals():
    """p(x_2 = 1 | x_0, x_1) from the net, against sums over the table of all 32 probabilities."""
    net, params = build()
    dist = Autoregressive(net, params, bernoulli, DIM)
    table = np.exp(np.asarray(dist.log_prob(EVERYTHING), np.float64)).reshape([2] * DIM)
    marginal = table.sum((3, 4))
    wanted = marginal[..., 1] / marginal.sum(-1)
    x = EVERYTHING.reshape(*[2] * DIM, DIM)[:, :, 0, 0, 0]
    got = jax.nn.sigmoid(dist.conditionals(x).logits[..., 2])
    np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_gradients_pass_through_reparametrised_samples():
    """∂/∂θ E f(x(ε; θ)) through the unroll, against d passes written out with the same noise."""
    net, params = build(order=[3, 0, 4, 1, 2])
    key = jax.random.key(3)

    def normal(f):
        return distrax.Normal(f[..., 0], 0.5)

    def by_the_class(params):
        x = Autoregressive(net, params, normal, DIM).sample(seed=key, sample_shape=3)
        return jnp.sum(jnp.sin(x) * jnp.arange(1.0, 6.0)), x

    grads, x = jit(jax.grad(by_the_class, has_aux=True))(params)
    noise = (x - net.apply(params, x)[..., 0]) / 0.5

    def by_hand(params):
        x = jnp.zeros((3, DIM))
        for i in [3, 0, 4, 1, 2]:
            x = x.at[:, i].set(net.apply(params, x)[:, i, 0] + 0.5 * noise[:, i])
        return jnp.sum(jnp.sin(x) * jnp.arange(1.0, 6.0))

    wanted = jit(jax.grad(by_hand))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), grads, wanted)
