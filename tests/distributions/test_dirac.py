"""The distribution of one certain value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.distributions import Dirac, Levels, divergence_at

Z = jnp.asarray([[0, 2], [1, 1]])


def test_it_is_sure_of_one_value_and_its_divergence_is_what_that_costs():
    import distrax

    one = Dirac(Z, batch_shape=(2,))
    np.testing.assert_array_equal(one.log_prob(Z), [0, 0])
    np.testing.assert_array_equal(one.log_prob(jnp.asarray([[0, 2], [1, 0]])), [0, -np.inf])
    z, log_prob = one.sample_and_log_prob(seed=jax.random.key(0), sample_shape=3)
    np.testing.assert_array_equal(z, np.broadcast_to(Z, (3, 2, 2)))
    assert log_prob.shape == (3, 2) and (log_prob == 0).all() and one.event_shape == (2,)
    logits = jnp.log(jnp.asarray([0.5, 0.3, 0.2]))
    prior = distrax.Independent(Levels(jnp.stack([logits, logits])), 1)
    cost = -np.log([0.5 * 0.2, 0.3 * 0.3])
    np.testing.assert_allclose(one.kl_divergence(prior), cost, rtol=1e-5)
    np.testing.assert_allclose(divergence_at(one, prior, jnp.zeros((4, 2)))[3], cost, rtol=1e-5)


def test_of_a_tuple_all_parts_must_agree():
    pair = Dirac((Z, Z[:, :1]), batch_shape=(2,))
    other = Z[:, :1].at[1].set(0)
    np.testing.assert_array_equal(pair.log_prob((Z, Z[:, :1])), [0, 0])
    np.testing.assert_array_equal(pair.log_prob((Z, other)), [0, -np.inf])
    assert pair.event_shape == ((2,), (1,))
    first, second = pair.sample(seed=jax.random.key(0), sample_shape=(5,))
    assert first.shape == (5, 2, 2) and second.shape == (5, 2, 1)


@pytest.mark.parametrize(
    ("value", "batch_shape", "message"),
    [
        (Z.astype(float), (), "value must be integers"),
        (Z, (3,), r"value must begin with batch_shape=\(3,\); got \(2, 2\)"),
        (2, (), "value must be an array"),
    ],
)
def test_what_is_no_value_is_refused(value, batch_shape, message):
    with pytest.raises(checks.InputError, match=message):
        Dirac(value, batch_shape=batch_shape)


def test_codes_have_a_mode_and_no_mean():
    one = Dirac(Z, batch_shape=(2,))
    np.testing.assert_array_equal(one.mode(), Z)
    with pytest.raises(checks.NoClosedForm, match=r"codes are integers.*\.mode\(\)"):
        one.mean()
