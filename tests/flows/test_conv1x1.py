"""The 1×1 convolution is a matrix at every pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.flows import conv1x1, plu, qr
from tests.contracts.compiled import jit
from tests.helpers import log_det_by_autodiff, perturb

DIM = 5


@pytest.mark.parametrize("form", ["plu", "qr"])
def test_conv1x1_is_its_matrix_at_every_pixel_and_its_log_det_counts_them(form):
    flow, vectors = conv1x1(DIM, form=form), {"plu": plu, "qr": qr}[form](DIM)
    params = perturb(flow.init(jax.random.key(0)), jax.random.key(1))
    z = jax.random.normal(jax.random.key(2), (2, 3, DIM))
    x, log_det = flow.bijector(params).forward_and_log_det(z)
    np.testing.assert_allclose(x, z @ vectors.bijector(params).forward(jnp.eye(DIM)), atol=1e-5)
    oracle = jit(lambda z: log_det_by_autodiff(flow.bijector(params).forward, z))(z)
    np.testing.assert_allclose(log_det, oracle, rtol=1e-4, atol=1e-4)
