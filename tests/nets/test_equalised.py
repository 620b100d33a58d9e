"""Layers with an equalised learning rate, and how images are doubled, halved and smoothed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.nets import doubled, equalised_conv, equalised_dense, halved, smoothed
from tests.contracts.compiled import jit
from tests.helpers import drawn, points


def plain_conv(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)


@pytest.mark.parametrize("resizing", ["same", "up", "down"])
def test_a_resizing_convolution_is_the_plain_one_of_doubled_pixels_or_its_mean(resizing):
    """Values and the gradient of a gradient, as a penalty has it."""
    net = equalised_conv(3, 4, resizing=resizing)
    params, x = drawn(net), points(2, 6, 4, 3)

    def by_hand(params, x):
        kernel = params["kernel"] * np.sqrt(2 / (3 * 9))
        y = plain_conv(doubled(x) if resizing == "up" else x, kernel)
        return (halved(y) if resizing == "down" else y) + params["bias"][None, None, None]

    def both(function):
        def slope(params, x):
            return jax.grad(lambda x: jnp.tanh(function(params, x)).sum())(x)

        def penalty(params):
            return jnp.square(slope(params, x)).sum()

        return jit(lambda p: (function(p, x), jax.grad(penalty)(p)["kernel"]))(params)

    for got, wanted in zip(both(net.apply), both(by_hand)):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_weights_start_with_one_deviation_and_are_scaled_by_the_fan_in_in_use(lr_multiplier):
    """A layer of 2 and one of 2000 inputs keep the scale of theirs, with weights of one size."""
    for width in (2, 2000):
        net = equalised_dense(width, 500, gain=1.0, lr_multiplier=lr_multiplier, start_bias=0.0)
        params, x = net.init(jax.random.key(0)), points(200, width)
        np.testing.assert_allclose(params["kernel"].std() * lr_multiplier, 1.0, rtol=0.1)
        np.testing.assert_allclose(net.apply(params, x).std(), 1.0, rtol=0.15)


def test_a_step_moves_the_output_by_the_multiplier_and_the_gain():
    """y = m (g / √in) W x + m b for weights W and b as they are."""
    net = equalised_dense(3, 2, gain=0.5, lr_multiplier=0.1, start_bias=7.0)
    params, x = drawn(net), points(5, 3)
    by_hand = 0.1 * (0.5 / np.sqrt(3) * x @ params["kernel"] + params["bias"])
    np.testing.assert_allclose(net.apply(params, x), by_hand, rtol=1e-5)
    started = net.init(jax.random.key(1))
    np.testing.assert_allclose(net.apply(started, jnp.zeros((1, 3)))[0], [7.0, 7.0], rtol=1e-6)


def test_halving_takes_doubling_back_and_smoothing_keeps_lines():
    x = points(2, 4, 6, 3)
    np.testing.assert_array_equal(halved(doubled(x)), x)
    lines = jnp.broadcast_to(jnp.arange(8.0)[:, None, None], (8, 8, 1))
    np.testing.assert_allclose(smoothed(lines)[1:-1, 1:-1], lines[1:-1, 1:-1], rtol=1e-6)
    point = jnp.zeros((5, 5, 1)).at[2, 2].set(16.0)
    taps = np.outer([1, 2, 1], [1, 2, 1])
    np.testing.assert_allclose(smoothed(point)[1:4, 1:4, 0], taps, rtol=1e-6)


def test_what_cannot_be_is_refused():
    with pytest.raises(checks.InputError, match="kernel_size must be odd"):
        equalised_conv(1, 1, kernel_size=2)
    with pytest.raises(checks.InputError, match="resizing must be one of"):
        equalised_conv(1, 1, resizing="half")
    with pytest.raises(checks.InputError, match="even height and width"):
        halved(jnp.zeros((3, 4, 1)))
