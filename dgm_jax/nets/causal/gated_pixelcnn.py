"""Gated PixelCNN: two stacks of gated convolutions, which together have no blind spot."""

import jax

from ... import checks
from ...protocol import CausalNet, Shape
from ..adapter import Dense, linen
from .channels import Channels, Head, check_channels
from .conditions import of_condition, of_row
from .convolutions import CausalConv, RowConv, odd
from .encodings import Encoding
from .gates import tanh_gate
from .stepwise import stepwise


@checks.spelled
def gated_pixelcnn(
    shape: tuple[int, int, int],
    *,
    hidden: int = 64,
    num_layers: int = 6,
    kernel_size: int = 3,
    first_kernel_size: int = 7,
    num_outputs: int = 1,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
    head: Head | None = None,
) -> CausalNet:
    """f_i(x_<i, c) by two stacks of gated convolutions, of which one sees all the rows above.

    x [..., H·W·C], pixels row by row -> f [..., H·W·C, num_outputs]. Returns a `CausalNet`, for
    `autoregressive.density`, with init(key) -> params, apply(params, x, cond=None, key=None) -> f
    for a known x, in one pass, and unroll(params, emit, batch_shape, cond=None, key=None) -> (x, f,
    units), which makes x entry by entry, as in sampling: x_i = emit(i, f_i). With v the features of
    the rows above (vertical stack) and h those of the same row to the left (horizontal stack), a
    layer is

        u = conv(v),  v ← gate(u + U' c),                 conv over (k // 2 + 1) rows × k columns
        h ← h + W gate(conv(h) + V u + U c),              conv over the pixel and k // 2 before it

    with gate(a, b) = tanh(a) σ(b) for the two halves a, b of 2 · hidden channels, and matrices U,
    U', V and W that act on each pixel. The first layer reads x itself, and excludes the row and the
    pixel that are predicted. There is no blind spot: each layer sees k // 2 further up and to the
    sides, so that a deep enough net sees all preceding pixels. It starts with outputs 0.

    shape: (H, W, C)
    hidden, num_layers: the channels of each stack, and the number of layers
    kernel_size, first_kernel_size: k of the layers and of the first layer, both odd, at least 3,
        else `InputError`
    num_outputs: the numbers f_i for each x_i, such as the parameters of p(x_i | x_<i)
    encoding: how levels are seen (`nets.one_hot`, `nets.scaled`); None if x holds real numbers
    cond_shape: (n,) for one condition c of an image, such as a one-hot class, or (H, W, n) for one
        vector per pixel; None for no c
    head: how f of a channel depends on the preceding channels of its pixel (a `nets.Head`, such as
        `discretized_logistic(256).head(C)`); None for a linear map of them
    Cost: ((k + 1)² + 5) hidden² multiplications per layer and pixel. van den Oord et al. (2016),
    "Conditional image generation with PixelCNN decoders", figure 2.
    """
    shape = checks.image_shape(shape)
    hidden = checks.positive_int(hidden, "hidden")
    num_layers = checks.positive_int(num_layers, "num_layers")
    kernel_size = odd(kernel_size, "kernel_size")
    first_kernel_size = odd(first_kernel_size, "first_kernel_size")
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    check_channels(encoding, head)
    size = Channels(shape[2], num_outputs, encoding, head).size
    return stepwise(
        HorizontalStack(size, shape[1], hidden, num_layers, kernel_size, first_kernel_size),
        shape,
        num_outputs=num_outputs,
        encoding=encoding,
        cond_shape=cond_shape,
        rows=VerticalStack(hidden, num_layers, kernel_size, first_kernel_size)
        if shape[0] > 1
        else None,
        head=head,
    )


class VerticalStack(linen.Module):
    """For each layer, what the rows above add to the gates of the horizontal stack."""

    hidden: int
    num_layers: int
    kernel_size: int
    first_kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond):
        half = self.first_kernel_size // 2
        a = RowConv(2 * self.hidden, max(half - 1, 0), half, late=True)(view, u)
        found = [Dense(2 * self.hidden)(a)]
        half = self.kernel_size // 2
        for _ in range(self.num_layers - 1):
            v = tanh_gate(a + of_row(view, cond, 2 * self.hidden))
            a = RowConv(2 * self.hidden, half, half)(view, v)
            found.append(Dense(2 * self.hidden)(a))
        return tuple(found)


class HorizontalStack(linen.Module):
    """The stack of the same row to the left, which also gets the features of the rows above."""

    size: int
    width: int
    hidden: int
    num_layers: int
    kernel_size: int
    first_kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond, *above):
        h = 0
        for n in range(self.num_layers):
            left = (self.kernel_size if n else self.first_kernel_size) // 2
            conv = CausalConv(2 * self.hidden, self.width, left=left, late=n == 0)
            a = conv(view, h if n else u) + of_condition(view, cond, 2 * self.hidden)
            a = a + above[n] if above else a
            h = h + Dense(self.hidden)(tanh_gate(a))
        h = Dense(self.hidden)(jax.nn.relu(h))
        return Dense(self.size, kernel_init=linen.initializers.zeros)(jax.nn.relu(h))
