"""y = down(x, w), a strided convolution, and x = up(y, w), its transpose, which upsamples.

Both are linear in either argument: ⟨g, down(x, w)⟩ = ⟨up(g, w), x⟩ = ⟨W(x, g), w⟩. The three maps
down, up and W, the kernel gradient, are the derivatives of one another:

    d down(x, w) = down(dx, w) + down(x, dw)     its transposes:  up(g, w),    W(x, g)
    d up(y, w)   = up(dy, w) + up(y, dw)                          down(g, w),  W(g, y)
    d W(x, y)    = W(dx, y) + W(x, dy)                            up(y, g),    down(x, g)

So derivatives of every order and in both modes consist of the same three convolutions, each of
which XLA computes fast. `jax.lax.conv_transpose` is the same function as `up`, but JAX computes its
kernel gradient by a convolution of the dilated y, which is slow on XLA's CPU backend
(jax-ml/jax, issue 23783). Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep
learning", chapter 4, on the transpose.

On a CPU all three are written with examples first and channels last, kernels [kh, kw, in, out] and
nothing reversed. XLA brings the derivatives that JAX makes into that order outside of loops only:
in a `scan` its code for them takes 5 to 100 times as long. These take the same in both.
"""

from collections.abc import Sequence
from functools import partial
from types import FunctionType
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from .. import checks
from ..protocol import Array, Shape

Padding = Sequence[tuple[int, int]]  # zeros before and after, of each axis

# Where W is measured to be the faster kernel gradient of `up`, and the order of axes to matter;
# other platforms do as JAX does.
ADJOINT_ON = ("cpu",)
FORMS = ("adjoint", "plain")
LAYOUT = ("NHWC", "HWIO", "NHWC")


def down_conv(
    x: Array,
    kernel: Array,
    *,
    stride: int = 2,
    padding: str | Sequence[Sequence[int]] = "SAME",
) -> Array:
    """y[i] = Σ_k x[stride · i + k - low] w[k]: a strided convolution.

    x [..., H, W, in] -> y [..., h, w, out]. i and k are pairs (row, column), low = (top, left) is
    the padding before the image, and x is 0 outside of it. The gradient of the kernel is as fast
    inside of a loop (`scan`) as outside, which that of `lax.conv_general_dilated` is not on a CPU.

    kernel: w [kh, kw, in, out]
    stride: one for both axes
    padding: "SAME", with h = ⌈H / stride⌉ and as many zeros before as after (one more after if
        their number is odd), or the numbers of zeros ((top, bottom), (left, right)), with h = ⌊(H +
        top + bottom - kh) / stride⌋ + 1, and w likewise
    Raises InputError if the kernel does not fit into the padded image. Cost: h w kh kw in out
    multiplications per image.
    """
    _check(x, kernel, "x", 2)
    stride = checks.positive_int(stride, "stride")
    size, taps = x.shape[-3:-1], kernel.shape[:2]
    padding = _padding(padding, size, taps, stride)
    if min(_small(size, taps, stride, padding)) < 1:
        raise checks.InputError(f"kernel {taps} must fit into the padded x; x is {x.shape}.")
    return _over_batch(_down, x, kernel, stride=stride, padding=padding, form="adjoint")


