"""Image GPT: a picture is the text of its pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive as ar
from dgm_jax import likelihoods
from tests.autoregressive.models import drawn
from tests.contracts.compiled import jit

SMALL = {"hidden": 8, "num_layers": 1, "num_heads": 2}


def test_a_picture_is_the_text_of_its_pixels_and_of_each_its_colours():
    """A map of conditions gives each colour of a pixel the vector of that pixel."""
    shape, pixels = (2, 2, 3), [2, 0, 3, 1]
    order = [3 * i + c for i in pixels for c in range(3)]
    three = likelihoods.categorical(3)
    picture = ar.image_gpt(shape, three, **SMALL, order=pixels, cond_shape=(2, 2, 2))
    text = ar.transformer(12, three, **SMALL, order=order, cond_shape=(12, 2))
    params = drawn(text, 0.7)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(0, 3, (5, *shape)))
    cond = jnp.asarray(rng.normal(size=(5, 2, 2, 2)), jnp.float32)

    @jit
    def both(params):
        of_picture = picture.dist(params, cond)
        sample = of_picture.sample(seed=jax.random.key(1))
        of_text = text.dist(params, jnp.repeat(cond.reshape(5, 4, 2), 3, 1))
        return of_picture.log_prob(x), of_text.log_prob(x.reshape(5, 12)), sample

    log_prob, wanted, sample = both(params)
    np.testing.assert_allclose(log_prob, wanted, rtol=1e-6)
    assert sample.shape == (5, *shape)


def test_it_starts_as_the_conditional_of_zero():
    model = ar.image_gpt((2, 3, 1), likelihoods.bernoulli(), **SMALL)
    score = jit(lambda key: model.dist(model.init(key)).log_prob(jnp.ones((2, 3, 1), jnp.int32)))
    np.testing.assert_allclose(score(jax.random.key(0)), 6 * np.log(0.5), rtol=1e-6)


def test_what_cannot_be_is_refused_by_name():
    bits = likelihoods.bernoulli()
    with pytest.raises(ValueError, match=r"shape must be \(height, width"):
        ar.image_gpt((4, 4), bits, **SMALL)
    with pytest.raises(ValueError, match=r"order must be a permutation of the integers 0\.\.3"):
        ar.image_gpt((2, 2, 3), bits, **SMALL, order=range(12))
    with pytest.raises(ValueError, match=r"cond_shape must be .*; got \(2, 3, 5\)"):
        ar.image_gpt((2, 2, 1), bits, **SMALL, cond_shape=(2, 3, 5))
