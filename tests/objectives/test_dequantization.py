"""A density of numbers as a bound on the probability of levels, and when it is tight."""

import math
from functools import partial

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax.distributions import uniform_noise
from dgm_jax.flows import variational_noise
from dgm_jax.learning import fit, gradient_descent
from dgm_jax.objectives import bits_per_dim, dequantized_log_prob, dequantized_nll
from dgm_jax.protocol import Density
from tests.contracts.compiled import jit

NONE = {"model": {}, "noise": {}}


def density(log_prob, event_ndims):
    """A density given by log p of each coordinate."""

    class Given(distrax.Distribution):
        event_shape = property(lambda self: (None,) * event_ndims)

        def log_prob(self, y):
            return log_prob(y).sum(range(-event_ndims, 0))

        def _sample_n(self, key, n):
            raise NotImplementedError

    return Density(lambda key: {}, lambda params, cond=None, key=None: Given())


def levels(*shape, num=256, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, num, shape), jnp.int32)


def flat(y):
    """Uniform on [0, 256)."""
    return jnp.where((0 <= y) & (y < 256), -math.log(256), -jnp.inf)


@pytest.mark.parametrize("value", [0, 100, 255])
def test_a_uniform_density_scores_exactly_8_bits_a_dimension_at_evaluation(value):
    x = jnp.full((400, 4, 4, 1), value)
    model, noise = density(flat, 3), uniform_noise((4, 4, 1))
    bound = jit(lambda key, x: dequantized_log_prob(model, noise, NONE, key, x))
    np.testing.assert_allclose(bits_per_dim(bound(jax.random.key(0), x), 16), 8, rtol=1e-6)


class AlmostOne(distrax.Distribution):
    """The largest u below 1, which 255 + u rounds to 256."""

    event_shape = (2,)

    def log_prob(self, u):
        return jnp.zeros(u.shape[:-1])

    def _sample_n(self, key, n):
        return jnp.full((n, 3, 2), np.nextafter(np.float32(1), np.float32(0)))


def test_no_noise_lifts_a_level_to_the_next():
    noise = Density(lambda key: {}, lambda params, x, key=None: AlmostOne())
    x = jnp.full((3, 2), 255)
    bound = dequantized_log_prob(density(flat, 1), noise, NONE, jax.random.key(0), x)
    np.testing.assert_allclose(bits_per_dim(bound, 2), np.full(3, 8), rtol=1e-6)


def rising(y, num):
    """p(y) = 2y / K² on [0, K): P(x) = (2x + 1) / K², and q(u | x) = (x + u) / (x + 1/2)."""
    return jnp.log(2 * y / num**2)


class Posterior(distrax.Distribution):
    """The true one: F(u) = (2xu + u²) / (2x + 1), so u = √(x² + v (2x + 1)) - x for uniform v."""

    def __init__(self, x):
        super().__init__()
        self._x = x.astype(jnp.float32)

    event_shape = (2,)

    def log_prob(self, u):
        return jnp.log((self._x + u) / (self._x + 0.5)).sum(-1)

    def _sample_n(self, key, n):
        v = jax.random.uniform(key, (n, *self._x.shape))
        return jnp.sqrt(self._x**2 + v * (2 * self._x + 1)) - self._x


def test_the_bound_is_the_log_probability_for_every_draw_from_the_true_posterior():
    x = levels(500, 2, num=8)
    noise = Density(lambda key: {}, lambda params, x, key=None: Posterior(x))
    model = density(partial(rising, num=8), 1)
    bound = jit(lambda key, x: dequantized_log_prob(model, noise, NONE, key, x))
    wanted = jnp.log((2 * x + 1) / 64).sum(-1)
    np.testing.assert_allclose(bound(jax.random.key(0), x), wanted, rtol=1e-5, atol=1e-5)


