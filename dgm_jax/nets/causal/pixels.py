"""Causal nets of images: PixelCNN, Gated PixelCNN, PixelCNN++ and PixelSNAIL.

Each scores all pixels x [..., H·W·C] in one pass, and makes them one after the other, in raster
order and the channels of a pixel last, with every activation computed once.
"""

from ... import checks
from ...protocol import CausalNet, Shape
from .encodings import Encoding
from .pixel_bodies import (
    HorizontalStack,
    PixelCNN,
    PixelCNNPPPixels,
    PixelCNNPPRows,
    PixelSNAIL,
    VerticalStack,
)
from .stepwise import Head, stepwise


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
    """Convolutions masked to the pixels above and to the left, in num_layers residual blocks.

    The first mask (A) leaves out the own pixel, later ones (B) do not; a block is 1×1 to `hidden`
    channels, k×k, and 1×1 back to 2 · hidden. Of all nets here: `num_outputs`, how many for each
    x_i; `encoding`, how levels are seen; `cond_shape`, for conditions
    such as one-hot classes, (n,), or a map beside the picture, (H, W, n); `head`, how channels
    hang together.
    Has a blind spot: to the right a pixel sees first_kernel_size // 2 columns of the row above it,
    and k // 2 more of each row further up (3, 4, 5, ... at the default sizes), so it never sees
    those beyond, whatever the depth.
    Cost: (4 + (k² + 1) / 2) hidden² multiplications a block and pixel, in the parallel pass
    (4 + k (k + 1) / 2) hidden². van den Oord et al. (2016), "Pixel recurrent neural networks", 3.4.
    """
    _check(shape, hidden=hidden, num_layers=num_layers)
    _check_kernels(kernel_size=kernel_size, first_kernel_size=first_kernel_size)
    sizes = hidden, num_layers, kernel_size, first_kernel_size
    options = num_outputs, encoding, cond_shape, head
    return _net(lambda size: PixelCNN(size, shape[1], *sizes), shape, None, *options)


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
    """h ← h + W (tanh(a) σ(b)), (a, b) = conv_{1×k}(h) + V conv_{k/2×k}(v) + U c: two stacks.

    The vertical one, v, sees all columns of the rows above; the horizontal one adds the own row to
    the left. Together they have no blind spot: with depth enough all earlier pixels are seen, each
    layer k // 2 further up and to the sides. Cost: ((k + 1)² + 5) hidden² multiplications a layer
    and pixel.
    van den Oord et al. (2016), "Conditional image generation with PixelCNN decoders", figure 2.
    """
    _check(shape, hidden=hidden, num_layers=num_layers)
    _check_kernels(kernel_size=kernel_size, first_kernel_size=first_kernel_size)
    sizes = hidden, num_layers, kernel_size, first_kernel_size
    rows = VerticalStack(*sizes)
    options = num_outputs, encoding, cond_shape, head
    return _net(lambda size: HorizontalStack(size, shape[1], *sizes), shape, rows, *options)


def pixelcnn_pp(
    shape: tuple[int, int, int],
    *,
    hidden: int = 64,
    num_layers: int = 2,
    kernel_size: int = 3,
    num_outputs: int = 1,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
    head: Head | None = None,
) -> CausalNet:
    """Two streams of gated residual blocks h + a σ(b), with short cuts from one half to the other.

    num_layers blocks a half. One stream has the rows above (convolutions shifted down), the other
    also the pixels to the left (shifted down and right), and is given the first at every block; a
    block of the second half is given its mirror image in the first. Concat-ELU throughout.
    All blocks have the full resolution. The paper halves it twice; a coarse pixel is then done only
    every fourth step, which a step at a time would need a clock for: here one definition serves
    both views of time, and the field grows with depth alone, 2 (k // 2) a block. No dropout either.
    Cost: about (3 k (k + 1) + 6 (k // 2 + 1)²) hidden² multiplications a block and pixel.
    Salimans et al. (2017), "PixelCNN++", 2.3-2.5; its mixture of logistics for colours is
    `autoregressive.discretized_logistic`.
    """
    _check(shape, hidden=hidden, num_layers=num_layers)
    _check_kernels(kernel_size=kernel_size)
    sizes = hidden, num_layers, kernel_size
    rows = PixelCNNPPRows(*sizes)
    options = num_outputs, encoding, cond_shape, head
    return _net(lambda size: PixelCNNPPPixels(size, shape[1], *sizes), shape, rows, *options)


def pixelsnail(
    shape: tuple[int, int, int],
    *,
    hidden: int = 64,
    num_layers: int = 2,
    num_convs: int = 2,
    num_heads: int = 1,
    kernel_size: int = 3,
    num_outputs: int = 1,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
    head: Head | None = None,
) -> CausalNet:
    """Blocks of num_convs gated residual convolutions, then softmax(q·k) v over all earlier pixels.

    Queries are made of features, keys and values of features and input, all with their places: one
    block sees everything before a pixel. Cost: 6 (k // 2 + 1)² hidden² multiplications a pixel for
    each of the num_convs, and 2 (H W)² hidden for each attention.
    Chen et al. (2018), "PixelSNAIL", figure 2.
    """
    _check(shape, hidden=hidden, num_layers=num_layers, num_convs=num_convs, num_heads=num_heads)
    _check_kernels(kernel_size=kernel_size)
    if hidden % num_heads:
        raise ValueError(f"num_heads must divide hidden={hidden}; got {num_heads}.")
    sizes = hidden, num_layers, num_convs, num_heads, kernel_size
    options = num_outputs, encoding, cond_shape, head
    return _net(lambda size: PixelSNAIL(size, shape[1], *sizes), shape, None, *options)


def _net(body, shape, rows, num_outputs, encoding, cond_shape, head):
    """The net of body(size), which gives `size` numbers a pixel."""
    size = num_outputs * shape[2] if head is None else head.size
    return stepwise(
        body(size),
        shape,
        num_outputs=num_outputs,
        encoding=encoding,
        cond_shape=cond_shape,
        rows=rows if shape[0] > 1 else None,
        head=head,
    )


def _check(shape, **sizes):
    checks.image_shape(shape)
    for name, value in sizes.items():
        checks.positive_int(value, name)


def _check_kernels(**sizes):
    for name, value in sizes.items():
        checks.positive_int(value, name, least=3)
        if value % 2 == 0:
            raise ValueError(f"{name} must be odd, to have a middle; got {value}.")
