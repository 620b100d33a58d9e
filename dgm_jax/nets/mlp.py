"""The multilayer perceptron."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Net
from .adapter import Dense, from_linen, linen


class MLP(linen.Module):
    """Dense layers with an activation between; several inputs are concatenated on the last axis."""

    features: Sequence[int]
    activation: Callable
    zero_last: bool
    dropout: float

    @linen.compact
    def __call__(self, *inputs, deterministic=True):
        batch = jnp.broadcast_shapes(*(x.shape[:-1] for x in inputs))
        x = jnp.concatenate([jnp.broadcast_to(x, (*batch, x.shape[-1])) for x in inputs], -1)
        for width in self.features[:-1]:
            x = self.activation(Dense(width)(x))
            x = linen.Dropout(self.dropout, deterministic=deterministic)(x)
        last = linen.initializers.zeros if self.zero_last else linen.initializers.lecun_normal()
        return Dense(self.features[-1], kernel_init=last)(x)


@checks.spelled
def mlp(
    in_dims: int | Sequence[int],
    out_dim: int,
    *,
    hidden: Sequence[int],
    activation: Callable = jax.nn.silu,
    zero_last: bool = False,
    dropout: float = 0.0,
) -> Net:
    """f(x, c, ...) = W_L s(... s(W_1 [x, c, ...] + b_1) ...) + b_L.

        net = mlp(8, 784, hidden=(200, 200))
        y = net.apply(net.init(key), x)                # x [..., 8] -> [..., 784]
        net = mlp((8, 10), 784, hidden=(200,))         # net.apply(params, x, c), c [..., 10]

    in_dims: the size of each input, or of the only one; the inputs [..., in_dim] are concatenated,
        and their batch axes broadcast
    out_dim: the size of the output [..., out_dim]
    hidden: widths of the hidden layers; () is a linear map
    activation: s, by default SiLU, s(a) = a σ(a)
    zero_last: start as f = 0, so that what the net parametrises starts as the identity
    dropout: the fraction of hidden units set to 0 if `apply` gets a key; the others are divided by
        1 - dropout

    Raises InputError for inputs of another number or of other widths. Cost: Σ in · out
    multiplications per example, over the layers.
    """
    dims = checks.sample_shape(in_dims, "in_dims")
    if not dims:
        raise checks.InputError("in_dims must name at least one input; got ().")
    out_dim = checks.positive_int(out_dim, "out_dim")
    hidden = checks.widths(hidden)
    checks.function(activation, "activation")
    zero_last = checks.flag(zero_last, "zero_last")
    dropout = checks.rate(dropout, "dropout")
    module = MLP((*hidden, out_dim), activation, zero_last, dropout)
    net = from_linen(module, *((dim,) for dim in dims))

    def apply(params, *inputs, key=None):
        for x in inputs:
            checks.array(x, "each input")
        widths = tuple(x.shape[-1] if jnp.ndim(x) else None for x in inputs)
        if len(inputs) != len(dims):
            raise checks.InputError(
                f"the net has {len(dims)} inputs, of widths {dims}; got {len(inputs)}, of widths "
                f"{widths}. That of a denoiser takes a noise level too, as nets.time_mlp does."
            )
        if widths != dims:
            raise checks.InputError(
                f"the inputs must have widths {dims} (last axis); got {widths}."
            )
        return net.apply(params, *inputs, key=key)

    return Net(net.init, apply)
