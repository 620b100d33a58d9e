"""A joint distribution by a walk, z_2 ~ N(c, 1) and z_1 | z_2 ~ N(2 z_2, I): its laws are known."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.distributions import Ancestral
from tests.contracts.compiled import jit


def normal(mean):
    return distrax.MultivariateNormalDiag(mean, jnp.ones_like(mean))


def joint(c):
    """z_1 has two entries, z_2 one; c [..., 1]."""

    def walk(choose, seen):
        z_2, of_2 = choose(normal(c), seen[1])
        z_1, of_1 = choose(normal(2 * jnp.concatenate([z_2, z_2], -1)), seen[0])
        return (z_1, z_2), (of_1, of_2)

    return Ancestral(walk, 2, batch_shape=c.shape[:-1])


C = np.float32([[0.0], [3.0], [-1.0]])


def test_draws_have_the_moments_of_the_joint_and_the_score_that_they_were_drawn_with():
    @jit
    def run(key):
        z, drawn = joint(C).sample_and_log_prob(seed=key, sample_shape=(2, 4000))
        return z, drawn, joint(C).log_prob(z)

    (z_1, z_2), drawn, scored = run(jax.random.key(0))
    assert z_1.shape == (2, 4000, 3, 2) and z_2.shape == (2, 4000, 3, 1)
    np.testing.assert_allclose(drawn, scored, atol=1e-5)
    both = np.concatenate([z_1, z_2], -1).reshape(-1, 3, 3)
    np.testing.assert_allclose(both.mean(0), C * [2, 2, 1], atol=0.1)
    wanted = np.array([[5, 4, 2], [4, 5, 2], [2, 2, 1]])
    for i in range(3):
        np.testing.assert_allclose(np.cov(both[:, i].T), wanted, atol=0.25)


def test_the_score_is_the_density_of_the_joint_gaussian():
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    dist = joint(np.float32([0.5]))
    cov = np.array([[5, 4, 2], [4, 5, 2], [2, 2, 1]])
    away = z - np.array([1.0, 1.0, 0.5])
    wanted = -0.5 * (
        np.einsum("ni,ij,nj->n", away, np.linalg.inv(cov), away)
        + np.linalg.slogdet(2 * np.pi * cov)[1]
    )
    np.testing.assert_allclose(dist.log_prob((z[:, :2], z[:, 2:])), wanted, rtol=1e-5)


def test_the_means_are_those_of_each_group_given_those_before():
    z_1, z_2 = joint(C).means()
    np.testing.assert_array_equal(z_2, C)
    np.testing.assert_array_equal(z_1, 2 * np.repeat(C, 2, 1))


def test_shapes_and_dtypes_are_told_of_each_group():
    dist = joint(C)
    assert dist.event_shape == ((2,), (1,)) and dist.batch_shape == (3,)
    assert dist.dtype == (jnp.float32, jnp.float32)


def test_a_z_of_other_groups_is_refused():
    for z in ((C,), (C, C, C), C):
        with pytest.raises(checks.InputError, match="z must be a tuple of 2 arrays"):
            joint(C).log_prob(z)


def test_a_temperature_multiplies_the_deviation_of_every_group_given_those_before():
    dist = joint(C[1:2]).tempered(0.5)
    (z_1, z_2), drawn = jit(lambda key: dist.sample_and_log_prob(seed=key, sample_shape=4000))(
        jax.random.key(0)
    )
    np.testing.assert_allclose(z_2.std(), 0.5, rtol=0.05)
    np.testing.assert_allclose((z_1 - 2 * z_2).std(0), 0.5 * np.ones((1, 2)), rtol=0.05)
    np.testing.assert_allclose(z_2.mean(), 3, atol=0.05)
    away = np.concatenate([z_1 - 2 * z_2, z_2 - 3], -1)[:, 0]
    wanted = -0.5 * (away**2).sum(-1) / 0.25 - 1.5 * np.log(2 * np.pi * 0.25)
    np.testing.assert_allclose(drawn[:, 0], wanted, atol=1e-4)


def test_a_temperature_is_refused_where_it_has_no_meaning():
    with pytest.raises(checks.InputError, match="temperature must be a finite number above 0"):
        joint(C).tempered(0.0)
    levels = Ancestral(lambda choose, seen: choose(distrax.Categorical(jnp.zeros(3)), seen[0]), 1)
    with pytest.raises(checks.InputError, match="temperature is for groups that are Gaussians"):
        levels.tempered(0.5).sample(seed=jax.random.key(0))
