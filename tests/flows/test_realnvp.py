"""RealNVP: couplings in turn, shuffled."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.flows import realnvp
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 5


def test_realnvp_moves_every_coordinate_and_starts_as_the_identity_up_to_the_shuffle(key):
    flow = realnvp(DIM, num_layers=2, hidden=(7,))
    z = points(6, DIM)
    moved = jit(lambda p: flow.bijector(p).forward(z))(drawn(flow))
    assert (jnp.abs(moved - z) > 1e-4).all()
    start = jit(lambda key: flow.bijector(flow.init(key)).forward(z))
    np.testing.assert_allclose(start(key), z, atol=1e-6)


def test_shuffles_are_permutations_fixed_by_their_seed():
    z = points(6, DIM)

    def forward(shuffle):
        flow = realnvp(DIM, num_layers=2, hidden=(7,), shuffle=shuffle)
        zero = jax.tree.map(
            lambda a: jnp.zeros(a.shape), jax.eval_shape(flow.init, jax.random.key(0))
        )
        return flow.bijector(zero).forward(z)  # the identity, and then the permutation

    first, again, other = forward(1), forward(1), forward(2)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(jnp.sort(first, -1), jnp.sort(z, -1))
    assert jnp.any(first != z) and jnp.any(first != other)
