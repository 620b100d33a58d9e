"""The noise that turns levels into numbers."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.distributions import Quantized, uniform_noise
from tests.contracts.compiled import jit


def test_uniform_noise_has_density_one_on_the_cells_of_its_levels():
    """One number for each entry of x, of the shape of x; batch axes stay axes of the batch."""
    x = jnp.zeros((5, 2, 3), jnp.int32)

    @jit
    def run(key):
        dist = uniform_noise((2, 3)).dist({}, x)
        u, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=400)
        return u, log_prob, dist.log_prob(u[0] + 1)

    u, log_prob, outside = run(jax.random.key(0))
    assert u.shape == (400, 5, 2, 3) and log_prob.shape == (400, 5)
    assert u.min() >= 0 and u.max() < 1 and (log_prob == 0).all() and (outside == -np.inf).all()
    np.testing.assert_allclose(u.mean(), 0.5, atol=4.5 / np.sqrt(12 * u.size))


def test_noise_of_no_levels_is_refused():
    assert uniform_noise((2, 3)).init(jax.random.key(0)) == {}
    with pytest.raises(ValueError, match="cond is missing"):
        uniform_noise((2, 3)).dist({})
    with pytest.raises(ValueError, match="shape must be a shape.*; got 2"):
        uniform_noise(2)


class Rising(distrax.Distribution):
    """p(y) = 2y / 16 on [0, 4), of each of two entries, so that P(x) = (2x + 1) / 16."""

    event_shape = (2,)

    def log_prob(self, y):
        return jnp.log(2 * y / 16).sum(-1)

    def _sample_n(self, key, n):
        return 4 * jnp.sqrt(jax.random.uniform(key, (n, 2)))


def test_the_levels_of_numbers_have_the_probability_of_their_cells():
    """Twice over: in expectation of the score, and as the frequency of what is drawn."""
    levels = jnp.arange(4)
    copies = jnp.broadcast_to(levels[:, None, None], (4, 4000, 2))

    @jit
    def run(key):
        score_key, sample_key = jax.random.split(key)
        dist = Quantized(Rising(), 4, key=score_key)
        fixed = Quantized(Rising(), 4)
        drawn = dist.sample(seed=sample_key, sample_shape=8000)
        beyond = fixed.log_prob(jnp.array([[4, 0], [0, -1]]))
        return dist.log_prob(copies), fixed.log_prob(copies), fixed.log_prob(copies), drawn, beyond

    scores, fixed, again, drawn, beyond = run(jax.random.key(0))
    expected = (2 * np.arange(4) + 1) / 16
    np.testing.assert_allclose(np.exp(scores).mean(1), expected**2, rtol=0.05)
    assert (scores.mean(1) < 2 * np.log(expected)).all()  # a bound
    assert (fixed == again).all() and (fixed != scores).any() and (beyond == -np.inf).all()
    found = np.bincount(np.ravel(drawn), minlength=4) / drawn.size
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_noise_that_is_the_posterior_makes_the_bound_tight():
    class Posterior(distrax.Distribution):
        """q(u | x) = (x + u) / (x + 1/2)."""

        event_shape = (2,)

        def __init__(self, x):
            super().__init__()
            self.x = x

        def log_prob(self, u):
            return jnp.log((self.x + u) / (self.x + 0.5)).sum(-1)

        def _sample_n(self, key, n):
            v = jax.random.uniform(key, (n, *self.x.shape))
            return jnp.sqrt(self.x**2 + v * (2 * self.x + 1)) - self.x

    x = jnp.array([[1, 3], [2, 1]])
    score = jit(lambda x: Quantized(Rising(), 4, Posterior).log_prob(x))(x)
    np.testing.assert_allclose(score, np.log((2 * x + 1) / 16).sum(-1), rtol=1e-4)
    with pytest.raises(ValueError, match="x must be levels, integers in 0..3; got float32"):
        Quantized(Rising(), 4).log_prob(x / 2)
