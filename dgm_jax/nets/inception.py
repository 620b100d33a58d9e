"""The Inception network of the FID, image ↦ features: the version of 2015-12-05."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..protocol import Array, Key, Net, Params

SIZE = 299  # of the pictures it was trained on
EPSILON = 1e-3  # beside the variance in its batch normalisations
DIM = 2048


def inception() -> Net:
    """f(x): images [n, H, W, 3] in 0..255 -> features [n, 2048], all non-negative.

    The Inception net by which the Fréchet Inception distance (FID) is defined. Images of any size
    are resized to 299×299 as in TensorFlow 1, which is part of the definition of the FID:
    bilinearly, row i from row i·H/299, which does not align the centres of pixels. Grey images [n,
    H, W, 1] are repeated over the channels; other shapes raise InputError. The features are the
    mean over pixels of the last layer before the classifier.

    params = {layer: {"kernel", "bias"}}, with batch normalisation folded in, so there is no state.
    `init` draws them at random; `inception_params` converts the published weights. Computed in
    float32.

    Cost: 5.7 · 10⁹ multiplications per image. Szegedy et al. (2016), "Rethinking the Inception
    architecture"; Heusel et al. (2017), "GANs trained by a two time-scale update rule", for the
    distance.
    """

    def init(key: Key) -> Params:
        checks.key(key)
        shapes = _shapes()
        keys = jax.random.split(key, len(shapes))
        return {name: _drawn(k, shapes[name]) for name, k in zip(shapes, keys, strict=True)}

    def apply(params: Params, x: Array, *, key: Key | None = None) -> Array:
        x = _resized(pictures(x), SIZE)
        return _graph((x - 128) / 128, lambda name, *args: _conv(params[name], *args))

    return Net(init, apply)


def inception_params(arrays: dict[str, np.ndarray]) -> Params:
    """The params of `inception`, {layer: {"kernel", "bias"}}, from the published weights.

    arrays: {name: array} of numpy, with for each layer NAME.weight [out, in, h, w] and NAME.beta,
        .mean and .var [out]; other names are ignored. A missing or misshapen array raises
        InputError with its name

    Batch normalisation (y - mean) / √(var + 10⁻³) + beta of y = W * x is a convolution by W /
    √(...) with a bias, so its arrays become part of kernel [h, w, in, out] and bias [out], in
    float32.
    """
    arrays = checks.mapping(arrays, "arrays")
    made = {}
    for name, shape in _shapes().items():
        parts = [f"{name}.{part}" for part in ("weight", "beta", "mean", "var")]
        weight, beta, mean, var = published(arrays, parts)
        scale = 1 / np.sqrt(var + EPSILON)
        made[name] = folded(weight, scale, beta - mean * scale, shape, name)
    return made


def published(arrays: dict[str, np.ndarray], names: list[str]) -> list[np.ndarray]:
    """Arrays by name, in float64."""
    if missing := [name for name in names if name not in arrays]:
        raise checks.InputError(f"arrays must have {', '.join(missing)}, as the published ones do.")
    return [np.asarray(arrays[name], np.float64) for name in names]


def folded(
    weight: np.ndarray, scale: np.ndarray, bias: np.ndarray, shape: tuple[int, ...], name: str
) -> Params:
    """{"kernel" [h, w, in, out], "bias"} of a weight [out, in, h, w] times scale [out].

    bias: [out]; shape: the expected shape of the weight; name: its layer, for errors.
    """
    kernel = weight.transpose(2, 3, 1, 0)
    if kernel.shape != shape or bias.shape != shape[-1:]:
        raise checks.InputError(
            f"arrays of {name} must make a kernel {shape}; got {kernel.shape} and {bias.shape}."
        )
    return {"kernel": np.float32(kernel * scale), "bias": np.float32(bias)}


def pictures(x: Array) -> Array:
    """Images with 1 or 3 channels as [n, H, W, 3] in float32."""
    checks.array(x, "x")
    if jnp.ndim(x) != 4 or x.shape[-1] not in (1, 3):
        raise checks.InputError(
            f"x must be pictures [n, height, width, channels], 1 or 3 of them; got {jnp.shape(x)}."
        )
    return jnp.broadcast_to(jnp.asarray(x, jnp.float32), (*x.shape[:3], 3))


def _resized(x, size):
    """Rows by a matrix, then columns: row i is at i·H/size, between the two rows beside it."""
    rows, columns = (jnp.asarray(_bilinear(n, size)) for n in x.shape[1:3])
    x = jnp.einsum("ih,nhwc->niwc", rows, x, precision="highest")
    return jnp.einsum("jw,niwc->nijc", columns, x, precision="highest")


def _bilinear(num, size) -> np.ndarray:
    """[size, num], the weights of the given rows in each made one."""
    at = np.arange(size) * (num / size)
    low = np.floor(at).astype(int)
    weights = np.zeros((size, num), np.float32)
    np.add.at(weights, (np.arange(size), low), 1 - (at - low))
    np.add.at(weights, (np.arange(size), np.minimum(low + 1, num - 1)), at - low)
    return weights


# ------------------------------------------------------------------ the graph, by published names
def _graph(x, conv: Callable) -> Array:
    """conv(name, x, width, kernel, stride, padding) is a convolution, its bias and a ReLU."""
    x = conv("conv", x, 32, (3, 3), 2, "VALID")
    x = conv("conv_1", x, 32, (3, 3), 1, "VALID")
    x = _max_pool(conv("conv_2", x, 64, (3, 3), 1, "SAME"))
    x = conv("conv_3", x, 80, (1, 1), 1, "VALID")
    x = _max_pool(conv("conv_4", x, 192, (3, 3), 1, "VALID"))
    for name, pooled in (("mixed", 32), ("mixed_1", 64), ("mixed_2", 64)):
        x = _squares(name, x, conv, pooled)
    x = _down("mixed_3", x, conv)
    for name, width in (("mixed_4", 128), ("mixed_5", 160), ("mixed_6", 160), ("mixed_7", 192)):
        x = _lines(name, x, conv, width)
    x = _down_again("mixed_8", x, conv)
    x = _crosses("mixed_9", x, conv, _mean_pool)
    x = _crosses("mixed_10", x, conv, lambda x: _max_pool(x, 1, "SAME"))
    return x.mean((1, 2))


def _tower(name, x, conv, *layers):
    """Convolutions in a row: conv, conv_1, conv_2, ... of (width, kernel[, stride])."""
    for i, (width, kernel, *stride) in enumerate(layers):
        suffix = f"_{i}" if i else ""
        padding = "VALID" if stride else "SAME"
        x = conv(f"{name}.conv{suffix}", x, width, kernel, *(stride or [1]), padding)
    return x


def _squares(name, x, conv, pooled):
    """35×35 pixels: kernels of 1, 5, and twice 3."""
    parts = [
        _tower(name, x, conv, (64, (1, 1))),
        _tower(f"{name}.tower", x, conv, (48, (1, 1)), (64, (5, 5))),
        _tower(f"{name}.tower_1", x, conv, (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
        _tower(f"{name}.tower_2", _mean_pool(x), conv, (pooled, (1, 1))),
    ]
    return jnp.concatenate(parts, -1)


def _down(name, x, conv):
    """35×35 -> 17×17."""
    parts = [
        _tower(name, x, conv, (384, (3, 3), 2)),
        _tower(f"{name}.tower", x, conv, (64, (1, 1)), (96, (3, 3)), (96, (3, 3), 2)),
        _max_pool(x),
    ]
    return jnp.concatenate(parts, -1)


def _lines(name, x, conv, width):
    """17×17 pixels: a kernel of 7×7 as a row and a column."""
    row, column = (width, (1, 7)), (width, (7, 1))
    first = (width, (1, 1))
    parts = [
        _tower(name, x, conv, (192, (1, 1))),
        _tower(f"{name}.tower", x, conv, first, row, (192, (7, 1))),
        _tower(f"{name}.tower_1", x, conv, first, column, row, column, (192, (1, 7))),
        _tower(f"{name}.tower_2", _mean_pool(x), conv, (192, (1, 1))),
    ]
    return jnp.concatenate(parts, -1)


def _down_again(name, x, conv):
    """17×17 -> 8×8."""
    first, row, column = (192, (1, 1)), (192, (1, 7)), (192, (7, 1))
    parts = [
        _tower(f"{name}.tower", x, conv, first, (320, (3, 3), 2)),
        _tower(f"{name}.tower_1", x, conv, first, row, column, (192, (3, 3), 2)),
        _max_pool(x),
    ]
    return jnp.concatenate(parts, -1)


def _crosses(name, x, conv, pool):
    """8×8 pixels: a row and a column side by side, twice. mixed_10 pools by the maximum: an error
    of the graph of 2015, and a part of FID's definition."""
    same = lambda layer, x, width, kernel: conv(f"{name}.{layer}", x, width, kernel, 1, "SAME")
    a = same("tower_conv", x, 384, (1, 1))
    b = same("tower_1_conv_1", same("tower_1_conv", x, 448, (1, 1)), 384, (3, 3))
    parts = [
        same("conv", x, 320, (1, 1)),
        same("tower_mixed_conv", a, 384, (1, 3)),
        same("tower_mixed_conv_1", a, 384, (3, 1)),
        same("tower_1_mixed_conv", b, 384, (1, 3)),
        same("tower_1_mixed_conv_1", b, 384, (3, 1)),
        same("tower_2_conv", pool(x), 192, (1, 1)),
    ]
    return jnp.concatenate(parts, -1)


