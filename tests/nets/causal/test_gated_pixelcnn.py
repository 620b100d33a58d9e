"""Gated PixelCNN: two stacks, and no blind spot."""

from functools import partial

import jax
import numpy as np
import pytest

from dgm_jax.nets import gated_pixelcnn
from tests.contracts.compiled import jit
from tests.nets.causal.laws import (
    check_cost_of_a_picture,
    check_scored_as_made,
    check_starts_at_zero,
    drawn,
    earlier,
    few,
    numbers,
    sees,
)

SMALL = {"hidden": 4, "kernel_size": 3}
make = partial(gated_pixelcnn, **SMALL, first_kernel_size=3, num_layers=5)


def test_every_earlier_pixel_is_seen_and_no_other():
    """Two stacks leave no blind spot."""
    np.testing.assert_array_equal(sees(make((4, 5, 1)), 20), earlier(20))


def test_a_layer_of_two_stacks_sees_half_a_kernel_further_up_and_to_the_sides():
    """The first 2 pixels, of a kernel of 5, the second one more."""
    found = sees(make((6, 8, 1), num_layers=2, first_kernel_size=5), 48)
    row, column = np.divmod(np.arange(6 * 8), 8)
    up, aside = row[:, None] - row, column - column[:, None]
    above = (up >= 1) & (up <= 3) & (abs(aside) <= 3)
    np.testing.assert_array_equal(found, above | (up == 0) & (aside >= -3) & (aside <= -1))


@pytest.mark.parametrize("shape", few([(1, 3, 3), (2, 2, 2), (4, 1, 1)], (1, 3, 3)))
def test_pixels_come_in_raster_order_and_the_channels_of_one_last(shape):
    """Red sees no channel of its pixel, green red, blue both; one row or column is a sequence."""
    found = sees(make(shape), int(np.prod(shape)))
    if shape == (2, 2, 2):  # some may be blind in so few layers
        assert not (found & ~earlier(8)).any() and np.diag(found, -1).all()
    else:
        np.testing.assert_array_equal(found, earlier(len(found)))


def test_it_is_scored_as_it_is_made():
    """Under a map beside the picture."""
    net = make((2, 3, 2), num_outputs=2, cond_shape=(2, 3, 2))
    check_scored_as_made(net, 12)


def test_a_map_beside_the_picture_is_seen_by_the_rows():
    """Through the vertical stack a pixel answers to its row of the map and to those above."""
    net = make((3, 4, 1), num_layers=3, cond_shape=(3, 4, 1))
    params, x = drawn(net), numbers(12)
    jacobian = jit(jax.jacfwd(lambda c: net.apply(params, x, c)))(numbers(3, 4, 1))
    moves = np.abs(np.asarray(jacobian)).reshape(12, 12) > 0  # [pixel, pixel of the map]
    np.testing.assert_array_equal(moves.reshape(3, 4, 3, 4).any((1, 3)), np.tri(3, dtype=bool))
    assert moves[8, 9]  # in the same row, to the right


def test_a_sample_costs_the_products_of_one_pass():
    check_cost_of_a_picture(gated_pixelcnn, **SMALL)


def test_it_starts_as_zero():
    check_starts_at_zero(partial(make, num_layers=1))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"first_kernel_size": 1}, "first_kernel_size must be an integer of at"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make((2, 2, 1), **options)
    with pytest.raises(ValueError, match=r"shape must be \(height, width, channels\); got"):
        make((8, 8))


def test_an_option_that_is_misspelt_is_refused_by_the_function_that_was_called():
    with pytest.raises(
        TypeError, match=r"^gated_pixelcnn\(\) .* argument 'hiden'. Did you mean 'hidden'\?"
    ):
        gated_pixelcnn((2, 2, 1), hiden=3)
