"""EfficientNet-Lite0, a small ImageNet classifier: image ↦ features, or logits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..protocol import Array, Key, Net, Params
from .inception import EPSILON, folded, pictures, published

SIZE = 224
DIM, CLASSES = 1280, 1000
STAGES = (  # repeats, kernel, stride, expansion, width
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Layer(NamedTuple):
    """The published names of a convolution and its batch normalisation."""

    conv: str
    norm: str
    kernel: int
    inputs: int
    width: int
    stride: int = 1
    depthwise: bool = False
    activated: bool = True

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (self.kernel, self.kernel, 1 if self.depthwise else self.inputs, self.width)


def efficientnet_lite0(*, output: str = "features") -> Net:
    """f(x): images [n, H, W, 3] in 0..255 -> features [n, 1280], or logits [n, 1000] of ImageNet.

    Images of any size are resized to 224×224 bilinearly. The net consists of inverted residual
    blocks (wide inside, narrow between) without squeeze-and-excitation, with ReLU6 activations.
    params = {layer: {"kernel", "bias"}}, with batch normalisation folded in, so there is no state.
    `init` draws them at random; `efficientnet_params` converts the published weights.

    output: "features", the mean over pixels of the last convolution, for a Fréchet distance (not
    the FID) or neighbours; "logits" for `metrics.inception_score`. Cost: 4 · 10⁸ multiplications
    per image, a fourteenth of FID's Inception. Tan and Le (2019), "EfficientNet"; the Lite variants
    are by Google (2020).
    """
    checks.choice(output, ("features", "logits"), "output")

    def init(key: Key) -> Params:
        checks.key(key)
        *keys, last = jax.random.split(key, len(_layers()) + 1)
        made = {}
        for k, layer in zip(keys, _layers(), strict=True):
            scale = np.sqrt(2 / np.prod(layer.shape[:3]))
            kernel = scale * jax.random.normal(k, layer.shape)
            made[layer.conv] = {"kernel": kernel, "bias": jnp.zeros(layer.width)}
        kernel = jax.random.normal(last, (DIM, CLASSES)) / np.sqrt(DIM)
        return made | {"_fc": {"kernel": kernel, "bias": jnp.zeros(CLASSES)}}

    def apply(params: Params, x: Array, *, key: Key | None = None) -> Array:
        x = pictures(x)
        x = jax.image.resize(x, (len(x), SIZE, SIZE, 3), "bilinear")
        x = _features(params, (x - 127) / 128)
        if output == "features":
            return x
        return jnp.dot(x, params["_fc"]["kernel"], precision="highest") + params["_fc"]["bias"]

    return Net(init, apply)


def efficientnet_params(arrays: dict[str, np.ndarray]) -> Params:
    """The params of `efficientnet_lite0`, {layer: {"kernel", "bias"}}, from the published weights.

    arrays: {name: array} of numpy, with for each convolution NAME.weight [out, in, h, w]; for each
        batch normalisation γ (y - mean) / √(var + 10⁻³) + β its weight (γ), bias (β), running_mean
        and running_var, [out] each, which are folded into the convolution before it; and _fc.weight
        [1000, 1280], _fc.bias [1000]. A missing or misshapen array raises InputError with its name;
        others are ignored

    The names are those of the PyTorch conversion, such as _blocks.0._depthwise_conv.weight.
    """
    arrays = checks.mapping(arrays, "arrays")
    made = {}
    for layer in _layers():
        parts = ("weight", "bias", "running_mean", "running_var")
        names = [f"{layer.conv}.weight", *(f"{layer.norm}.{part}" for part in parts)]
        weight, gain, beta, mean, var = published(arrays, names)
        scale = gain / np.sqrt(var + EPSILON)
        made[layer.conv] = folded(weight, scale, beta - mean * scale, layer.shape, layer.conv)
    weight, bias = published(arrays, ["_fc.weight", "_fc.bias"])
    if weight.shape != (CLASSES, DIM) or bias.shape != (CLASSES,):
        raise checks.InputError(
            f"arrays of _fc must be {(CLASSES, DIM)} and {(CLASSES,)}; got {weight.shape} and "
            f"{bias.shape}."
        )
    return made | {"_fc": {"kernel": np.float32(weight.T), "bias": np.float32(bias)}}


def _blocks() -> list[list[Layer]]:
    """Each an expansion (but in the first), a depthwise convolution and a projection."""
    blocks, inputs = [], 32
    for repeats, kernel, stride, expansion, width in STAGES:
        for i in range(repeats):
            name, inner = f"_blocks.{len(blocks)}", inputs * expansion
            wide = Layer(f"{name}._expand_conv", f"{name}._bn0", 1, inputs, inner)
            deep = Layer(
                f"{name}._depthwise_conv",
                f"{name}._bn1",
                kernel,
                inner,
                inner,
                stride=1 if i else stride,
                depthwise=True,
            )
            narrow = Layer(
                f"{name}._project_conv", f"{name}._bn2", 1, inner, width, activated=False
            )
            blocks.append([wide] * (expansion > 1) + [deep, narrow])
            inputs = width
    return blocks


def _ends() -> tuple[Layer, Layer]:
    return Layer("_conv_stem", "_bn0", 3, 3, 32, stride=2), Layer("_conv_head", "_bn1", 1, 320, DIM)


def _layers() -> list[Layer]:
    stem, head = _ends()
    return [stem, *(layer for block in _blocks() for layer in block), head]


def _features(params, x):
    stem, head = _ends()
    x = _conv(params, stem, x)
    for block in _blocks():
        y = x
        for layer in block:
            y = _conv(params, layer, y)
        x = x + y if x.shape == y.shape else y
    return _conv(params, head, x).mean((1, 2))


def _conv(params, layer, x):
    """With TensorFlow's padding: the extra pixel is at the end."""
    y = jax.lax.conv_general_dilated(
        x,
        params[layer.conv]["kernel"],
        (layer.stride, layer.stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=layer.inputs if layer.depthwise else 1,
    )
    y = y + params[layer.conv]["bias"]
    return jax.nn.relu6(y) if layer.activated else y
