"""What flows of images are made of: couplings of channels, seen through rearrangements."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import additive, squeeze
from dgm_jax.flows import channel_coupling, flow_pp, glow, realnvp_image
from dgm_jax.flows.multiscale import alternating, on_checkerboard, through
from dgm_jax.nets import gated_attention
from dgm_jax.protocol import Net
from tests.contracts.compiled import jit
from tests.helpers import drawn, log_det_by_autodiff, points

SMALL = {"hidden": 6, "num_blocks": 1}


def test_what_the_coupling_keeps_is_kept_to_the_bit():
    flow = channel_coupling((2, 3, 5), **SMALL)
    z = points(4, 2, 3, 5)
    x = jit(lambda p, z: flow.bijector(p).forward(z))(drawn(flow), z)
    np.testing.assert_array_equal(x[..., :3], z[..., :3])
    assert (jnp.abs(x - z)[..., 3:] > 1e-5).all()


@pytest.mark.parametrize("num_layers, channels", [(1, 4), (2, 4), (3, 4), (3, 3)])
def test_alternating_couplings_move_the_halves_in_turn_and_leave_each_in_its_place(
    num_layers, channels
):
    flow = alternating(channel_coupling((2, 2, channels), **SMALL), channels, num_layers)
    zero = drawn(flow, 0.0)
    run = jit(lambda p, z: flow.bijector(p).forward(z))
    z = points(4, 2, 2, channels)
    np.testing.assert_array_equal(run(zero, z), z)
    x = np.asarray(run(drawn(flow), z))
    moved = (x != np.asarray(z)).any((0, 1, 2))
    np.testing.assert_array_equal(moved[-1:], [True])
    np.testing.assert_array_equal(moved[:-1].all(), num_layers > 1)


@pytest.mark.parametrize("make", [realnvp_image, glow, flow_pp])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3)])
def test_the_sizes_of_digits_mnist_and_cifar_fit(make, shape):
    d, scales = math.prod(shape), {} if make is flow_pp else {"num_scales": 2 + (shape[0] > 8)}
    if make is glow and shape[0] == 28:
        scales = {"num_scales": 2}  # 28 -> 14 -> 7
    flow = make(shape, net=watched([]), **scales)

    def run(key, z):
        t = flow.bijector(flow.init(key))
        x, log_det = t.forward_and_log_det(z)
        return x, log_det, t.inverse(x)

    x, log_det, z = jax.eval_shape(run, jax.random.key(0), jnp.zeros((2, d)))
    assert x.shape == (2, *shape) and log_det.shape == (2,) and z.shape == (2, d)


def tells_its_condition(shape, out_channels, *, cond_shape, **options):
    """A net whose output is the last channels of the map that it sees."""
    return Net(lambda key: {}, lambda params, x, cond, key=None: cond[..., -out_channels:])


@pytest.mark.parametrize("seen", ["squeeze", "checkerboard"])
def test_a_map_beside_the_image_is_rearranged_as_the_image_is(seen):
    """x = z + c where a pixel is moved, c at that very pixel, and x = z elsewhere."""
    shape = (4, 6, 2)

    def coupling(shape, cond_shape):
        options = {"net": tells_its_condition, "law": additive(), "cond_shape": cond_shape}
        return channel_coupling(shape, **options)

    if seen == "squeeze":
        flow = through(squeeze, coupling, shape, shape)
        moved = np.arange(4)[:, None, None] % 2 == 1  # bottom rows of each square
    else:
        flow = on_checkerboard(coupling, shape, shape)
        moved = np.add.outer(np.arange(4), np.arange(6))[..., None] % 2 == 1  # white pixels
    z, cond = points(5, *shape), points(5, *shape, seed=2)
    params = flow.init(jax.random.key(0))
    run = jit(lambda z, cond: flow.bijector(params, cond).forward(z))
    x = run(z, cond)
    np.testing.assert_allclose(x, z + np.where(moved, cond, 0), rtol=1e-6)
    assert flow.cond_shape == shape
    ones = jnp.ones((5, *shape), jnp.int32)
    np.testing.assert_allclose(run(z, ones), z + moved, rtol=1e-6)


def test_the_log_det_is_that_of_the_dense_jacobian():
    """Of one image, over its pixels and its channels."""
    flow = channel_coupling((2, 2, 3), hidden=4, num_blocks=0)

    @jit
    def run(params, z):
        t = flow.bijector(params)
        return t.forward_log_det_jacobian(z), log_det_by_autodiff(t.forward, z)

    got, wanted = run(drawn(flow), points(2, 2, 3))
    np.testing.assert_allclose(got, wanted, rtol=1e-4)
    assert got.shape == () and abs(got) > 0.05


def watched(calls):
    """A net that tells the options it was built with, and whether it got a key."""

    def net(shape, out_channels, *, hidden, num_blocks, dropout, cond_shape):
        def apply(params, x, cond=None, *, key=None):
            calls.append((hidden, num_blocks, dropout, key is not None))
            return jnp.zeros((*x.shape[:-1], out_channels))

        return Net(lambda key: {}, apply)

    return net


IMAGES = {
    "realnvp_image": lambda **o: realnvp_image((4, 4, 1), **o),
    "glow": lambda **o: glow((4, 4, 1), **o),
    "glow, map": lambda **o: glow((4, 4, 1), cond_shape=(4, 4, 2), **o),
    "flow_pp": lambda **o: flow_pp((4, 4, 1), **o),
}


@pytest.mark.parametrize("key", [None, 1])
@pytest.mark.parametrize("name", IMAGES)
def test_every_net_has_the_options_and_gets_a_key(name, key):
    calls = []
    flow = IMAGES[name](net=watched(calls), hidden=5, num_blocks=3, dropout=0.25)
    cond = None if flow.cond_shape is None else jnp.zeros(flow.cond_shape)

    def run(z, x):
        t = flow.bijector(flow.init(jax.random.key(0)), cond, key=key and jax.random.key(key))
        return t.forward(z), t.inverse_and_log_det(x)

    jax.eval_shape(run, jnp.zeros(16), jnp.zeros((4, 4, 1)))
    assert set(calls) == {(5, 3, 0.25, key is not None)} and len(calls) >= 6


def test_attention_drops_the_same_units_in_both_directions():
    flow = channel_coupling(
        (2, 4, 2), net=partial(gated_attention, num_heads=1), hidden=4, num_blocks=1, dropout=0.5
    )
    z = points(4, 2, 4, 2)

    @jit
    def run(params, key):
        t = flow.bijector(params, key=key)
        x, log_det = t.forward_and_log_det(z)
        return x, log_det, *t.inverse_and_log_det(x)

    (x, log_det, back, back_log_det), (other, *_) = (
        run(drawn(flow), jax.random.key(seed)) for seed in (1, 2)
    )
    np.testing.assert_allclose(back, z, atol=1e-5)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-5)
    assert jnp.abs(x - other).max() > 1e-3
