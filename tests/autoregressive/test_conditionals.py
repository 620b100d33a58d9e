"""Levels drawn by the inverse of the CDF."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.autoregressive import categorical
from tests.contracts.compiled import jit


def test_levels_are_drawn_as_often_as_they_are_likely_and_impossible_ones_never():
    p = np.array([[0.0, 0.2, 0.0, 0.5, 0.3, 0.0], [1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1.0]])
    with np.errstate(divide="ignore"):
        logits = jnp.asarray(np.log(p) + 3, jnp.float32)
    draw = jit(lambda key: categorical(6).dist(logits).sample(seed=key, sample_shape=40_000))
    x = np.asarray(draw(jax.random.key(0)))
    assert x.shape == (40_000, 3) and x.dtype == np.int32
    got = np.stack([np.bincount(column, minlength=6) for column in x.T]) / len(x)
    assert (got[p == 0] == 0).all() and x[:, 1:].max(0).tolist() == [0, 5]
    assert (np.abs(got - p) < 4.5 * np.sqrt(p * (1 - p) / len(x)) + 1e-9).all()


def test_half_precision_draws_all_levels():
    """Sixteen bits hold 128 numbers of [0.5, 1): a uniform number of them misses every odd level."""
    dist = categorical(256).dist(jnp.zeros((4000, 256), jnp.bfloat16))
    x = np.asarray(jit(lambda key: dist.sample(seed=key))(jax.random.key(0)))
    assert len(np.unique(x)) > 250 and (x % 2).mean() > 0.4
