"""The affine layer of sequence nets."""

from collections.abc import Callable
from functools import partial

from .. import starts
from ..adapter import linen
from .conditions import of_condition


class Affine(linen.Module):
    """x W + b on the last axis, as one product of matrices [rows, in] and [in, out].

    The gradient of linen.Dense, which multiplies [batch, steps, in] directly, is slower on a CPU.
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable = starts.scaled()

    @linen.compact
    def __call__(self, x):
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = x.reshape(-1, x.shape[-1]) @ kernel
        if self.use_bias:
            y = y + self.param("bias", linen.initializers.zeros, (self.features,))[None]
        return y.reshape(*x.shape[:-1], self.features)


def output_layer(size: int) -> Affine:
    """The last layer, with zero weights at the start."""
    return Affine(size, kernel_init=linen.initializers.zeros)


affine_of_condition = partial(of_condition, layer=Affine)
