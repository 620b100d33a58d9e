"""Faults of growing GANs: equalised layers, fade-in, styles, the deviation of a minibatch."""

from tests.faults.planting import Fault

EQUALISED = "dgm_jax/nets/equalised.py"
STYLES = "dgm_jax/nets/styles.py"
GROWING = "dgm_jax/gans/growing.py"
STYLEGAN = "dgm_jax/gans/stylegan.py"

FAULTS = (
    Fault(
        "one-scale-for-every-fan-in",
        "T52: the weights are not divided by √fan_in in use",
        EQUALISED,
        "multiplier * gain / math.sqrt(fan_in)",
        "multiplier * gain",
        "nets/test_equalised.py::test_weights_start_with_one_deviation_and_are_scaled_by_the_fan_in"
        "_in_use",
    ),
    Fault(
        "kernel-that-is-not-turned",
        "T111: the transposed convolution has the kernel as it stands",
        EQUALISED,
        "kernel[::-1, ::-1], 2, 3)",
        "kernel, 2, 3)",
        "nets/test_equalised.py::test_a_resizing_convolution_is_the_plain_one_of_doubled_pixels_or"
        "_its_mean",
    ),
    Fault(
        "adain-over-the-batch",
        "T51: AdaIN takes the statistics of all images together",
        STYLES,
        "numbers - numbers.mean((-3, -2), keepdims=True)",
        "numbers - numbers.mean((0, -3, -2), keepdims=True)",
        "nets/test_styles.py::test_adain_gives_each_channel_of_each_image_the_mean_and_deviation_of"
        "_its_style",
    ),
    Fault(
        "deviation-with-an-infinite-slope",
        "T103: equal images have a deviation whose derivative is that of √0",
        STYLES,
        "root = jnp.sqrt(variance + epsilon)",
        "root = jnp.sqrt(variance)",
        "nets/test_styles.py::test_equal_images_have_no_deviation_with_finite_derivatives_of_two"
        "_orders",
    ),
    Fault(
        "critic-that-does-not-fade",
        "T52: α acts on the generator alone",
        GROWING,
        "h = faded(lambda: read(params, halved(x), s // 2), h, alpha)",
        "h = faded(lambda: read(params, halved(x), s // 2), h, 1.0)",
        "gans/test_progressive.py::test_at_alpha_0_the_game_is_that_of_half_the_size_and_at_1_the"
        "_larger_one",
    ),
    Fault(
        "crossover-one-layer-late",
        "T51: the layer of the crossover still has the first style",
        STYLEGAN,
        "jnp.arange(first.shape[-2]) < jnp.asarray(crossover)",
        "jnp.arange(first.shape[-2]) <= jnp.asarray(crossover)",
        "gans/test_stylegan.py::test_mixed_styles_are_those_of_the_second_from_the_crossover_on",
    ),
    Fault(
        "truncation-towards-zero",
        "T51: ψ shrinks w itself and not its distance to the mean",
        STYLEGAN,
        "mean * (1 - truncation) + truncation * styles",
        "mean * 0 + truncation * styles",
        "gans/test_stylegan.py::test_a_truncation_of_0_is_one_image_and_of_1_changes_nothing",
    ),
)
