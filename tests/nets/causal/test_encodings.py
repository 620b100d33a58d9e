"""Levels as a net sees them."""

import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.nets import one_hot, scaled
from dgm_jax.nets.causal import made
from dgm_jax.nets.causal.encodings import batch_of


@pytest.mark.parametrize("encoding", [one_hot, scaled])
@pytest.mark.parametrize("num_levels", [2, 3, 17, 256])
def test_each_level_is_a_vector_of_its_own(encoding, num_levels):
    code = encoding(num_levels)
    encoded = np.asarray(code.encode(jnp.arange(num_levels)))
    assert encoded.shape == (num_levels, code.size)
    assert len(np.unique(encoded, axis=0)) == num_levels


def test_one_hot_is_zero_for_level_zero_and_a_bit_is_itself():
    np.testing.assert_array_equal(one_hot(3).encode(jnp.arange(3)), [[0, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(one_hot(2).encode(jnp.arange(2)), [[0], [1]])
    small = one_hot(256).encode(jnp.array([0, 1, 255], jnp.uint8))
    np.testing.assert_array_equal(small.sum(-1), [0, 1, 1])  # unsigned zero does not wrap


def test_scaled_levels_reach_from_minus_one_to_one():
    np.testing.assert_allclose(scaled(5).encode(jnp.arange(5))[:, 0], [-1, -0.5, 0, 0.5, 1])


def test_a_net_of_levels_has_no_derivative():
    net = made(3, hidden=(4,), num_outputs=2, encoding=one_hot(3))
    assert net.linearize is None


@pytest.mark.parametrize("make", [one_hot, scaled])
def test_one_level_is_no_choice(make):
    with pytest.raises(ValueError, match="num_levels must be an integer of at least 2; got 1"):
        make(1)


def test_x_and_a_condition_of_other_batches_are_refused_with_their_shapes():
    x = jnp.zeros((3, 3))
    for rows, batch_shape in [((2,), (3,)), ((1, 2), (3,)), ((4, 1, 2), (4, 3))]:
        assert batch_of(x, jnp.zeros(rows), 3, (2,), None) == batch_shape
    told = r"x and cond must have batch shapes that.*; got x \(3,\), cond \(4,\)"
    with pytest.raises(ValueError, match=told):
        batch_of(x, jnp.zeros((4, 2)), 3, (2,), None)
