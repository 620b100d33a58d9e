"""Parameters that are affine functions of the condition."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.flows import planar
from tests.contracts.compiled import jit
from tests.helpers import perturb

DIM = 4


def moved(flow, scale=1.5, seed=0):
    return jit(lambda key: perturb(flow.init(key), jax.random.key(seed + 1), scale))(
        jax.random.key(seed)
    )


def test_a_condition_moves_the_parameters():
    """θ + c·Θ: at condition 0 the flow of θ, at e_1 that of θ + Θ_1."""
    flow, plain = planar(DIM, cond_shape=(2,)), planar(DIM)
    p = moved(flow)
    z = jnp.ones((2, DIM))
    got = flow.bijector(p, jnp.array([[0.0, 0.0], [1.0, 0.0]])).forward(z)
    at_e_1 = jax.tree.map(lambda own, slope: own + slope[0], p["own"], p["cond"])
    np.testing.assert_allclose(got[0], plain.bijector(p["own"]).forward(z[0]), rtol=1e-5)
    np.testing.assert_allclose(got[1], plain.bijector(at_e_1).forward(z[1]), rtol=1e-5)
