"""The blocks of deep ladders: maps at each pixel, at any resolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, nets
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

IMAGE = {"hidden": (4, 4), "kernels": (1, 3, 1)}


def test_vectors_go_through_dense_layers_after_an_activation():
    net = nets.bottleneck((2, 3), 4, hidden=(5,), activation=jnp.tanh)
    params, x, c = drawn(net), points(6, 7, 2), points(3, seed=2)
    a, b = params["Dense_0"], params["Dense_1"]
    seen = np.concatenate([x, np.broadcast_to(c, (6, 7, 3))], -1)
    inner = np.tanh(np.tanh(seen) @ a["kernel"] + a["bias"])
    np.testing.assert_allclose(
        jit(net.apply)(params, x, c), inner @ b["kernel"] + b["bias"], rtol=1e-4, atol=1e-5
    )
    plain = nets.bottleneck(2, 4, first_activated=False)
    of_plain = drawn(plain)
    wanted = x @ of_plain["Dense_0"]["kernel"] + of_plain["Dense_0"]["bias"]
    np.testing.assert_allclose(plain.apply(of_plain, x), wanted, rtol=1e-4, atol=1e-5)


def test_one_net_serves_images_of_every_size_and_sees_as_far_as_its_kernels():
    net = nets.bottleneck((2, 1), 3, **IMAGE)
    params = drawn(net)
    apply = jit(net.apply)
    assert apply(params, points(5, 2, 4, 4, 2), points(4, 4, 1)).shape == (5, 2, 4, 4, 3)
    x = points(8, 8, 2)
    moved = apply(params, x, points(8, 8, 1)) != apply(params, x.at[4, 4].add(1), points(8, 8, 1))
    assert moved.any(-1).sum() == 9 and moved[3:6, 3:6].any(-1).all()


def test_the_last_map_starts_smaller_by_the_factor():
    start = [
        jit(nets.bottleneck(3, 4, hidden=(5,), last_scale=scale).init)(jax.random.key(0))
        for scale in (1.0, 0.5, 0.0)
    ]
    for params, factor in zip(start, (1.0, 0.5, 0.0)):
        wanted = factor * start[0]["Dense_1"]["kernel"]
        np.testing.assert_allclose(params["Dense_1"]["kernel"], wanted, rtol=1e-5)
        np.testing.assert_array_equal(params["Dense_0"]["kernel"], start[0]["Dense_0"]["kernel"])


def test_dropout_acts_where_there_is_a_key():
    net = nets.bottleneck(3, 4, hidden=(50,), dropout=0.5)
    params, x = drawn(net), points(2, 3)
    still, again = net.apply(params, x), net.apply(params, x)
    np.testing.assert_array_equal(still, again)
    assert (net.apply(params, x, key=jax.random.key(0)) != still).any()


WRONG = {
    "a kernel short": (
        lambda: nets.bottleneck(2, 3, hidden=(4,), kernels=(3,)),
        r"kernels must be 2, one more than hidden; got \(3,\)",
    ),
    "no inputs": (lambda: nets.bottleneck((), 3), "in_dims must name at least one input"),
    "another width": (
        lambda: nets.bottleneck(2, 3).apply(drawn(nets.bottleneck(2, 3)), points(4, 3)),
        r"the inputs must have widths \(2,\); got \(3,\)",
    ),
    "vectors for images": (
        lambda: nets.bottleneck(2, 3, kernels=(3,)).apply({}, points(4, 2)),
        r"the inputs must have widths \(2,\); got \(None,\)",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused_in_one_line(what):
    make, message = WRONG[what]
    with pytest.raises(checks.InputError, match=message):
        make()