@checks.spelled
def up_conv(
    y: Array,
    kernel: Array,
    *,
    stride: int = 2,
    padding: str | Sequence[Sequence[int]] = "SAME",
    size: Sequence[int] | None = None,
    form: str | None = None,
) -> Array:
    """x[j] = Σ_{i, k: stride · i + k - low = j} y[i] w[k], the transpose of `down_conv`.

    y [..., h, w, in] -> x [..., H, W, out]. i, j, k are pairs (row, column); low = (top, left) is
    the padding of the `down_conv` from images x to images y, of which this is the transposed linear
    map.

    kernel: w [kh, kw, out, in], that of the `down_conv`
    stride: of the `down_conv`, one for both axes
    padding: of the `down_conv`: "SAME", with h = ⌈H / stride⌉, or the numbers of zeros ((top,
        bottom), (left, right)) around the images x
    size: (H, W), any size that the `down_conv` maps to (h, w), else InputError; by default stride ·
        (h, w) with "SAME", else the smallest such size
    form: the convolution that computes the kernel gradient, "adjoint", that of `down_conv`, or
        "plain", JAX's for `lax.conv_transpose`. None is "adjoint" on CPUs, where it is faster, and
        "plain" elsewhere. Values and derivatives, forward and reverse, are the same

    Kernels of other libraries: for `torch.nn.ConvTranspose2d(in, out, ...)` w is weight.permute(2,
    3, 1, 0), with padding ((p, p), (p, p)) and its output size. For `lax.conv_transpose` it is the
    kernel's w[::-1, ::-1] with the last two axes exchanged, or the kernel itself with
    transpose_kernel=True.
    Cost: h w kh kw in out multiplications per image.
    """
    _check(y, kernel, "y", 3)
    stride = checks.positive_int(stride, "stride")
    if form is not None:
        checks.choice(form, FORMS, "form")
    small, taps = y.shape[-3:-1], kernel.shape[:2]
    if size is None:
        pads = [(0, k - stride) for k in taps] if isinstance(padding, str) else padding
        pads = _padding(pads, small, taps, stride, least=None)
        size = [(n - 1) * stride + k - sum(pad) for n, k, pad in zip(small, taps, pads)]
    size = checks.shape(size, "size", "a height and a width such as (28, 28)")
    padding = _padding(padding, size, taps, stride)
    if _small(size, taps, stride, padding) != small:
        raise checks.InputError(
            f"size must be one that a convolution of stride {stride} brings down to {small}; got "
            f"{size}, which becomes {_small(size, taps, stride, padding)}."
        )
    return _over_batch(_up, y, kernel, stride=stride, padding=padding, size=size, form=form)


def _check(x, kernel, name, channel_axis):
    checks.floating(kernel, "kernel", (None,) * 4)
    checks.floating(x, name)
    if jnp.ndim(x) < 3 or x.shape[-1] != kernel.shape[channel_axis]:
        raise checks.InputError(
            f"{name} must be images [..., height, width, {kernel.shape[channel_axis]}], as the "
            f"kernel {kernel.shape} has it; got {jnp.shape(x)}."
        )


