"""Faults of nets of images: convolutions, their transposes, normalisation."""

from tests.faults.planting import Fault

UPSAMPLING = "dgm_jax/nets/upsampling.py"
NORM = "dgm_jax/nets/norm.py"
IMAGES = "dgm_jax/nets/images.py"
DERIVATIVES = "nets/test_upsampling.py::test_values_and_all_derivatives_are_those_of_autodiff"

FAULTS = (
    Fault(
        "kernel-gradient-of-exchanged-images",
        "T111: the transpose of `up` in its kernel takes the large image for the small one",
        UPSAMPLING,
        "_kernel.bind(g, y, taps=w.aval.shape[:2], **of)",
        "_kernel.bind(y, g, taps=w.aval.shape[:2], **of)",
        DERIVATIVES,
    ),
    Fault(
        "same-padding-before",
        "T111: where the zeros of SAME are odd, the odd one comes first",
        UPSAMPLING,
        "(zeros // 2, zeros - zeros // 2)",
        "(zeros - zeros // 2, zeros // 2)",
        DERIVATIVES,
    ),
    Fault(
        "vmap-joins-the-wrong-axis",
        "a batch that `vmap` maps over is not the first axis of what is folded",
        UPSAMPLING,
        "a = jnp.moveaxis(args[0], axes[0], 0)",
        "a = jnp.moveaxis(args[0], axes[0], 1)",
        "nets/test_upsampling.py::test_any_batch_axes_and_vmap_over_either_argument",
    ),
    Fault(
        "adjoint-everywhere",
        "platforms on which nothing was measured do not get the form that JAX makes",
        UPSAMPLING,
        '"adjoint" if platform in ADJOINT_ON else "plain"',
        '"adjoint"',
        "nets/test_upsampling.py::test_a_platform_without_a_measurement_gets_the_plain_form",
    ),
    Fault(
        "variance-without-its-factor",
        "the derivative of a variance lacks its 2",
        NORM,
        "by_variance = 2 * _mean(",
        "by_variance = _mean(",
        "nets/test_norm.py::test_values_and_two_derivatives_are_those_of_the_layer_of_flax",
    ),
    Fault(
        "kernels-that-start-too-small",
        "a pixel meets a quarter of the taps, so each stage of a decoder halves the numbers",
        IMAGES,
        "return 2 * jnp.swapaxes(drawn, -1, -2)",
        "return jnp.swapaxes(drawn, -1, -2)",
        "nets/test_images.py::test_the_scale_of_the_numbers_stays_through_the_stages",
    ),
)
