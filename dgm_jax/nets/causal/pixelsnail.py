"""PixelSNAIL: causal convolutions, and attention to all preceding pixels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...protocol import CausalNet, Shape
from ..adapter import Dense, linen
from .channels import Channels, Head, check_channels
from .conditions import of_condition
from .convolutions import CausalConv, odd
from .encodings import Encoding
from .gates import gated_residual
from .stepwise import stepwise


@checks.spelled
def pixelsnail(
    shape: tuple[int, int, int],
    *,
    hidden: int = 64,
    num_layers: int = 2,
    num_convs: int = 2,
    num_heads: int = 1,
    kernel_size: int = 3,
    dropout: float = 0.0,
    num_outputs: int = 1,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
    head: Head | None = None,
) -> CausalNet:
    """f_i(x_<i, c) by blocks of gated causal convolutions and attention to all preceding pixels.

    x [..., H·W·C], pixels row by row -> f [..., H·W·C, num_outputs]. Returns a `CausalNet`, for
    `autoregressive.density`, with init(key) -> params, apply(params, x, cond=None, key=None) -> f
    for a known x, in one pass, and unroll(params, emit, batch_shape, cond=None, key=None) -> (x, f,
    units), which makes x entry by entry, as in sampling: x_i = emit(i, f_i). A block has num_convs
    residual layers h + a σ(b), with (a, b) made by causal convolutions of h, then attention Σ_{s≤t}
    softmax_s(q_t·k_s / √c) v_s over the pixels s up to t, with c channels per head, whose output
    enters one more gated residual layer. Queries q are computed from features, keys k and values v
    from features and the input (which is shifted by a pixel, so that t itself is not seen), all
    with row and column of the pixel. One block already sees all preceding pixels. It starts as f =
    0.

    shape: (H, W, C)
    hidden, num_layers, num_convs: the channels, the blocks, and the convolution layers of a block
    num_heads: attention heads, a divisor of `hidden`
    kernel_size: the side of the convolutions, odd
    dropout: the fraction of activations between the two convolutions of a residual layer that are
        set to 0 if a key is given
    num_outputs: the numbers f_i for each x_i, such as the parameters of p(x_i | x_<i)
    encoding: how levels are seen (`nets.one_hot`, `nets.scaled`); None if x holds real numbers
    cond_shape: (n,) for one condition c of an image, such as a one-hot class, or (H, W, n) for one
        vector per pixel; None for no c
    head: how f of a channel depends on the preceding channels of its pixel (a `nets.Head`, such as
        `discretized_logistic(256).head(C)`); None for a linear map of them
    Cost: with k = kernel_size, 6 (k // 2 + 1)² hidden² multiplications per pixel for each
    convolution layer, and 2 (H W)² hidden for each attention. Chen et al. (2018), "PixelSNAIL",
    figure 2.
    """
    shape = checks.image_shape(shape)
    hidden = checks.positive_int(hidden, "hidden")
    num_layers = checks.positive_int(num_layers, "num_layers")
    num_convs = checks.positive_int(num_convs, "num_convs")
    num_heads = checks.positive_int(num_heads, "num_heads")
    kernel_size = odd(kernel_size, "kernel_size")
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    check_channels(encoding, head)
    dropout = checks.rate(dropout, "dropout")
    if hidden % num_heads:
        raise checks.InputError(f"num_heads must divide hidden={hidden}; got {num_heads}.")
    size = Channels(shape[2], num_outputs, encoding, head).size
    sizes = hidden, num_layers, num_convs, num_heads, kernel_size
    body = PixelSNAIL(size, shape[1], *sizes, dropout)
    return stepwise(
        body, shape, num_outputs=num_outputs, encoding=encoding, cond_shape=cond_shape, head=head
    )


class PixelSNAIL(linen.Module):
    """The linen module of `pixelsnail`."""

    size: int
    width: int
    hidden: int
    num_layers: int
    num_convs: int
    num_heads: int
    kernel_size: int
    dropout: float

    @linen.compact
    def __call__(self, view, u, cond):
        half = self.kernel_size // 2
        conv = partial(CausalConv, width=self.width, up=half, left=half)
        block = partial(gated_residual, view, of_cond=of_condition, dropout=self.dropout)
        alone = partial(block, cond=None, conv=partial(CausalConv, width=self.width))
        place = view.along(places(view.num_steps, self.width))
        place = jnp.broadcast_to(place, (*u.shape[:-1], 2)).astype(u.dtype)
        h = conv(self.hidden, right=half, late=True)(view, u)
        for _ in range(self.num_layers):
            for _ in range(self.num_convs):
                h = block(h, cond, conv)
            q = Dense(self.hidden)(alone(jnp.concatenate([h, place], -1)))
            k_and_v = Dense(2 * self.hidden)(alone(jnp.concatenate([u, h, place], -1)))
            k, v = jnp.split(k_and_v, 2, -1)
            attended = view.attend(*map(self.by_head, (q, k, v))).reshape(h.shape)
            h = alone(h, beside=attended)
        return Dense(self.size, kernel_init=linen.initializers.zeros)(jax.nn.elu(h))

    def by_head(self, a):
        return a.reshape(*a.shape[:-1], self.num_heads, self.hidden // self.num_heads)


def places(num_steps: int, width: int) -> np.ndarray:
    """Row and column of each step, each scaled to [-1/2, 1/2], [steps, 2]."""
    at = np.stack(np.divmod(np.arange(num_steps), width), -1)
    return at / np.maximum(at[-1], 1) - 0.5
