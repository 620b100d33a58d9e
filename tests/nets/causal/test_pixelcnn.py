"""PixelCNN: masked convolutions, and their blind spot."""

from functools import partial

import numpy as np
import pytest

from dgm_jax.nets import pixelcnn
from tests.nets.causal.laws import (
    check_cost_of_a_picture,
    check_scored_as_made,
    check_starts_at_zero,
    earlier,
    few,
    sees,
)

SMALL = {"hidden": 4, "kernel_size": 3}
make = partial(pixelcnn, **SMALL, first_kernel_size=3, num_layers=4)


in_full = partial(pytest.param, marks=pytest.mark.full)


@pytest.mark.parametrize(
    "first, later, missed", [in_full(3, 3, 4 + 3 + 2), in_full(7, 3, 2 + 1), (3, 5, 4 + 2)]
)
def test_it_misses_the_triangles_above_to_the_right(first, later, missed):
    """It sees first // 2 columns right in the row above, and k // 2 more of a row further up."""
    height, width = 4, 6
    row, column = np.divmod(np.arange(height * width), width)
    up = row[:, None] - row
    blind = (up > 0) & (column - column[:, None] > first // 2 + (up - 1) * (later // 2))
    sizes = {"first_kernel_size": first, "kernel_size": later, "num_layers": 6, "hidden": 8}
    found = sees(pixelcnn((height, width, 1), **sizes), height * width)
    np.testing.assert_array_equal(found, earlier(height * width) & ~blind)
    pixel = 3 * width  # the first of the last row, and what it misses in the rows 1, 2 and 3 up
    assert (earlier(height * width) & ~found)[pixel].sum() == missed


@pytest.mark.parametrize("shape", few([(1, 3, 3), (2, 2, 2), (4, 1, 1)], (1, 3, 3), (2, 2, 2)))
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


def test_a_sample_costs_the_products_of_one_pass():
    check_cost_of_a_picture(pixelcnn, **SMALL)


def test_it_starts_as_zero():
    check_starts_at_zero(partial(make, num_layers=1))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kernel_size": 4}, "kernel_size must be odd, to have a middle; got 4"),
        ({"cond_shape": (-1,)}, "each entry of cond_shape"),
        ({"cond_shape": (2, 1)}, r"cond_shape must be \(n,\), .* \(2, 2, n\), one for each"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make((2, 2, 1), **options)
    with pytest.raises(ValueError, match=r"shape must be \(height, width, channels\); got"):
        make((8, 8))


def test_an_option_that_is_misspelt_is_refused_by_the_function_that_was_called():
    with pytest.raises(
        TypeError, match=r"^pixelcnn\(\) .* argument 'hiden'. Did you mean 'hidden'\?"
    ):
        pixelcnn((2, 2, 1), hiden=3)
