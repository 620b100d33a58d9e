"""PixelSNAIL as a density of pictures."""

from dgm_jax.autoregressive import pixelsnail
from tests.autoregressive import images


def test_it_draws_colours_as_it_scores_them_given_a_map():
    images.draws_colours_as_it_scores_them_given_a_map(pixelsnail)


def test_images_of_another_shape_or_kind_are_refused():
    images.refuses_images_of_another_shape_or_kind(pixelsnail)
