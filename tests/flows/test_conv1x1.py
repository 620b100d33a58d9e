"""The 1×1 convolution is a matrix at every pixel."""

import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.flows import conv1x1, plu, qr
from tests.contracts.compiled import jit
from tests.helpers import drawn, log_det_by_autodiff, points

DIM = 5


@pytest.mark.parametrize("form", ["plu", "qr"])
def test_conv1x1_is_its_matrix_at_every_pixel_and_its_log_det_counts_them(form):
    flow, vectors = conv1x1(DIM, form=form), {"plu": plu, "qr": qr}[form](DIM)
    z = points(2, 3, DIM)

    @jit
    def run(params, z):
        t = flow.bijector(params)
        oracle = log_det_by_autodiff(t.forward, z)
        return *t.forward_and_log_det(z), vectors.bijector(params).forward(jnp.eye(DIM)), oracle

    x, log_det, matrix, oracle = run(drawn(flow), z)
    np.testing.assert_allclose(x, np.asarray(z) @ matrix, atol=1e-5)
    np.testing.assert_allclose(log_det, oracle, rtol=1e-4, atol=1e-4)
