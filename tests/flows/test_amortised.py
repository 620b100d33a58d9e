"""Parameters that are affine functions of the condition."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.flows import planar
from tests.contracts.compiled import jit
from tests.helpers import drawn

DIM = 4


def test_a_condition_moves_the_parameters():
    """θ + c·Θ: at condition 0 the flow of θ, at e_1 that of θ + Θ_1."""
    flow, plain = planar(DIM, cond_shape=(2,)), planar(DIM)
    z = jnp.ones((2, DIM))

    @jit
    def run(p):
        at_e_1 = jax.tree.map(lambda own, slope: own + slope[0], p["own"], p["cond"])
        wanted = [plain.bijector(own).forward(z[0]) for own in (p["own"], at_e_1)]
        return flow.bijector(p, jnp.array([[0.0, 0.0], [1.0, 0.0]])).forward(z), wanted

    got, (at_zero, at_e_1) = run(drawn(flow, 1.5))
    np.testing.assert_allclose(got[0], at_zero, rtol=1e-5)
    np.testing.assert_allclose(got[1], at_e_1, rtol=1e-5)
