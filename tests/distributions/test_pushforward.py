"""The distribution of T(z)."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.bijectors import Triangular, additive
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import Pushforward, standard_normal
from dgm_jax.flows import coupling, realnvp
from tests.contracts.compiled import jit
from tests.helpers import drawn


class Linear(distrax.Bijector):
    """x = A z, which counts the events it is given."""

    def __init__(self, a):
        super().__init__(event_ndims_in=1)
        self.a, self.shapes = a, []

    def forward_and_log_det(self, z):
        self.shapes.append(z.shape)
        return z @ self.a.T, jnp.full(z.shape[:-1], jnp.linalg.slogdet(self.a).logabsdet)

    def inverse_and_log_det(self, x):
        inverse = jnp.linalg.inv(self.a)
        return x @ inverse.T, jnp.full(x.shape[:-1], jnp.linalg.slogdet(inverse).logabsdet)


A = jnp.array([[2.0, 0.0], [1.0, 0.5]])


def test_a_linear_map_of_a_normal_is_the_normal_with_covariance_a_a_transposed():
    base = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
    wanted = distrax.MultivariateNormalFullCovariance(jnp.zeros(2), A @ A.T)
    x = jnp.array([[0.3, -1.0], [2.0, 0.7]])
    got = Pushforward(base, Linear(A)).log_prob(x)
    np.testing.assert_allclose(got, wanted.log_prob(x), rtol=1e-5)


def test_all_samples_go_through_the_map_together(key):
    """One product of [n, d], where distrax would map the bijector over the samples one by one."""
    linear = Linear(A)
    base = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
    Pushforward(base, linear).sample_and_log_prob(seed=key, sample_shape=(3, 4))
    assert (12, 2) in linear.shapes


def test_a_batch_of_conditions_has_noise_of_its_own_for_each():
    """Where the base is one for all: copies, independent, scored as one is."""
    base = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
    shifts = jnp.array([[0.0, 0.0], [5.0, -5.0], [0.0, 0.0]])
    shift = distrax.Block(distrax.ScalarAffine(shift=shifts), 1)
    dist = Pushforward(base, shift, batch_shape=(3,))
    x, log_prob = dist.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(4000,))
    assert dist.batch_shape == (3,) and x.shape == (4000, 3, 2)
    np.testing.assert_allclose(log_prob, dist.log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(log_prob, base.log_prob(x - shifts), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dist.distribution.entropy(), jnp.full(3, base.entropy()))
    correlations = np.corrcoef((x - shifts)[..., 0].T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.06


def test_points_that_are_not_as_many_as_the_conditions_are_refused_by_name():
    model = pushforward(coupling(2, hidden=(3,), cond_shape=(1,)), standard_normal(2))
    dist = model.dist(model.init(jax.random.key(0)), jnp.ones((7, 1)))
    told = r"x and cond must have batch shapes that broadcast; got x \(5,\), cond \(7,\)"
    with pytest.raises(ValueError, match=told):
        dist.log_prob(jnp.ones((5, 2)))
    assert dist.log_prob(jnp.ones(2)).shape == (7,)


def test_a_map_that_keeps_volumes_has_the_entropy_and_the_mode_of_its_base():
    """The mode is T(0), where log p is that of the base at 0; layers in a scan too."""

    def model(num_layers):
        flow = realnvp(2, hidden=(3,), num_layers=num_layers, law=additive(), cond_shape=(1,))
        return pushforward(flow, standard_normal(2))

    @jit
    def told(params):
        dist = model(4).dist(params, jnp.ones((3, 1)))
        one = dist.distribution.one
        return dist.entropy(), one.entropy(), dist.log_prob(dist.mode()), one.log_prob(jnp.zeros(2))

    entropy, of_base, at_mode, at_zero = told(drawn(model(4)))
    np.testing.assert_allclose(entropy, np.full(3, of_base), rtol=1e-6)
    np.testing.assert_allclose(at_mode, np.full(3, at_zero), rtol=1e-6)


def test_an_affine_map_of_copies_has_their_moments():
    base = distrax.MultivariateNormalDiag(jnp.array([1.0, -1.0]), jnp.array([2.0, 3.0]))
    matrix = Triangular(A, jnp.log(jnp.diagonal(A)), lower=True)
    dist = Pushforward(base, matrix, batch_shape=(3,))
    np.testing.assert_allclose(dist.mean(), np.tile(A @ np.array([1.0, -1.0]), (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(dist.variance(), np.tile([16.0, 4 + 2.25], (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(dist.stddev() ** 2, dist.variance(), rtol=1e-6)


def test_what_has_no_closed_form_is_refused_in_a_line():
    model = pushforward(coupling(2, hidden=(3,)), standard_normal(2))
    dist = model.dist(model.init(jax.random.key(0)))
    for name in ("mean", "mode", "variance", "stddev", "entropy"):
        with pytest.raises(checks.InputError, match="has no closed form here, as"):
            getattr(dist, name)()
