"""The theorem: codes with the same distribution, of which each depends on all others."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import bijectors, checks, disentangled, objectives
from dgm_jax.bijectors import Mixture, MixtureLogisticCDF
from dgm_jax.distributions import Pushforward
from tests.contracts.compiled import jit
from tests.disentangled.models import bits, small_vae
from tests.helpers import drawn, points

DIM = 3
MATRIX = bijectors.householder(points(2, DIM))


def normal():
    return None, distrax.MultivariateNormalDiag(jnp.zeros(DIM), jnp.ones(DIM)), points(40, DIM)


def mixtures():
    """Entries of two modes each, of which no two are alike."""
    mixture = Mixture(
        jnp.log(jnp.float32([[0.3, 0.7], [0.5, 0.5], [0.8, 0.2]])),
        jnp.float32([[-2.0, 1.0], [-1.0, 1.5], [0.0, 2.0]]),
        jnp.log(jnp.float32([[0.3, 0.5], [0.4, 0.2], [0.5, 0.3]])),
    )
    zero = jnp.zeros(DIM)
    to_logistic = distrax.Block(MixtureLogisticCDF(mixture, zero, zero, jnp.float32), 1)
    logistic = distrax.Independent(distrax.Logistic(zero, jnp.ones(DIM)), 1)
    prior = Pushforward(logistic, distrax.Inverse(to_logistic))
    z = np.random.default_rng(0).uniform(-2.5, 2.5, (40, DIM)).astype(np.float32)
    return to_logistic, prior, jnp.asarray(z)


def uniform():
    inside = distrax.Independent(distrax.Uniform(jnp.zeros(DIM), jnp.ones(DIM)), 1)
    z = np.random.default_rng(1).uniform(0.02, 0.98, (40, DIM)).astype(np.float32)
    return distrax.Inverse(distrax.Sigmoid()), inside, jnp.asarray(z)


@pytest.mark.parametrize("prior_of", [normal, mixtures, uniform])
def test_the_distribution_stays_and_every_entry_depends_on_all(prior_of):
    """E3: p(f(z)) |det ∂f| = p(z) at every z, by the Jacobian of autodiff, which has no entry 0."""
    to_logistic, prior, z = prior_of()
    f = disentangled.entangling(MATRIX, to_logistic)

    def of(z):
        moved, log_det = f.forward_and_log_det(z)
        back = f.inverse(moved)
        return moved, back, log_det, prior.log_prob(z), prior.log_prob(moved)

    moved, back, log_det, before, after = jit(of)(z)
    jacobian = np.asarray(jit(jax.vmap(jax.jacfwd(f.forward)))(z), np.float64)
    exact = np.linalg.slogdet(jacobian).logabsdet
    np.testing.assert_allclose(log_det, exact, atol=2e-4)
    np.testing.assert_allclose(after + exact, before, atol=5e-4)
    np.testing.assert_allclose(back, z, atol=2e-4)
    assert np.abs(jacobian).min(0).min() > 1e-5
    assert np.abs(moved - z).max() > 0.5


def test_a_model_with_entangled_codes_has_the_elbo_of_the_model_row_by_row():
    model, x = small_vae(), bits(6)
    params = drawn(model, 0.7)
    f = disentangled.entangling(MATRIX)
    other = disentangled.entangled(model, f)

    def of(key):
        again = jax.random.clone
        one, two = (
            objectives.infer(m, params, again(key), x, num_samples=4) for m in (model, other)
        )
        weights = [objectives.log_weights(m, params, again(key), x) for m in (model, other)]
        losses = [objectives.elbo(m, params, again(key), x)[0] for m in (model, other)]
        return one.z, two.z, f.forward(one.z), weights, losses

    z, entangled, moved, weights, losses = jit(of)(jax.random.key(0))
    np.testing.assert_allclose(entangled, moved, atol=1e-5)
    assert np.abs(np.asarray(entangled - z)).max() > 0.3
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-4)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_a_rotation_that_leaves_entries_alone_is_refused():
    turn = jnp.float32([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    with pytest.raises(checks.InputError, match="matrix must have no entry 0"):
        disentangled.entangling(turn)
    with pytest.raises(checks.InputError, match="matrix must be orthogonal"):
        disentangled.entangling(jnp.ones((2, 2)))
    with pytest.raises(checks.InputError, match="no `infer` of its own"):
        disentangled.entangled(
            small_vae()._replace(infer=lambda: None), disentangled.entangling(MATRIX)
        )
