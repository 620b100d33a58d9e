"""Langevin dynamics: the bias it is known to have, the law that a correction gives, the weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion
from dgm_jax.checks import InputError
from tests.contracts.compiled import jit

NUM, VARIANCE, ETA = 20_000, 0.5, 0.4
CENTRES, WEIGHTS = jnp.array([[-4.0, -4.0], [4.0, 4.0]]), jnp.array([0.2, 0.8])


def log_mixture(x, sigma):
    """0.2 N(-4, I) + 0.8 N(4, I) in the plane, with noise of sigma."""
    variance = 1 + sigma**2
    squares = ((x[:, None] - CENTRES) ** 2).sum(-1)
    return jax.nn.logsumexp(jnp.log(WEIGHTS) - squares / (2 * variance), -1) - jnp.log(variance)


def mixture_score(x, sigma):
    return jax.grad(lambda x: log_mixture(x, sigma).sum())(x)


def test_the_variance_without_correction_is_the_known_one(key):
    x = jit(
        lambda key: diffusion.unadjusted_langevin(
            lambda x: -x / VARIANCE, key, jnp.zeros((NUM, 1)), step_size=ETA, num_steps=60
        )
    )(key)
    biased = VARIANCE / (1 - ETA / (2 * VARIANCE))
    np.testing.assert_allclose(x.var(), biased, rtol=0.04)
    assert biased > 1.5 * VARIANCE


def test_accepted_steps_have_the_variance_of_the_law(key):
    x, share = jit(
        lambda key: diffusion.metropolis_langevin(
            lambda x: -(x[:, 0] ** 2) / (2 * VARIANCE),
            key,
            jnp.zeros((NUM, 1)),
            step_size=ETA,
            num_steps=60,
        )
    )(key)
    np.testing.assert_allclose(x.var(), VARIANCE, rtol=0.04)
    assert 0.5 < share.mean() < 0.99


def test_annealing_finds_the_weights_of_modes_and_plain_dynamics_do_not(key):
    start = jax.random.uniform(jax.random.key(5), (4000, 2), minval=-8.0, maxval=8.0)
    sigmas = np.geomspace(20.0, 0.5, 12)

    @jit
    def found(key):
        plain = diffusion.unadjusted_langevin(
            lambda x: mixture_score(x, 0.0),
            jax.random.clone(key),
            start,
            step_size=0.05,
            num_steps=300,
        )
        options = {"step_size": 0.02, "num_steps": 60}
        annealed = diffusion.annealed_langevin(mixture_score, key, start, sigmas, **options)
        return plain, annealed

    plain, annealed = ((x.sum(-1) > 0).mean() for x in found(key))
    assert abs(plain - 0.5) < 0.05
    assert abs(annealed - 0.8) < 0.05


def test_the_last_step_takes_the_noise_away(key):
    """Of data at one point, whose score with noise is known, it ends on the point."""
    score = lambda x, sigma: (3.0 - x) / sigma**2
    options = {"step_size": 0.005, "num_steps": 20}
    x = diffusion.annealed_langevin(score, key, jnp.zeros((50, 1)), (1.0, 0.1), **options)
    np.testing.assert_allclose(x, 3.0, atol=1e-5)


def test_bad_steps_and_levels_are_refused(key):
    x = jnp.zeros((3, 2))
    with pytest.raises(InputError, match="sigmas must fall"):
        diffusion.annealed_langevin(mixture_score, key, x, (1, 2), step_size=0.1, num_steps=2)
    with pytest.raises(InputError, match="step_size"):
        diffusion.unadjusted_langevin(jnp.negative, key, x, step_size=-1.0, num_steps=2)
