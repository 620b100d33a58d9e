import sys

import jax
import numpy as np
import pytest

from dgm_jax import nets


def shapes(init):
    return jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))


PARAMS = shapes(nets.inception().init)
MODULE = sys.modules[nets.inception.__module__]  # of the same name as the function


def test_it_has_the_94_convolutions_of_the_published_graph_without_its_classifier():
    assert len(PARAMS) == 94
    assert sum(np.prod(layer["kernel"].shape) for layer in PARAMS.values()) == 21_751_136
    assert PARAMS["mixed_4.tower_1.conv_4"]["kernel"].shape == (1, 7, 128, 192)
    assert PARAMS["mixed_10.tower_1_conv_1"]["kernel"].shape == (3, 3, 448, 384)


@pytest.mark.parametrize("shape", [(5, 32, 32, 3), (2, 28, 28, 1), (1, 427, 640, 3)])
def test_images_of_any_size_become_2048_features(shape):
    found = jax.eval_shape(nets.inception().apply, PARAMS, jax.ShapeDtypeStruct(shape, np.uint8))
    assert found.shape == (shape[0], MODULE.DIM) and found.dtype == np.float32


def test_each_resized_row_is_between_the_rows_at_i_times_the_scale():
    """TensorFlow 1: the first row stays the first, and the last repeats."""
    ramp = MODULE._bilinear(4, 8) @ np.arange(4.0)
    np.testing.assert_allclose(ramp, [0, 0.5, 1, 1.5, 2, 2.5, 3, 3])
    np.testing.assert_allclose(MODULE._bilinear(10, 4) @ np.arange(10.0), [0, 2.5, 5, 7.5])
    for num in (28, 299, 640):
        weights = MODULE._bilinear(num, 299)
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(MODULE._bilinear(299, 299), np.eye(299))


def test_a_mean_over_pixels_leaves_out_those_beyond_the_border():
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 1)).astype(np.float32)
    found = np.asarray(MODULE._mean_pool(x))
    np.testing.assert_allclose(found[0, 0, 0], x[0, :2, :2].mean(), rtol=1e-5)
    np.testing.assert_allclose(found[0, 1, 2], x[0, 0:3, 1:4].mean(), rtol=1e-5)
    np.testing.assert_allclose(MODULE._mean_pool(np.ones((1, 3, 3, 2), np.float32)), 1, rtol=1e-6)


def test_batch_normalisation_is_folded_into_kernel_and_bias():
    rng = np.random.default_rng(0)
    made = {}
    for name, layer in PARAMS.items():
        h, w, i, o = layer["kernel"].shape
        made[f"{name}.weight"] = np.zeros((o, i, h, w), np.float16)
        made |= {f"{name}.{part}": np.ones(o, np.float32) for part in ("beta", "mean", "var")}
    weight = rng.normal(size=(32, 3, 3, 3)).astype(np.float16)
    beta, mean, var = rng.uniform(0.5, 2, size=(3, 32))
    made |= {"conv.weight": weight, "conv.beta": beta, "conv.mean": mean, "conv.var": var}
    params = nets.inception_params(made)
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda a: a.shape, PARAMS)
    patch = rng.normal(size=(3, 3, 3))
    y = (weight.transpose(2, 3, 1, 0) * patch[..., None]).sum((0, 1, 2))
    wanted = (y - mean) / np.sqrt(var + 1e-3) + beta
    found = (params["conv"]["kernel"] * patch[..., None]).sum((0, 1, 2)) + params["conv"]["bias"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    with pytest.raises(ValueError, match=r"arrays must have mixed_3\.conv\.beta"):
        nets.inception_params({k: v for k, v in made.items() if k != "mixed_3.conv.beta"})
    with pytest.raises(ValueError, match=r"arrays of conv_1 must make a kernel \(3, 3, 32, 32\)"):
        nets.inception_params(made | {"conv_1.weight": weight})


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match=r"x must be pictures \[n, height, width, channels\]"):
        nets.inception().apply({}, np.zeros((2, 28, 28)))
