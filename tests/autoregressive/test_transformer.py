"""Transformers as densities: what there is to know they learn, at any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.autoregressive import transformer
from dgm_jax.likelihoods import categorical
from tests.autoregressive import models
from tests.contracts.compiled import jit


@pytest.mark.full
def test_what_is_a_copy_costs_nothing():
    """x = (u, u): the first half costs log 4 a number, the second, read four steps back, none."""

    def draw(key, num=64):
        return jnp.tile(jax.random.randint(key, (num, 4), 0, 4), 2)

    model = transformer(8, categorical(4), hidden=32, num_layers=1, num_heads=2)
    params = models.fitted(model, draw, 200)
    score = jit(lambda p, x: -model.dist(p).conditionals(x).log_prob(x).mean(0))
    nll = np.asarray(score(params, draw(jax.random.key(1), 2000)))
    np.testing.assert_allclose(nll[:4], np.log(4), atol=0.02)
    assert nll[4:].max() < 0.01


def test_a_chain_of_order_two_is_learned_to_its_entropy_at_any_length():
    """From a window of two and relative places: learned on 12 numbers, true of 40."""
    own = {"hidden": 16, "num_layers": 1, "num_heads": 2, "positions": "rotary", "window": 2}
    short, long = (transformer(dim, categorical(3), **own) for dim in (12, 40))
    params = models.learned_chain(short, dim=12, num_steps=200, rate=1e-2)

    @jit
    def run(params, key):
        same = jax.random.clone(key)
        x = models.chain(40).sample(seed=key, sample_shape=1000)
        excess = models.chain(40).log_prob(x) - long.dist(params).log_prob(x)
        return excess.mean() / 40, x, long.dist(params).sample(seed=same, sample_shape=1000)

    excess, of_chain, of_model = run(params, jax.random.key(1))
    assert 0 <= excess < 0.01
    ours, true = (
        np.bincount(np.ravel(9 * x[:, 18:-2] + 3 * x[:, 19:-1] + x[:, 20:]), minlength=27)
        for x in (of_model, of_chain)
    )
    assert np.abs(ours - true).sum() < 0.06 * true.sum()


def test_a_likelihood_that_was_not_called_is_refused():
    with pytest.raises(ValueError, match="conditional must be a Conditional"):
        transformer(4, categorical, hidden=8, num_layers=1, num_heads=2)
