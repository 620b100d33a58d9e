"""Importance resampling between two Gaussians, against quadrature."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.distributions import Ancestral, ImportanceResampled, reparametrised
from tests.contracts.compiled import jit

MEANS = jnp.float32([[-0.5], [1.0]])  # a batch of two proposals N(μ, 1) for the target N(0, ½²)
Z = np.linspace(-5, 5, 401)
STEP = Z[1] - Z[0]


def log_target(z):
    """With a factor of 3, which no probability sees."""
    return distrax.Normal(0.0, 0.5).log_prob(z)[..., 0] + np.float32(np.log(3))


def resampled(num_samples, num_draws=400):
    proposal = distrax.MultivariateNormalDiag(MEANS, jnp.ones((2, 1)))
    return ImportanceResampled(proposal, log_target, num_samples=num_samples, num_draws=num_draws)


def of_two(mean):
    """q*(z) of K = 2 on the grid: q(z) w(z) ∫ q(y) 2 / (w(z) + w(y)) dy."""
    q = np.exp(-0.5 * (Z - mean) ** 2) / np.sqrt(2 * np.pi)
    p = np.exp(-2 * Z**2) / np.sqrt(np.pi / 2)
    w = p / q
    return p * (q * 2 / (w[:, None] + w)).sum(1) * STEP


@jit
def found():
    z = jnp.broadcast_to(jnp.float32(Z)[:, None, None], (401, 2, 1))
    drawn = {
        num: resampled(num).sample(seed=jax.random.key(num), sample_shape=20_000) for num in (1, 2)
    }
    log_prob = {num: resampled(num).log_prob(z) for num in (1, 2, 50)}
    return drawn, log_prob, resampled(2).log_prob(z[7])


def test_two_samples_give_the_density_of_the_formula_and_draws_that_follow_it():
    drawn, log_prob, of_one = jax.device_get(found())
    assert drawn[2].shape == (20_000, 2, 1)
    for i, mean in enumerate(MEANS[:, 0]):
        wanted = of_two(float(mean))
        np.testing.assert_allclose(wanted.sum() * STEP, 1, atol=1e-4)
        np.testing.assert_allclose(np.exp(log_prob[2][:, i]), wanted, atol=0.1 * wanted.max())
        cdf = np.interp(np.sort(drawn[2][:, i, 0]), Z + STEP / 2, np.cumsum(wanted) * STEP)
        assert np.abs(cdf - np.arange(20_000) / 20_000).max() < 0.0138  # Kolmogorov, at 0.1 %
    np.testing.assert_allclose(of_one, log_prob[2][7], rtol=1e-5)


def test_one_sample_is_the_proposal_and_many_come_near_to_the_target():
    drawn, log_prob, _ = jax.device_get(found())
    np.testing.assert_allclose(drawn[1].mean(0), MEANS, atol=0.03)
    q = distrax.Normal(MEANS[:, 0], 1.0)
    np.testing.assert_allclose(log_prob[1], q.log_prob(jnp.float32(Z)[:, None]), atol=1e-4)
    target = np.exp(-2 * Z**2) / np.sqrt(np.pi / 2)
    distance = {
        num: np.abs(np.exp(log_prob[num][:, 1]) - target).sum() * STEP for num in (1, 2, 50)
    }
    assert distance[50] < 0.1 < 0.5 * distance[2] < 0.5 * distance[1]


def test_its_samples_are_not_reparametrised_and_bad_input_is_refused():
    assert not reparametrised(resampled(2))
    with pytest.raises(checks.InputError, match="num_samples must be an integer of at least 1"):
        resampled(0)
    with pytest.raises(checks.InputError, match="value must have shape"):
        resampled(2).log_prob(jnp.zeros((2, 3)))


def test_groups_of_variables_are_chosen_together():
    """z = (u, v), u ~ N(0, 1) and v ~ N(u, 1), with weights e^(5 v)."""

    def walk(choose, seen):
        u, of_u = choose(distrax.MultivariateNormalDiag(jnp.zeros(1), jnp.ones(1)), seen[0])
        v, of_v = choose(distrax.MultivariateNormalDiag(u, jnp.ones_like(u)), seen[1])
        return (u, v), (of_u, of_v)

    proposal = Ancestral(walk, 2)

    @jit
    def find():
        log_target = lambda z: proposal.log_prob(z) + 5 * z[1][..., 0]
        chosen = ImportanceResampled(proposal, log_target, num_samples=2)
        u, v = chosen.sample(seed=jax.random.key(0), sample_shape=20_000)
        return u, v, chosen.log_prob((u[:6].reshape(2, 3, 1), v[:6].reshape(2, 3, 1)))

    u, v, log_prob = jax.device_get(find())
    assert log_prob.shape == (2, 3) and np.isfinite(log_prob).all()
    assert 0.7 < v.mean() < 0.9  # that of the larger of two from N(0, 2), √(2/π), almost
    np.testing.assert_allclose(u.mean(), v.mean() / 2, atol=0.03)  # E[u | v] = v / 2
