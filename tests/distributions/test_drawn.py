"""What all distributions here refuse when they are asked for draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive, distributions, likelihoods
from dgm_jax.distributions import Levels, standard_normal
from tests.helpers import drawn

LEVELS = Levels(jnp.zeros(3))
MADE = autoregressive.made(2, likelihoods.bernoulli(), hidden=(4,))
DISTS = {
    "levels": lambda: LEVELS,
    "normal": lambda: standard_normal(2).dist({}),
    "made": lambda: MADE.dist(drawn(MADE)),
    "uniform noise": lambda: distributions.uniform_noise((2,)).dist({}, np.zeros(2, int)),
    "mixture": lambda: likelihoods.mixture(2).dist(jnp.zeros(6)),
}


@pytest.mark.parametrize("shape", [2.5, -1, True, (2, -1), "2", None, np.float32(2), (2.0,)])
@pytest.mark.parametrize("name", DISTS)
def test_a_shape_of_draws_that_is_none_is_refused(name, shape):
    """distrax takes int(2.5), and fails on others within."""
    dist = DISTS[name]()
    for draw in (dist.sample, dist.sample_and_log_prob):
        with pytest.raises(ValueError, match="sample_shape must be") as refused:
            draw(seed=jax.random.key(0), sample_shape=shape)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("seed", [0, None, np.array([0, 1], np.uint32), "0"])
@pytest.mark.parametrize("name", DISTS)
def test_a_seed_that_is_no_typed_key_is_refused(name, seed):
    with pytest.raises(TypeError, match="seed must be a typed key"):
        DISTS[name]().sample(seed=seed)


def test_a_number_of_draws_may_be_of_numpy_or_zero():
    for num in (np.int64(2), [2], (0,)):
        assert LEVELS.sample(seed=jax.random.key(0), sample_shape=num).shape in ((2,), (0,))
    assert LEVELS.dtype == jnp.int32 and LEVELS.batch_shape == ()


def test_half_a_level_has_no_probability():
    """distrax would find no category for it, and say log p = 0."""
    with pytest.raises(ValueError, match="value must be integers"):
        LEVELS.log_prob(np.float32(0.5))
