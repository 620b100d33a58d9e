import jax
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.nets import efficientnet as module


def shapes(init):
    return jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))


PARAMS = shapes(nets.efficientnet_lite0().init)


def published():
    """Arrays of the published names: kernels of zeros, statistics of ones."""
    made = {"_fc.weight": np.zeros((1000, 1280)), "_fc.bias": np.zeros(1000)}
    for layer in module._layers():
        h, w, i, o = layer.shape
        made[f"{layer.conv}.weight"] = np.zeros((o, i, h, w), np.float16)
        for part in ("weight", "bias", "running_mean", "running_var"):
            made[f"{layer.norm}.{part}"] = np.ones(o, np.float32)
    return made


def test_it_has_the_layers_and_the_parameters_of_the_published_net():
    """4.65 million with γ and β of batch normalisation, which are one bias here."""
    assert len(PARAMS) == 50  # stem, 16 blocks of three (the first has two), head, classifier
    kernels = sum(np.prod(layer["kernel"].shape) for layer in PARAMS.values())
    biases = sum(layer["bias"].shape[0] for layer in PARAMS.values())
    assert kernels + 2 * (biases - 1000) + 1000 == 4_652_008
    assert PARAMS["_blocks.5._depthwise_conv"]["kernel"].shape == (3, 3, 1, 240)


@pytest.mark.parametrize(("output", "dim"), [("features", 1280), ("logits", 1000)])
def test_images_of_any_size_become_features_or_logits(output, dim):
    net = nets.efficientnet_lite0(output=output)
    for shape in ((3, 28, 28, 1), (2, 427, 640, 3)):
        found = jax.eval_shape(net.apply, PARAMS, jax.ShapeDtypeStruct(shape, np.uint8))
        assert found.shape == (shape[0], dim)


def test_batch_normalisation_is_folded_into_kernel_and_bias():
    rng, made = np.random.default_rng(0), published()
    weight = rng.normal(size=(32, 3, 3, 3)).astype(np.float16)
    gain, beta, mean, var = rng.uniform(0.5, 2, size=(4, 32))
    made |= {"_conv_stem.weight": weight, "_bn0.weight": gain, "_bn0.bias": beta}
    params = nets.efficientnet_params(made | {"_bn0.running_mean": mean, "_bn0.running_var": var})
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda a: a.shape, PARAMS)
    patch = rng.normal(size=(3, 3, 3))
    y = (weight.transpose(2, 3, 1, 0) * patch[..., None]).sum((0, 1, 2))
    stem = params["_conv_stem"]
    found = (stem["kernel"] * patch[..., None]).sum((0, 1, 2)) + stem["bias"]
    np.testing.assert_allclose(found, gain * (y - mean) / np.sqrt(var + 1e-3) + beta, rtol=1e-5)


def test_arrays_of_another_net_are_refused():
    with pytest.raises(ValueError, match="arrays must have _conv_stem.weight, _bn0.weight"):
        nets.efficientnet_params({})
    with pytest.raises(ValueError, match="arrays of _fc must be"):
        nets.efficientnet_params(published() | {"_fc.bias": np.zeros(10)})
    with pytest.raises(ValueError, match="output must be one of features, logits"):
        nets.efficientnet_lite0(output="probabilities")