def _padding(padding, size, taps, stride, least=0):
    """((top, bottom), (left, right)); "SAME" is that of `jax.lax`, with the odd zero last."""
    if isinstance(padding, str):
        checks.choice(padding, ("SAME",), "padding")
        missing = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(size, taps)]
        return tuple((zeros // 2, zeros - zeros // 2) for zeros in missing)
    try:
        (top, bottom), (left, right) = padding
    except (TypeError, ValueError):
        raise checks.InputError(
            'padding must be "SAME" or ((top, bottom), (left, right)); got '
            f"{checks.shown(padding)}."
        ) from None
    numbers = [top, bottom, left, right]
    if least is not None:
        numbers = [checks.integer(n, "each number of padding", least=least) for n in numbers]
    return tuple(numbers[:2]), tuple(numbers[2:])


def _small(size, taps, stride, padding):
    """(h, w) of the strided convolution of images of this size."""
    return tuple((n + sum(pad) - k) // stride + 1 for n, k, pad in zip(size, taps, padding))


def _over_batch(primitive, x, kernel, **params):
    """Of [..., H, W, C]: the batch axes as one."""
    dtype = jnp.result_type(x, kernel)
    batch = x.shape[:-3]
    flat = x.reshape(-1 if 0 not in batch else 0, *x.shape[-3:])
    out = primitive.bind(flat.astype(dtype), kernel.astype(dtype), **params)
    return out.reshape(*batch, *out.shape[1:])


# ------------------------------------------------------------ the three maps, written with jax.lax
def down(
    x: Array,
    w: Array,
    *,
    stride: int,
    padding: Padding,
    form: str,
    ordered: bool = False,
) -> Array:
    """down(x, w), the strided convolution, in the one way that `jax.lax` has it."""
    return jax.lax.conv_general_dilated(x, w, (stride,) * 2, padding, dimension_numbers=LAYOUT)


def up(
    y: Array,
    w: Array,
    *,
    stride: int,
    padding: Padding,
    size: Shape,
    form: str,
    ordered: bool = False,
) -> Array:
    """up(y, w), the transpose of `down` for images of this size."""
    if not ordered:
        x = jax.ShapeDtypeStruct((y.shape[0], *size, w.shape[2]), y.dtype)
        strided = partial(down, w=w, stride=stride, padding=padding, form=form)
        return jax.linear_transpose(strided, x)(y)[0]
    edges = [
        (taps - 1 - low, n + low - 1 - (small - 1) * stride)
        for taps, (low, _), n, small in zip(w.shape, padding, size, y.shape[1:])
    ]
    flipped = jnp.flip(w, (0, 1)).swapaxes(2, 3)
    return jax.lax.conv_general_dilated(
        y, flipped, (1, 1), edges, lhs_dilation=(stride,) * 2, dimension_numbers=LAYOUT
    )


def kernel_gradient(
    x: Array,
    y: Array,
    *,
    stride: int,
    padding: Padding,
    taps: Shape,
    form: str,
    ordered: bool = False,
) -> Array:
    """W(x, y), the kernel gradient of `down` or, with form "plain", of `up`.

    taps: (kh, kw); stride, padding: as in `down_conv`. ordered: write it as a convolution of x
    whose kernel is y, with examples in the place of channels.
    """
    of: dict[str, Any] = {"stride": stride, "padding": padding, "form": form}
    w = jax.ShapeDtypeStruct((*taps, x.shape[-1], y.shape[-1]), y.dtype)
    if form == "plain":
        return jax.linear_transpose(lambda w: up(y, w, size=x.shape[1:3], **of), w)(x)[0]
    if not ordered:
        return jax.linear_transpose(lambda w: down(x, w, **of), w)(y)[0]
    edges = [
        (low, k - n - low + (small - 1) * stride)
        for k, (low, _), n, small in zip(taps, padding, x.shape[1:], y.shape[1:])
    ]
    channels, pixels = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    found = jax.lax.conv_general_dilated(
        channels, pixels, (1, 1), edges, rhs_dilation=(stride,) * 2, dimension_numbers=LAYOUT
    )
    return found.transpose(1, 2, 0, 3)


# ----------------------------------------------------------------- what JAX is to know about them
def primitive(function: FunctionType, fold: bool) -> Primitive:
    """A JAX primitive that is linear in each of its two arguments.

    fold: whether only the first argument has a batch axis, so that `vmap` may join its axis to it.
    """
    made = Primitive(f"strided_{function.__name__}")

    @made.def_abstract_eval
    def shape_of(a, b, **params):
        args = (jax.ShapeDtypeStruct(v.shape, v.dtype) for v in (a, b))
        out = jax.eval_shape(partial(function, **params), *args)
        return ShapedArray(out.shape, out.dtype)

    @made.def_impl
    def evaluate(a, b, **params):
        return jax.jit(made.bind, static_argnames=tuple(params))(a, b, **params)

    def batch(args, axes, **params):
        if not fold or axes[1] is not None:
            return jax.vmap(partial(function, **params), axes)(*args), 0
        a = jnp.moveaxis(args[0], axes[0], 0)
        out = made.bind(a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]), args[1], **params)
        return out.reshape(*a.shape[:2], *out.shape[1:]), 0

    def lower(platform):
        def lowered(a, b, *, form, **params):
            form = form or ("adjoint" if platform in ADJOINT_ON else "plain")
            return function(a, b, form=form, ordered=platform in ADJOINT_ON, **params)

        return mlir.lower_fun(lowered, multiple_results=False)

    batching.primitive_batchers[made] = batch
    mlir.register_lowering(made, lower(None))
    for platform in ADJOINT_ON:
        mlir.register_lowering(made, lower(platform), platform=platform)
    return made


_down, _up = primitive(down, fold=True), primitive(up, fold=True)
_kernel = primitive(kernel_gradient, fold=False)


def _size(images):
    return images.aval.shape[1:3]


ad.defbilinear(
    _down,
    lambda g, x, w, **of: _up.bind(g, w, size=_size(x), **of),
    lambda g, x, w, **of: _kernel.bind(x, g, taps=w.aval.shape[:2], **of),
)
ad.defbilinear(
    _up,
    lambda g, y, w, *, size, **of: _down.bind(g, w, **of),
    lambda g, y, w, *, size, **of: _kernel.bind(g, y, taps=w.aval.shape[:2], **of),
)
ad.defbilinear(
    _kernel,
    lambda g, x, y, *, taps, **of: _up.bind(y, g, size=_size(x), **of),
    lambda g, x, y, *, taps, **of: _down.bind(x, g, **of),
)
