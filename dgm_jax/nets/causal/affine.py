"""The affine layer of the nets of sequences."""

from collections.abc import Callable
from functools import partial

from ..adapter import linen
from .conditions import of_condition


class Affine(linen.Module):
    """x W + b on the last axis, as one product of matrices [rows, in] and [in, out].

    linen.Dense multiplies [batch, steps, in] as it is, whose gradient is slower on a CPU.
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable = linen.initializers.lecun_normal()

    @linen.compact
    def __call__(self, x):
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = x.reshape(-1, x.shape[-1]) @ kernel
        if self.use_bias:
            y = y + self.param("bias", linen.initializers.zeros, (self.features,))[None]
        return y.reshape(*x.shape[:-1], self.features)


def output_layer(size: int) -> Affine:
    """The last layer, which starts as zero."""
    return Affine(size, kernel_init=linen.initializers.zeros)


affine_of_condition = partial(of_condition, layer=Affine)
