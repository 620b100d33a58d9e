"""PixelCNN as a density of pictures."""

import pytest

from dgm_jax.autoregressive import pixelcnn
from tests.autoregressive import images


@pytest.mark.full
def test_it_draws_colours_as_it_scores_them_given_a_map():
    images.draws_colours_as_it_scores_them_given_a_map(pixelcnn)


def test_images_of_another_shape_or_kind_are_refused():
    images.refuses_images_of_another_shape_or_kind(pixelcnn)
