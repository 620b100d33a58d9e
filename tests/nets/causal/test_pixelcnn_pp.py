"""PixelCNN++: two streams with short cuts, and dropout."""

from functools import partial

import jax
import numpy as np
import pytest

from dgm_jax.nets import pixelcnn_pp
from tests.nets.causal.laws import (
    check_cost_of_a_picture,
    check_scored_as_made,
    check_starts_at_zero,
    earlier,
    few,
    sees,
)

SMALL = {"hidden": 4, "kernel_size": 3}
make = partial(pixelcnn_pp, **SMALL, num_layers=1)


def test_every_earlier_pixel_is_seen_and_no_other():
    """Two streams leave no blind spot."""
    np.testing.assert_array_equal(sees(make((4, 5, 1)), 20), earlier(20))


@pytest.mark.parametrize("shape", few([(1, 3, 3), (2, 2, 2), (4, 1, 1)], (1, 3, 3)))
def test_pixels_come_in_raster_order_and_the_channels_of_one_last(shape):
    """Red sees no channel of its pixel, green red, blue both; one row or column is a sequence."""
    found = sees(make(shape), int(np.prod(shape)))
    if shape == (2, 2, 2):  # some may be blind in so few layers
        assert not (found & ~earlier(8)).any() and np.diag(found, -1).all()
    else:
        np.testing.assert_array_equal(found, earlier(len(found)))


def test_it_is_scored_as_it_is_made():
    """Under a map beside the picture, with dropout."""
    net = make((2, 3, 2), num_outputs=2, cond_shape=(2, 3, 2), dropout=0.3)
    check_scored_as_made(net, 12, key=jax.random.key(1))


def test_a_sample_costs_the_products_of_one_pass():
    check_cost_of_a_picture(pixelcnn_pp, **SMALL)


def test_it_starts_as_zero():
    check_starts_at_zero(partial(make, num_layers=1))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_layers": 0}, "num_layers must be an integer of at least 1; got 0"),
        ({"hidden": (8, 8)}, "hidden must be an integer"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make((2, 2, 1), **options)
    with pytest.raises(ValueError, match=r"shape must be \(height, width, channels\); got"):
        make((8, 8))


def test_an_option_that_is_misspelt_is_refused_by_the_function_that_was_called():
    with pytest.raises(
        TypeError, match=r"^pixelcnn_pp\(\) .* argument 'hiden'. Did you mean 'hidden'\?"
    ):
        pixelcnn_pp((2, 2, 1), hiden=3)
