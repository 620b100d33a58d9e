"""Linear layers whose weights may be divided by their largest singular value.

`train` says whether to update the singular vectors, as in `nets.stateful`.
"""

from collections.abc import Callable

from ..protocol import Array
from . import starts
from .adapter import linen
from .resampling import nearest_conv, pooled_conv
from .spectral import SpectralNorm
from .upsampling import down_conv

RESAMPLING = {"up": nearest_conv, "down": pooled_conv}


class Linear(linen.Module):
    """x W + b: [..., in] -> [..., out]; spectral: W is divided by σ̂(W) (`SpectralNorm`)."""

    features: int
    spectral: bool = False
    use_bias: bool = True
    kernel_init: Callable = starts.scaled()

    @linen.compact
    def __call__(self, x, train):
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        if self.spectral:
            kernel = SpectralNorm()(kernel, train)
        return _with_bias(self, x @ kernel)


class Convolution(linen.Module):
    """conv(x, w) + b with a k×k kernel; spectral: w is divided by σ̂ of [k k in, out].

    resample: "up" doubles the image before the convolution (`nearest_conv`), "down" averages its
    result over 2×2 pixels (`pooled_conv`); None keeps the size, divided by `stride`.
    """

    features: int
    taps: int = 3
    stride: int = 1
    resample: str | None = None
    spectral: bool = False
    use_bias: bool = True
    kernel_init: Callable = starts.scaled()

    @linen.compact
    def __call__(self, x, train):
        shape = (self.taps, self.taps, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        if self.spectral:
            kernel = SpectralNorm()(kernel, train)
        if self.resample is None:
            return _with_bias(self, down_conv(x, kernel, stride=self.stride))
        return _with_bias(self, RESAMPLING[self.resample](x, kernel))


def _with_bias(module, y: Array) -> Array:
    if not module.use_bias:
        return y
    bias = module.param("bias", linen.initializers.zeros, (module.features,))
    return y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
