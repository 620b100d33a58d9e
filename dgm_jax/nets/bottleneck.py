"""Bottleneck blocks of deep hierarchical VAEs, and stacks of dense layers of the same form."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Net
from . import starts
from .adapter import Conv, Dense, from_linen, linen


class Bottleneck(linen.Module):
    """The linen module of `bottleneck`."""

    features: Sequence[int]
    kernels: Sequence[int]
    activation: Callable
    first_activated: bool
    last_scale: float
    dropout: float

    @linen.compact
    def __call__(self, *inputs, deterministic=True):
        tail = max((x.shape[-3:] for x in inputs), key=len)[:-1] if max(self.kernels) > 1 else ()
        front = jnp.broadcast_shapes(*(x.shape[: -1 - len(tail)] for x in inputs))
        x = jnp.concatenate([jnp.broadcast_to(x, (*front, *tail, x.shape[-1])) for x in inputs], -1)
        for i, (width, kernel) in enumerate(zip(self.features, self.kernels)):
            if i or self.first_activated:
                x = self.activation(x)
            if i == len(self.features) - 1:
                x = linen.Dropout(self.dropout, deterministic=deterministic)(x)
                init = _scaled(self.last_scale)
            else:
                init = starts.scaled()
            if kernel == 1:  # a product of matrices, also of images
                x = Dense(width, kernel_init=init)(x)
            else:
                x = Conv(width, (kernel, kernel), kernel_init=init)(x)
        return x


@checks.spelled
def bottleneck(
    in_dims: int | Sequence[int],
    out_dim: int,
    *,
    hidden: Sequence[int] = (),
    kernels: Sequence[int] | None = None,
    activation: Callable = jax.nn.silu,
    first_activated: bool = True,
    last_scale: float = 1.0,
    dropout: float = 0.0,
) -> Net:
    """f(x, c, ...) = A_n s(... s(A_1 s([x, c, ...]))): affine layers or convolutions A_i.

        block = bottleneck(64, 64, hidden=(16, 16, 16), kernels=(1, 3, 3, 1))   # Child (2021)

    in_dims: the channels of each input, or of the only one, which are concatenated: vectors [...,
        in_dim], or images [..., H, W, in_dim] of any size. A vector beside images has axes of
        length 1 in place of H and W
    out_dim: the channels of the output
    hidden: the channels after each A_i but the last
    kernels: the side of each kernel, one more than `hidden`; all 1 by default, which is a product
        of matrices at each pixel
    activation: s
    first_activated: whether s comes before A_1 too, as in residual blocks h + f(h)
    last_scale: factor of the initial weights of A_n. With 1/√n in each of n residual blocks their
        sum keeps its scale; 0 starts as f = 0
    dropout: the fraction of the inputs of A_n set to 0 if `apply` gets a key

    Raises InputError for inputs of other widths. Child (2021), "Very deep VAEs generalize
    autoregressive models", sections 4.1 and 4.2.
    """
    dims = checks.sample_shape(in_dims, "in_dims")
    if not dims:
        raise checks.InputError("in_dims must name at least one input; got ().")
    features = (*checks.widths(hidden), checks.positive_int(out_dim, "out_dim"))
    kernels = (1,) * len(features) if kernels is None else checks.widths(kernels, "kernels")
    if len(kernels) != len(features):
        raise checks.InputError(
            f"kernels must be {len(features)}, one more than hidden; got {kernels}."
        )
    checks.function(activation, "activation")
    module = Bottleneck(
        features,
        kernels,
        activation,
        checks.flag(first_activated, "first_activated"),
        checks.not_negative(last_scale, "last_scale"),
        checks.rate(dropout, "dropout"),
    )
    front = (1, 1) if max(kernels) > 1 else ()
    net = from_linen(module, *((*front, dim) for dim in dims))

    def apply(params, *inputs, key=None):
        for x in inputs:
            checks.array(x, "each input")
        widths = tuple(x.shape[-1] if jnp.ndim(x) > len(front) else None for x in inputs)
        if widths != dims:
            raise checks.InputError(f"the inputs must have widths {dims}; got {widths}.")
        return net.apply(params, *inputs, key=key)

    return Net(net.init, apply)


def _scaled(factor):
    """lecun_normal by a factor."""
    if not factor:
        return linen.initializers.zeros
    return starts.scaled(factor**2)
