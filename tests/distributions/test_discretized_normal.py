"""The discretised normal is a distribution, finite wherever a net may drive it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from dgm_jax.checks import InputError
from dgm_jax.distributions import DiscretizedNormal
from tests.contracts.compiled import jit


@pytest.mark.parametrize("num_levels", [2, 17, 256])
def test_it_sums_to_one_over_all_levels_whatever_the_parameters(num_levels):
    rng = np.random.default_rng(0)
    mean = jnp.asarray(rng.choice([-50, -1, -0.999, 0, 0.3, 1, 50], 300), jnp.float32)
    scale = jnp.asarray(rng.choice([-8, -5, -2, 0, 3], 300), jnp.float32)

    @jit
    def found(mean, scale):
        levels = jnp.arange(num_levels)[:, None]
        log_prob = lambda s: DiscretizedNormal(mean, s, num_levels=num_levels).log_prob(levels)
        return log_prob(scale), jax.grad(lambda s: log_prob(s).sum())(scale)

    log_p, slope = found(mean, scale)
    np.testing.assert_allclose(np.exp(np.asarray(log_p, np.float64)).sum(0), 1, atol=3e-5)
    assert np.isfinite(slope).all()


def test_it_is_the_difference_of_distribution_functions():
    rng = np.random.default_rng(1)
    mean, scale = rng.normal(0, 0.5, (2, 40))
    centre, half = np.linspace(-1, 1, 17)[:, None], 1 / 16
    upper = ndtr((centre + half - mean) * np.exp(-scale))
    lower = ndtr((centre - half - mean) * np.exp(-scale))
    upper[-1], lower[0] = 1, 0
    found = DiscretizedNormal(mean, scale, num_levels=17).log_prob(jnp.arange(17)[:, None])
    np.testing.assert_allclose(found, np.log(upper - lower), rtol=1e-4, atol=1e-5)


def test_both_tails_keep_their_digits():
    """Twenty deviations away, on either side of the mean, the same number."""
    mean = jnp.array([-0.5, 0.5])
    log_p = DiscretizedNormal(mean, jnp.log(0.05), num_levels=101).log_prob(jnp.array([75, 25]))
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(log_p[0], log_p[1], rtol=1e-4)


def test_draws_have_the_frequencies_and_others_are_no_level(key):
    dist = DiscretizedNormal(jnp.array(0.2), jnp.array(-1.0), num_levels=5)
    drawn = dist.sample(seed=key, sample_shape=(20_000,))
    shares = np.bincount(drawn, minlength=5) / 20_000
    np.testing.assert_allclose(shares, np.exp(dist.log_prob(jnp.arange(5))), atol=0.015)
    assert jnp.isneginf(dist.log_prob(jnp.array([-1, 5]))).all()
    with pytest.raises(InputError, match="value must be levels"):
        dist.log_prob(jnp.array([0.5]))
