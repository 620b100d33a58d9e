"""PixelCNN++: two streams of gated residual blocks, with short cuts between the halves."""

from functools import partial

import jax
import jax.numpy as jnp

from ... import checks
from ...protocol import CausalNet, Shape
from ..adapter import Dense, linen
from .channels import Channels, Head, check_channels
from .conditions import of_condition, of_row
from .convolutions import CausalConv, RowConv, odd
from .encodings import Encoding
from .gates import gated_residual
from .stepwise import stepwise


@checks.spelled
def pixelcnn_pp(
    shape: tuple[int, int, int],
    *,
    hidden: int = 64,
    num_layers: int = 2,
    kernel_size: int = 3,
    dropout: float = 0.0,
    num_outputs: int = 1,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
    head: Head | None = None,
) -> CausalNet:
    """f_i(x_<i, c) by two streams of gated residual blocks h + a σ(b), with short cuts.

    x [..., H·W·C], pixels row by row -> f [..., H·W·C, num_outputs]. Returns a `CausalNet`, for
    `autoregressive.density`, with init(key) -> params, apply(params, x, cond=None, key=None) -> f
    for a known x, in one pass, and unroll(params, emit, batch_shape, cond=None, key=None) -> (x, f,
    units), which makes x entry by entry, as in sampling: x_i = emit(i, f_i). In a block (a, b) is
    made by two convolutions, each after a concat-ELU (elu(h), elu(-h)). One stream sees the rows
    above (convolutions shifted down). The other sees also the pixels to the left (shifted down and
    right) and reads the first stream in every block. A block of the second half also reads the
    output of its mirror image in the first half, as in a U-Net. It starts as f = 0.

    shape: (H, W, C)
    hidden, num_layers: the channels, and the blocks in each half of a stream
    kernel_size: k, odd
    dropout: the fraction of activations between the two convolutions of a block that are set to 0
        if a key is given; 0.5 in the paper
    num_outputs: the numbers f_i for each x_i, such as the parameters of p(x_i | x_<i)
    encoding: how levels are seen (`nets.one_hot`, `nets.scaled`); None if x holds real numbers
    cond_shape: (n,) for one condition c of an image, such as a one-hot class, or (H, W, n) for one
        vector per pixel; None for no c
    head: how f of a channel depends on the preceding channels of its pixel (a `nets.Head`, such as
        `discretized_logistic(256).head(C)`); None for a linear map of them

    All blocks have full resolution, where the paper halves it twice: so the net can be run one
    pixel at a time, but its receptive field grows with depth alone, by 2 (k // 2) per block. Cost:
    about (3 k (k + 1) + 6 (k // 2 + 1)²) hidden² multiplications per block and pixel. Salimans et
    al. (2017), "PixelCNN++", 2.3-2.5; its mixture for colours is
    `likelihoods.discretized_logistic`.
    """
    shape = checks.image_shape(shape)
    hidden = checks.positive_int(hidden, "hidden")
    num_layers = checks.positive_int(num_layers, "num_layers")
    kernel_size = odd(kernel_size, "kernel_size")
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    check_channels(encoding, head)
    dropout = checks.rate(dropout, "dropout")
    size = Channels(shape[2], num_outputs, encoding, head).size
    return stepwise(
        Pixels(size, shape[1], hidden, num_layers, kernel_size, dropout),
        shape,
        num_outputs=num_outputs,
        encoding=encoding,
        cond_shape=cond_shape,
        rows=RowsAbove(hidden, num_layers, kernel_size, dropout) if shape[0] > 1 else None,
        head=head,
    )


class RowsAbove(linen.Module):
    """The stream of the rows above, after each block of the first and the second half."""

    hidden: int
    num_layers: int
    kernel_size: int
    dropout: float

    @linen.compact
    def __call__(self, view, u, cond):
        half = self.kernel_size // 2
        conv = partial(RowConv, up=half, side=half)
        block = partial(gated_residual, conv=conv, of_cond=of_row, dropout=self.dropout)
        found = [conv(self.hidden, late=True)(view, u)]
        kept = []
        for _ in range(self.num_layers):
            kept.append(found[-1])
            found.append(block(view, found[-1], cond))
        for _ in range(self.num_layers):
            found.append(block(view, found[-1], cond, beside=kept.pop()))
        return tuple(found[1:])


class Pixels(linen.Module):
    """The stream of the pixels above and to the left, which also gets the stream of the rows."""

    size: int
    width: int
    hidden: int
    num_layers: int
    kernel_size: int
    dropout: float

    @linen.compact
    def __call__(self, view, u, cond, *above):
        half = self.kernel_size // 2
        conv = partial(CausalConv, width=self.width, up=half, left=half)
        block = partial(gated_residual, conv=conv, of_cond=of_condition, dropout=self.dropout)
        h = conv(self.hidden, right=half, late=True)(view, u)
        above, kept = above or [None] * 2 * self.num_layers, []
        for a in above[: self.num_layers]:
            kept.append(h)
            h = block(view, h, cond, beside=a)
        for a in above[self.num_layers :]:
            beside = kept.pop() if a is None else jnp.concatenate([a, kept.pop()], -1)
            h = block(view, h, cond, beside=beside)
        return Dense(self.size, kernel_init=linen.initializers.zeros)(jax.nn.elu(h))
