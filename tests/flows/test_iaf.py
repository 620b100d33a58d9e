"""IAF: layers of an autoregression with reversals between them."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.flows import iaf
from dgm_jax.nets import made
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 4


def test_iaf_is_the_loop_over_its_layers():
    """x ← reverse(x e^s(x) + m(x)), layer by layer, from the nets alone."""
    flow = iaf(DIM, num_layers=2, hidden=(7,))
    params, z = drawn(flow), points(5, DIM)
    net = made(DIM, hidden=(7,), num_outputs=2)

    @jit
    def run(params, z):
        x, log_det = z, 0.0
        for k in range(2):
            f = net.apply(jax.tree.map(lambda a, k=k: a[k], params[1]), x)
            log_scale = 3 * jnp.tanh(f[..., 1] / 3)
            x = (x * jnp.exp(log_scale) + f[..., 0])[:, ::-1]
            log_det += log_scale.sum(-1)
        return flow.bijector(params).forward_and_log_det(z), (x, log_det)

    (got, got_log_det), (x, log_det) = run(params, z)
    np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got_log_det, log_det, rtol=1e-4, atol=1e-5)
