"""MAF is IAF run the other way."""

import numpy as np

from dgm_jax.combinators import compose
from dgm_jax.flows import iaf, maf
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 4


def test_maf_after_iaf_with_shared_weights_is_the_identity():
    options = {"num_layers": 3, "hidden": (7,)}
    both = compose(maf(DIM, **options), iaf(DIM, **options))
    params = drawn(iaf(DIM, **options))
    z = points(5, DIM)
    x, log_det = jit(lambda p, z: both.bijector([p, p]).forward_and_log_det(z))(params, z)
    np.testing.assert_allclose(x, z, atol=1e-4)
    np.testing.assert_allclose(log_det, 0, atol=1e-4)
