"""The layer of MAF and IAF, and the direction in which each is cheap."""

import jax
import numpy as np
import pytest

from dgm_jax.bijectors import Autoregressive, affine
from dgm_jax.combinators import invert
from dgm_jax.flows import autoregression, iaf, maf
from dgm_jax.nets import made, naive
from dgm_jax.protocol import Flow
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 4


@pytest.mark.parametrize("make", [autoregression, iaf, maf])
def test_it_starts_as_the_identity_up_to_the_order(make, key):
    options = {} if make is autoregression else {"num_layers": 2}
    flow = make(DIM, hidden=(7,), **options)
    z = points(5, DIM)
    x, log_det = jit(lambda key: flow.bijector(flow.init(key)).forward_and_log_det(z))(key)
    np.testing.assert_allclose(x, z, atol=1e-6)
    np.testing.assert_allclose(log_det, 0, atol=1e-6)


def counting(num_passes):
    """One layer whose net tells each pass that is executed, loops included, to `num_passes`."""
    net = made(DIM, hidden=(7,), num_outputs=2)

    def apply(params, x, cond=None, *, key=None):
        jax.debug.callback(lambda: num_passes.append(None))
        return net.apply(params, x, cond)

    told = naive(net.init, apply, DIM)
    return Flow(
        net.init, lambda p, cond=None, key=None: Autoregressive(told, p, affine(), DIM, cond)
    )


@pytest.mark.parametrize(
    "model, method, wanted",
    [
        ("maf", "inverse_and_log_det", 1),  # density
        ("maf", "forward", DIM),  # sampling
        ("iaf", "forward_and_log_det", 1),  # sampling, with the density of the sample
        ("iaf", "inverse", DIM),  # density of a given point
    ],
)
def test_passes_of_maf_and_iaf_are_one_in_the_cheap_direction_and_d_in_the_other(
    model, method, wanted
):
    """Of the naive inverse. It makes one pass more than d, for the log-det at what it made;
    where only the values are wanted and nothing watches, the compiler drops that pass."""
    num_passes = []
    flow = counting(num_passes)
    flow = invert(flow) if model == "maf" else flow
    run = jit(lambda p, z: getattr(flow.bijector(p), method)(z))
    jax.block_until_ready(run(drawn(flow), points(5, DIM)))
    jax.effects_barrier()
    assert len(num_passes) == (1 if wanted == 1 else wanted + 1)


def test_parameters_of_numpy_do_outside_of_jit():
    """Where the inverse is a loop, whose index is traced there too."""
    flow, x = autoregression(3, hidden=(9,)), points(4, 3)
    params = drawn(flow)
    of_numpy = flow.bijector(jax.tree.map(np.asarray, params))
    wanted = flow.bijector(params).inverse(x)
    np.testing.assert_allclose(of_numpy.inverse(x), wanted, rtol=1e-6)
    np.testing.assert_allclose(of_numpy.inverse(np.asarray(x)), wanted, rtol=1e-6)
