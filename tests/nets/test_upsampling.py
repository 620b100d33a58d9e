"""Strided convolutions and their transposes, against the ones of JAX and of torch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks, measure
from dgm_jax.nets import down_conv, up_conv
from tests.contracts.compiled import jit
from tests.helpers import points

# kernel, stride, padding, (height, width) of the large images
CASES = {
    "dcgan": ((4, 4), 2, "SAME", (6, 8)),
    "odd": ((3, 3), 2, "SAME", (7, 5)),
    "padded": ((4, 3), 2, ((1, 1), (2, 0)), (6, 5)),
    "gaps": ((2, 2), 3, "SAME", (7, 6)),  # pixels that no tap meets
    "dense": ((3, 3), 1, "SAME", (4, 5)),
}
everywhere = pytest.mark.parametrize("case", CASES)


def definition(x, w, case):
    taps, stride, padding, _ = CASES[case]
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (stride,) * 2, padding, dimension_numbers=layout)


def transposed(y, w, case):
    """The transpose of the definition by autodiff, whose derivatives JAX makes."""
    x = jax.ShapeDtypeStruct((len(y), *CASES[case][3], w.shape[2]), y.dtype)
    return jax.linear_transpose(lambda x: definition(x, w, case), x)(y)[0]


def ours(case, form=None):
    _, stride, padding, size = CASES[case]
    down = lambda x, w: down_conv(x, w, stride=stride, padding=padding)
    up = lambda y, w: up_conv(y, w, stride=stride, padding=padding, size=size, form=form)
    return down, up


def data(case, dtype=jnp.float32):
    """x, y and w of two images, 3 channels large and 2 small."""
    taps, _, _, size = CASES[case]
    x, w = points(2, *size, 3), points(*taps, 3, 2, seed=2)
    y = points(*jax.eval_shape(lambda x, w: definition(x, w, case), x, w).shape, seed=3)
    return x.astype(dtype), y.astype(dtype), w.astype(dtype)


def all_derivatives(function, a, w):
    """Value, gradients, gradients of a function of the gradients, and a directional derivative."""

    def loss(a, w):
        return jnp.sin(function(a, w)).sum()

    def penalty(a, w):
        return sum(jnp.cos(g).sum() for g in jax.grad(loss, (0, 1))(a, w))

    moved = jax.jvp(jax.grad(loss, (0, 1)), (a, w), (jnp.cos(a), jnp.sin(w)))[1]
    first, second = jax.grad(loss, (0, 1))(a, w), jax.grad(penalty, (0, 1))(a, w)
    return function(a, w), first, second, jax.jvp(function, (a, w), (w.sum() * a, w))[1], moved


def assert_close(found, wanted, tolerance):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * 10),
        found,
        wanted,
    )


@everywhere
def test_values_and_all_derivatives_are_those_of_autodiff(case):
    with jax.enable_x64(True):
        x, y, w = data(case, jnp.float64)
        down, up = ours(case)
        pairs = {
            "down": (down, lambda x, w: definition(x, w, case), x),
            "up": (up, lambda y, w: transposed(y, w, case), y),
        }
        found, wanted = jit(
            lambda a, w: [
                {name: all_derivatives(pair[i], a[name], w) for name, pair in pairs.items()}
                for i in range(2)
            ]
        )({"down": x, "up": y}, w)
        assert_close(found, wanted, 1e-12)
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(found))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="how XLA orders axes on a CPU")
@pytest.mark.parametrize(("stride", "taps"), [(1, 3), (2, 4)])
def test_gradients_in_a_loop_have_the_order_of_axes_for_which_xla_has_fast_code(stride, taps):
    x, w = points(2, 12, 12, 3), points(taps, taps, 3, 2, seed=2)  # larger than any kernel
    y = points(2, 12 // stride, 12 // stride, 2, seed=3)

    def loss(x, y, w):
        found = down_conv(x, w, stride=stride), up_conv(y, w, stride=stride)
        return sum(jnp.sin(image).sum() for image in found)

    def step(args, _):
        return jax.tree.map(jnp.subtract, args, jax.grad(loss, (0, 1, 2))(*args)), None

    program = jit(lambda *args: jax.lax.scan(step, args, length=2)[0]).lower(x, y, w)
    lines = program.compile().as_text().splitlines()
    made = [line for line in lines if " convolution(" in line]
    assert len(made) == 6
    assert all("dim_labels=b01f_01io->b01f" in line and "reversal" not in line for line in made)


def test_up_is_the_transposed_convolution_of_lax_and_its_kernel_is_not_flipped():
    _, y, w = data("dcgan")
    options = {"strides": (2, 2), "padding": "SAME"}
    wanted = jax.lax.conv_transpose(y, w, transpose_kernel=True, **options)
    np.testing.assert_allclose(up_conv(y, w), wanted, rtol=1e-5, atol=1e-5)
    flipped = jnp.swapaxes(w[::-1, ::-1], 2, 3)  # what the docstring says
    wanted = jax.lax.conv_transpose(y, flipped, **options)
    np.testing.assert_allclose(up_conv(y, w), wanted, rtol=1e-5, atol=1e-5)


def test_kernels_of_torch_are_ported_as_the_docstring_says():
    torch = pytest.importorskip("torch")
    _, y, w = data("dcgan")
    weight = torch.tensor(np.asarray(w.transpose(3, 2, 0, 1)), requires_grad=True)
    images = torch.tensor(np.asarray(y.transpose(0, 3, 1, 2)), requires_grad=True)
    theirs = torch.nn.functional.conv_transpose2d(images, weight, stride=2, padding=1)
    theirs.sin().sum().backward()
    up = lambda y, w: up_conv(y, w, padding=((1, 1), (1, 1)))
    ported = jnp.asarray(weight.detach().numpy()).transpose(2, 3, 1, 0)
    wanted = theirs.detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(up(y, ported), wanted, rtol=1e-5, atol=1e-5)
    by_y, by_w = jit(jax.grad(lambda y, w: jnp.sin(up(y, w)).sum(), (0, 1)))(y, ported)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    close(by_y, images.grad.numpy().transpose(0, 2, 3, 1))
    close(by_w, weight.grad.numpy().transpose(2, 3, 1, 0))


def test_any_batch_axes_and_vmap_over_either_argument():
    _, y, w = data("odd")
    _, up = ours("odd")
    whole = up(y, w)
    assert up(y[0], w).shape == whole.shape[1:]
    assert up(jnp.zeros((3, 0, *y.shape[1:])), w).shape == (3, 0, *whole.shape[1:])
    gradient = jit(jax.grad(lambda w, y: (up(y, w) ** 2).sum()))
    empty = gradient(w, y[:0])
    np.testing.assert_array_equal(empty, jnp.zeros_like(w))
    per_example, of_kernels, each = jit(
        lambda y, w, ws: (
            jax.vmap(jax.grad(lambda w, y: (up(y, w) ** 2).sum()), (None, 0))(w, y),
            jax.vmap(lambda w: up(y, w))(ws),
            jax.vmap(lambda y: up(y, w), 1, 2)(y[None]),
        )
    )(y, w, jnp.stack([w, 2 * w]))
    np.testing.assert_allclose(per_example.sum(0), gradient(w, y), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_kernels[1], 2 * whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jnp.moveaxis(each[0], 1, 0), whole, rtol=1e-5, atol=1e-5)


def kernel_gradient_of(platform, form=None):
    """The program of the kernel gradient of `up`, as a platform is given it."""
    _, y, w = data("dcgan")
    gradient = lambda y, w: jax.grad(lambda w: (up_conv(y, w, form=form) ** 2).sum())(w)
    return jax.export.export(jax.jit(gradient), platforms=[platform])(y, w).mlir_module()


def test_a_platform_without_a_measurement_gets_the_plain_form():
    def dilated(program):  # convolutions that read images with zeros between the pixels
        return program.count("lhs_dilate = [2, 2]")

    # up itself, and in the plain form its kernel gradient
    assert dilated(kernel_gradient_of("cpu")) == 1 and dilated(kernel_gradient_of("cuda")) == 2
    assert dilated(kernel_gradient_of("cuda", "adjoint")) == 1
    assert dilated(kernel_gradient_of("cpu", "plain")) == 2


def test_both_forms_are_the_same_numbers():
    _, y, w = data("padded")
    _, adjoint = ours("padded", "adjoint")
    _, plain = ours("padded", "plain")
    found = [
        jit(jax.grad(lambda y, w, up=up: jnp.sin(up(y, w)).sum(), (0, 1)))(y, w)
        for up in (adjoint, plain)
    ]
    assert_close(*found, 1e-5)


def test_16_bits_stay_16_bits_and_are_promoted_with_others():
    _, y, w = data("dcgan", jnp.bfloat16)
    assert up_conv(y, w).dtype == jnp.bfloat16
    assert up_conv(y, w.astype(jnp.float32)).dtype == jnp.float32


def test_the_arithmetic_is_counted_without_the_zeros_between_pixels():
    _, y, w = data("dcgan")
    cost = 2 * y.size * w.size // w.shape[-1]
    loss = lambda y, w: (up_conv(y, w) ** 2).sum()
    assert measure.flops.products(up_conv, y, w) == cost
    assert measure.flops.products(jax.grad(loss, (0, 1)), y, w) == 3 * cost


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (9, 8)}, r"size must be one that .* brings down to \(3, 4\); got \(9, 8\)"),
        ({"padding": "VALID"}, "padding must be one of SAME"),
        ({"padding": 1}, r'padding must be "SAME" or \(\(top, bottom\), \(left, right\)\); got 1'),
        ({"form": "fast"}, "form must be one of adjoint, plain"),
        ({"kernel": jnp.ones((4, 4, 2, 3))}, r"y must be images .*2, 3"),
    ],
)
def test_what_does_not_fit_is_said(change, message):
    _, y, w = data("dcgan")
    with pytest.raises(checks.InputError, match=message):
        up_conv(**{"y": y, "kernel": w} | change)