# ------------------------------------------------------------------------------------ its parts
def _conv(params, x, width, kernel, stride, padding):
    y = jax.lax.conv_general_dilated(
        x,
        params["kernel"],
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jax.nn.relu(y + params["bias"])


def _max_pool(x, stride=2, padding="VALID"):
    strides = (1, stride, stride, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), strides, padding)


def _mean_pool(x):
    """Over 3×3 pixels, of which those outside do not count."""
    sums = lambda a: jax.lax.reduce_window(a, 0.0, jax.lax.add, (1, 3, 3, 1), (1,) * 4, "SAME")
    return sums(x) / sums(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


def _shapes() -> dict[str, tuple[int, int, int, int]]:
    """The kernels [h, w, in, out] that the graph asks for, in its order."""
    shapes = {}

    def conv(name, x, width, kernel, stride, padding):
        shapes[name] = (*kernel, x.shape[-1], width)
        params = {"kernel": jnp.zeros(shapes[name]), "bias": jnp.zeros(width)}
        return _conv(params, x, width, kernel, stride, padding)

    jax.eval_shape(lambda x: _graph(x, conv), jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32))
    return shapes


def _drawn(key, shape):
    """He et al. (2015): variances stay the same through ReLUs."""
    scale = np.sqrt(2 / np.prod(shape[:3]))
    return {"kernel": scale * jax.random.normal(key, shape), "bias": jnp.zeros(shape[-1])}