def test_uniform_noise_loses_what_jensen_says():
    """At x = 0 the gap is log P(0) - E log p(u) = log(1/K²) - (log(2/K²) - 1) = 1 - log 2 each."""
    x, model = jnp.zeros((20_000, 2), jnp.int32), density(partial(rising, num=8), 1)
    bound = jit(lambda key, x: dequantized_log_prob(model, uniform_noise((2,)), NONE, key, x))
    gap = 2 * math.log(1 / 64) - bound(jax.random.key(0), x)
    assert abs(gap.mean() - 2 * (1 - math.log(2))) < 4 * gap.std() / math.sqrt(20_000)


SHAPE = (1, 2, 1)
NOISE = variational_noise(SHAPE, 4, num_couplings=2, hidden=8, num_blocks=1)


def drawn(spread=0.1):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(NOISE.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, spread, a.shape), a.dtype), shapes)


CELLS = (np.arange(100) + 0.5) / 100
SQUARE = np.stack(np.meshgrid(CELLS, CELLS), -1).reshape(-1, *SHAPE).astype(np.float32)


@jit
def noise_of(params, key, x):
    """u, log q(u | x), and log q anew of u and of the square, x being of the same number."""
    u, log_q = NOISE.dist(params, x).sample_and_log_prob(seed=key)
    # Within 1e-4 of 0 or 1 the u of float32 does not tell its noise any more.
    inside = (jnp.abs(u - 0.5) < 0.4999).all((1, 2, 3), keepdims=True)
    both = jnp.concatenate([jnp.where(inside, u, 0.5), SQUARE])
    again, of_square = jnp.split(NOISE.dist(params, jnp.concatenate([x, x])).log_prob(both), 2)
    return u, log_q, jnp.where(inside[:, 0, 0, 0], again, log_q), of_square


def test_learned_noise_starts_uniform_and_lies_in_the_unit_cube():
    x = levels(len(SQUARE), *SHAPE, num=4)
    start = jit(NOISE.init)(jax.random.key(0))
    _, log_q, *_ = noise_of(start, jax.random.key(1), x)
    np.testing.assert_allclose(log_q, np.zeros(len(x)), atol=1e-5)
    for params in (start, drawn(), drawn(3.0)):
        u, log_q, *_ = noise_of(params, jax.random.key(1), x)
        assert u.shape == x.shape and (0 <= u).all() and (u <= 1).all()
        assert jnp.isfinite(log_q).all()


def test_learned_noise_is_a_density_of_u_that_depends_on_x():
    """∫ q(u | x) du = 1 for each x, and what comes with a sample is its density."""
    found = []
    for value in (0, 3):
        x = jnp.full(SQUARE.shape, value, jnp.int32)
        _, log_q, again, of_square = noise_of(drawn(), jax.random.key(0), x)
        q = np.exp(of_square)
        np.testing.assert_allclose(q.mean(), 1, atol=5e-3)
        np.testing.assert_allclose(again, log_q, rtol=1e-3, atol=1e-3)
        found.append(q)
    assert np.abs(found[0] - found[1]).max() > 0.05


def test_learned_noise_closes_most_of_the_gap_of_the_uniform():
    model = density(partial(rising, num=4), 3)
    x = jnp.zeros((256, *SHAPE), jnp.int32)

    def loss(params, key, x):
        return dequantized_nll(model, NOISE, {"model": {}, "noise": params}, key, x)

    descent = gradient_descent(NOISE.init, loss, optax.adam(2e-2))
    run = jit(lambda key: fit(descent, key, lambda key, t: x, num_steps=200))
    _, metrics = run(jax.random.key(0))
    gap = metrics["loss"] + 2 * math.log(1 / 16)
    np.testing.assert_allclose(gap[0], 2 * (1 - math.log(2)), atol=0.2)
    assert jnp.mean(gap[-50:]) < 0.1 * gap[0]


def test_noise_of_numbers_and_noise_without_levels_are_refused():
    model = density(partial(rising, num=8), 1)
    with pytest.raises(ValueError, match="x must be integers"):
        dequantized_log_prob(model, uniform_noise((2,)), NONE, jax.random.key(0), jnp.ones((2, 2)))
    for noise in (uniform_noise((2, 2, 1)), NOISE):
        with pytest.raises(ValueError, match="cond is missing"):
            noise.dist({})
