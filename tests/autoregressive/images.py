"""What each model of images is held to; the tests of a model say which one it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.likelihoods import bernoulli, discretized_logistic
from tests.autoregressive.models import drawn
from tests.contracts.compiled import jit

SHAPE = (2, 3, 3)


def draws_colours_as_it_scores_them_given_a_map(make):
    """Means are moved by the channels drawn in sampling, by those given in scoring.

    The condition is a vector for each pixel.
    """
    conditional = discretized_logistic(256, num_components=2)
    options = {"hidden": 4, "num_layers": 1, "cond_shape": (*SHAPE[:2], 2)}
    model = make(SHAPE, conditional, **options)
    rng = np.random.default_rng(1)
    conds = jnp.asarray(rng.normal(size=(2, *SHAPE[:2], 2)), jnp.float32)

    @jit
    def run(params, key):
        dist = model.dist(params, conds)
        x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=7)
        return x, log_prob, dist.log_prob(x)

    x, log_prob, scored = run(drawn(model), jax.random.key(0))
    assert x.shape == (7, 2, *SHAPE) and x.dtype == jnp.int32 and np.ptp(x) > 100
    np.testing.assert_allclose(log_prob, scored, rtol=1e-4)
    assert np.abs(scored[:, 0] - scored[:, 1]).max() > 0.1  # the maps differ


def refuses_images_of_another_shape_or_kind(make):
    model = make((2, 2, 1), bernoulli(), hidden=4, num_layers=1, cond_shape=(2,))
    params = jax.eval_shape(model.init, jax.random.key(0))
    cond = jnp.zeros(2)

    def refused(match, x, c=None):
        with pytest.raises(ValueError, match=match):
            jax.eval_shape(lambda p: model.dist(p, c).log_prob(x), params)

    refused(r"x must have shape \[..., 2, 2, 1\]; got \(2, 2\)", jnp.zeros((2, 2), int), cond)
    refused("x must be levels, integers in 0..1; got float32", jnp.zeros((2, 2, 1)), cond)
    refused("cond is missing", jnp.zeros((2, 2, 1), int))
    refused(
        r"got x \(3,\), cond \(5,\)",
        jnp.zeros((3, 2, 2, 1), int),
        jnp.zeros((5, 2)),
    )
    with pytest.raises(ValueError, match=r"shape must be \(height, width, channels\)"):
        make((8, 8), bernoulli())
    with pytest.raises(ValueError, match="conditional must be a Conditional; got function"):
        make((8, 8, 1), bernoulli)
    with pytest.raises(ValueError, match=r"cond_shape must be \(n,\).*or \(2, 2, n\), one"):
        make((2, 2, 1), bernoulli(), cond_shape=(3, 2, 5))
