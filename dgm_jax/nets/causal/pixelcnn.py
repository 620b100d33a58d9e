"""PixelCNN: masked convolutions, which see the pixels above and to the left."""

from typing import Any

import jax

from ... import checks
from ...protocol import CausalNet, Shape
from ..adapter import Dense, linen
from .channels import Channels, Head, check_channels
from .conditions import of_condition
from .convolutions import CausalConv, odd
from .encodings import Encoding
from .stepwise import stepwise


@checks.spelled
def pixelcnn(
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
    """f_i(x_<i, c) by convolutions masked to the pixels above and to the left, in residual blocks.

    x [..., H·W·C], pixels row by row and the channels of a pixel in turn -> f [..., H·W·C,
    num_outputs]. Returns a `CausalNet`, for `autoregressive.density`, with init(key) -> params,
    apply(params, x, cond=None, key=None) -> f for a known x, in one pass, and unroll(params, emit,
    batch_shape, cond=None, key=None) -> (x, f, units), which makes x entry by entry, as in
    sampling: x_i = emit(i, f_i). The first mask (A) excludes the pixel itself, later ones (B) do
    not. A block is a 1×1 convolution to `hidden` channels, one of size k×k, and a 1×1 back to 2 ·
    hidden. It starts as f = 0.

    shape: (H, W, C)
    hidden, num_layers: the channels, and the number of blocks
    kernel_size, first_kernel_size: k of the blocks and the size of the first convolution, both odd
    num_outputs: the numbers f_i for each x_i, such as the parameters of p(x_i | x_<i)
    encoding: how levels are seen (`nets.one_hot`, `nets.scaled`); None if x holds real numbers
    cond_shape: (n,) for one condition c of an image, such as a one-hot class, or (H, W, n) for one
        vector per pixel. A linear map of it is added in every block
    head: how f of a channel depends on the preceding channels of the pixel (a `nets.Head`, such as
        `discretized_logistic(256).head(C)`); by default linearly

    It has a blind spot: to the right, a pixel sees first_kernel_size // 2 columns of the row above
    it, and k // 2 more of each further row (3, 4, 5, ... at the default sizes), but none beyond
    these, at any depth.
    Cost: (4 + (k² + 1) / 2) hidden² multiplications per block and pixel, in the parallel pass (4 +
    k (k + 1) / 2) hidden². van den Oord et al. (2016), "Pixel recurrent neural networks", 3.4.
    """
    shape = checks.image_shape(shape)
    hidden = checks.positive_int(hidden, "hidden")
    num_layers = checks.positive_int(num_layers, "num_layers")
    kernel_size = odd(kernel_size, "kernel_size")
    first_kernel_size = odd(first_kernel_size, "first_kernel_size")
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    check_channels(encoding, head)
    size = Channels(shape[2], num_outputs, encoding, head).size
    body = PixelCNN(size, shape[1], hidden, num_layers, kernel_size, first_kernel_size)
    return stepwise(
        body, shape, num_outputs=num_outputs, encoding=encoding, cond_shape=cond_shape, head=head
    )


class PixelCNN(linen.Module):
    """The linen module of `pixelcnn`."""

    size: int
    width: int
    hidden: int
    num_layers: int
    kernel_size: int
    first_kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond):
        first = square(self.first_kernel_size)
        h = CausalConv(2 * self.hidden, self.width, **first, late=True)(view, u)
        for _ in range(self.num_layers):
            a = Dense(self.hidden)(jax.nn.relu(h)) + of_condition(view, cond, self.hidden)
            conv = CausalConv(self.hidden, self.width, **square(self.kernel_size))
            a = conv(view, jax.nn.relu(a))
            h = h + Dense(2 * self.hidden)(jax.nn.relu(a))
        h = Dense(2 * self.hidden)(jax.nn.relu(h)) + of_condition(view, cond, 2 * self.hidden)
        return Dense(self.size, kernel_init=linen.initializers.zeros)(jax.nn.relu(h))


def square(size: int) -> dict[str, Any]:
    """The extent of a square kernel before masking."""
    return {"up": size // 2, "left": size // 2, "right": size // 2}
