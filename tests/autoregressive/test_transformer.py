"""Transformers as densities: what there is to know they learn, at any length and of any shape."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import autoregressive as ar
from dgm_jax import learning, likelihoods, objectives
from tests.contracts.compiled import jit

SMALL = {"hidden": 8, "num_layers": 1, "num_heads": 2}


def learned(model, draw, num_steps, rate=1e-2):
    """Parameters after so many steps on fresh draws."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, num_steps))
    loss = lambda params, key, x: objectives.nll(model, params, key, x)  # noqa: E731
    descent = learning.gradient_descent(model.init, loss, optimizer)
    fit = lambda key: learning.fit(descent, key, lambda k, t: draw(k), num_steps=num_steps)  # noqa: E731
    return jax.jit(fit)(jax.random.key(0))[0].params


def drawn(model):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.7, a.shape), a.dtype), shapes)


def test_what_is_a_copy_costs_nothing():
    """x = (u, u): the first half costs log 4 a number, the second, read four steps back, none."""

    def draw(key, num=128):
        return jnp.tile(jax.random.randint(key, (num, 4), 0, 4), 2)

    model = ar.transformer(8, likelihoods.categorical(4), hidden=32, num_layers=2, num_heads=2)
    params = learned(model, draw, 200)
    score = jit(lambda p, x: -model.dist(p).conditionals(x).log_prob(x).mean(0))
    nll = np.asarray(score(params, draw(jax.random.key(1), 2000)))
    np.testing.assert_allclose(nll[:4], np.log(4), atol=0.02)
    assert nll[4:].max() < 0.01


def test_a_chain_of_order_two_is_learned_to_its_entropy_at_any_length():
    """From a window of two and relative places: learned on 12 numbers, true of 60."""
    rng = np.random.default_rng(0)
    truth = {"logits": jnp.asarray(rng.normal(0, 1.5, (3, 9, 3)), jnp.float32)}
    chain = lambda dim: ar.table(dim, num_levels=3, window=2, shared=True).dist(truth)  # noqa: E731
    own = {"hidden": 16, "num_layers": 2, "num_heads": 2, "positions": "rotary", "window": 2}
    short, long = (ar.transformer(dim, likelihoods.categorical(3), **own) for dim in (12, 60))
    params = learned(short, lambda key: chain(12).sample(seed=key, sample_shape=128), 200)

    @jit
    def excess(params, key):
        x = chain(60).sample(seed=key, sample_shape=1000)
        return (chain(60).log_prob(x) - long.dist(params).log_prob(x)).mean() / 60

    assert 0 <= excess(params, jax.random.key(1)) < 0.01
    draw = jit(
        lambda params, key: (
            long.dist(params).sample(seed=key, sample_shape=1000),
            chain(60).sample(seed=jax.random.clone(key), sample_shape=1000),
        )
    )
    of_model, of_chain = (
        np.bincount(np.ravel(9 * x[:, 38:-2] + 3 * x[:, 39:-1] + x[:, 40:]), minlength=27)
        for x in draw(params, jax.random.key(2))
    )
    assert np.abs(of_model - of_chain).sum() < 0.06 * of_chain.sum()


def test_a_picture_is_the_text_of_its_pixels_and_of_each_its_colours():
    shape, pixels = (2, 2, 3), [2, 0, 3, 1]
    order = [3 * i + c for i in pixels for c in range(3)]
    picture = ar.image_gpt(
        shape, likelihoods.categorical(3), **SMALL, order=pixels, cond_shape=(2,)
    )
    text = ar.transformer(12, likelihoods.categorical(3), **SMALL, order=order, cond_shape=(2,))
    params = drawn(text)
    x = jnp.asarray(np.random.default_rng(0).integers(0, 3, (5, *shape)))
    cond = jnp.eye(2)[jnp.array([0, 1, 1, 0, 1])]

    @jit
    def both(params):
        of_picture = picture.dist(params, cond)
        sample = of_picture.sample(seed=jax.random.key(1))
        flat = text.dist(params, cond).log_prob(x.reshape(5, 12))
        return of_picture.log_prob(x), flat, sample, of_picture.log_prob(x[:1])

    log_prob, of_text, sample, by_class = both(params)
    np.testing.assert_allclose(log_prob, of_text, rtol=1e-6)
    assert sample.shape == (5, *shape)
    assert np.abs(by_class[0] - by_class[1]) > 0.01
    assert by_class[1] == pytest.approx(by_class[2])


def test_it_starts_as_the_conditional_of_zero():
    model = ar.image_gpt((2, 3, 1), likelihoods.bernoulli(), **SMALL)
    score = jit(lambda key: model.dist(model.init(key)).log_prob(jnp.ones((2, 3, 1), jnp.int32)))
    np.testing.assert_allclose(score(jax.random.key(0)), 6 * np.log(0.5), rtol=1e-6)


@pytest.mark.parametrize(
    "make, told",
    [
        (
            lambda: ar.transformer(4, likelihoods.categorical, **SMALL),
            "conditional must be a Conditional",
        ),
        (
            lambda: ar.image_gpt((4, 4), likelihoods.bernoulli(), **SMALL),
            r"shape must be \(height, width",
        ),
        (
            lambda: ar.image_gpt((2, 2, 3), likelihoods.bernoulli(), **SMALL, order=range(12)),
            r"order must be a permutation of the integers 0\.\.3",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, told):
    with pytest.raises(ValueError, match=told):
        make()
