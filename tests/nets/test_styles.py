"""Pixel norm, AdaIN, noise and the deviation of a minibatch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.nets import adain, add_noise, minibatch_deviation, pixel_norm
from tests.contracts.compiled import jit
from tests.helpers import points


def test_every_pixel_has_a_mean_square_of_one_and_keeps_its_direction():
    x = 5 * points(2, 3, 3, 8)
    y = jit(pixel_norm)(x)
    np.testing.assert_allclose(jnp.square(y).mean(-1), np.ones((2, 3, 3)), rtol=1e-5)
    cosine = (x * y).sum(-1) / jnp.linalg.norm(x, axis=-1) / jnp.linalg.norm(y, axis=-1)
    np.testing.assert_allclose(cosine, np.ones((2, 3, 3)), rtol=1e-5)
    assert jnp.isfinite(jax.grad(lambda x: pixel_norm(x).sum())(jnp.zeros(4))).all()


def test_adain_gives_each_channel_of_each_image_the_mean_and_deviation_of_its_style():
    x = 3 * points(4, 6, 5, 2) + 100
    scale, shift = points(4, 2, seed=2), points(4, 2, seed=3)
    y = jit(adain)(x, scale, shift)
    np.testing.assert_allclose(y.mean((1, 2)), shift, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(y.std((1, 2)), jnp.abs(scale), rtol=1e-4)


def test_a_constant_channel_becomes_its_shift_with_a_finite_gradient():
    flat, one = jnp.full((2, 2, 1), 3.0), jnp.ones(1)
    value, slope = jit(jax.value_and_grad(lambda x: adain(x, one, 2 * one).sum()))(flat)
    np.testing.assert_allclose(value, 8.0)
    assert jnp.isfinite(slope).all()


def test_noise_is_one_number_a_pixel_times_the_strength_of_the_channel():
    x, strength = jnp.zeros((2, 40, 40, 3)), jnp.array([0.0, 1.0, -2.0])
    noise = jit(add_noise)(x, strength, jax.random.key(0))
    np.testing.assert_array_equal(noise[..., 0], x[..., 0])
    np.testing.assert_allclose(noise[..., 2], -2 * noise[..., 1], rtol=1e-6)
    np.testing.assert_allclose(noise[..., 1].std(), 1.0, rtol=0.05)
    assert (noise[0, ..., 1] != noise[1, ..., 1]).mean() > 0.9  # of its own in each image
    np.testing.assert_array_equal(add_noise(x, strength, None), x)


@pytest.mark.parametrize("num, group_size", [(8, 4), (7, 4), (9, 4), (2, 4), (6, None), (1, 4)])
def test_the_deviation_is_that_of_the_group_of_each_image(num, group_size):
    """Groups that do not divide the batch are defined, and so is one image by itself."""
    x = points(num, 2, 3, 4)
    y = jit(minibatch_deviation, static_argnames="group_size")(x, group_size=group_size)
    np.testing.assert_array_equal(y[..., :4], x)
    groups = 1 if group_size is None else max(num // group_size, 1)
    for i in range(num):
        companions = x[i % groups :: groups]
        assert len(companions) > 1 or num == 1
        wanted = np.std(companions, 0).mean()
        np.testing.assert_allclose(y[i, ..., 4], np.full((2, 3), wanted), rtol=1e-3)


def test_equal_images_have_no_deviation_with_finite_derivatives_of_two_orders():
    x = jnp.broadcast_to(points(2, 2, 3), (5, 2, 2, 3))
    deviation = lambda x: minibatch_deviation(x)[..., -1].sum()
    slope = jax.grad(deviation)
    penalty = lambda x: jnp.square(slope(x)).sum()
    value, first, second = jit(lambda x: (deviation(x), slope(x), jax.grad(penalty)(x)))(x)
    assert value == 0
    assert jnp.isfinite(first).all() and jnp.isfinite(second).all()


def test_groups_go_over_the_whole_batch_on_every_layout():
    """Under `pmap` an image is compared with those that other devices hold."""
    x = points(6, 2, 2, 3)
    whole = minibatch_deviation(x)
    ways = [(1, 6), (2, 3)] if jax.device_count() > 1 else [(1, 6)]
    for devices, rows in ways:
        each = jax.pmap(lambda x: minibatch_deviation(x, axis_name="batch"), axis_name="batch")
        spread = each(x.reshape(devices, rows, 2, 2, 3)).reshape(whole.shape)
        np.testing.assert_allclose(spread, whole, rtol=1e-5)
    named = jax.vmap(lambda x: minibatch_deviation(x, axis_name="batch"), axis_name="batch")
    np.testing.assert_allclose(named(x.reshape(3, 2, 2, 2, 3)).reshape(whole.shape), whole, 1e-5)


def test_what_cannot_be_is_refused():
    with pytest.raises(checks.InputError, match="group_size must be"):
        minibatch_deviation(jnp.zeros((2, 2, 2, 1)), group_size=1)
    with pytest.raises(checks.InputError, match="x must be images"):
        minibatch_deviation(jnp.zeros((2, 2)))
    with pytest.raises(checks.InputError, match="one number for each channel"):
        adain(jnp.zeros((2, 2, 3)), jnp.ones(2), jnp.ones(3))
