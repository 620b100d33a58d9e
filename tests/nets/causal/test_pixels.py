"""Nets of images: what a pixel sees, that it sees nothing ahead, what a step at a time costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.measure.flops import products
from dgm_jax.nets.causal.convolutions import CausalConv, RowConv
from dgm_jax.nets.causal.time import AllSteps, OneStep
from tests.contracts.compiled import jit

SMALL = {"hidden": 4, "kernel_size": 3}
BLIND = {"pixelcnn": {"first_kernel_size": 3, "num_layers": 4}}
SEEING = {
    "gated_pixelcnn": {"first_kernel_size": 3, "num_layers": 5},
    "pixelcnn_pp": {"num_layers": 1},
    "pixelsnail": {"num_layers": 1, "num_convs": 1},
}
NETS = BLIND | SEEING
everywhere = pytest.mark.parametrize("name", NETS)


def built(name, shape, **options):
    """The net of numbers, or of levels with an encoding, and parameters N(0, 0.5²)."""
    net = getattr(nets, name)(shape, **(SMALL | NETS[name] | options))
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    draw = lambda a: jnp.asarray(rng.normal(0, 0.5, a.shape), a.dtype)  # noqa: E731
    return net, jax.tree.map(draw, shapes)


def sees(name, shape, **options):
    """[d, d]: whether output i depends on input j, by Jacobians at random places (units are dead
    at some)."""
    net, params = built(name, shape, **options)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(9, np.prod(shape))), jnp.float32)
    jacobian = jit(jax.vmap(jax.jacfwd(lambda x: net.apply(params, x))))(x)
    return np.abs(np.asarray(jacobian)).max((0, 2)) > 0


def earlier(shape):
    return np.tri(int(np.prod(shape)), k=-1, dtype=bool)


@pytest.mark.parametrize("name", SEEING)
def test_every_earlier_pixel_is_seen_and_no_other(name):
    """Two stacks, or attention, leave no blind spot."""
    np.testing.assert_array_equal(sees(name, (4, 5, 1)), earlier((4, 5, 1)))


@pytest.mark.parametrize("first, later, missed", [(3, 3, 4 + 3 + 2), (7, 3, 2 + 1), (3, 5, 4 + 2)])
def test_pixelcnn_misses_the_triangles_above_to_the_right(first, later, missed):
    """It sees first // 2 columns right in the row above, and k // 2 more of a row further up."""
    height, width = shape = 4, 6
    row, column = np.divmod(np.arange(height * width), width)
    up = row[:, None] - row
    blind = (up > 0) & (column - column[:, None] > first // 2 + (up - 1) * (later // 2))
    sizes = {"first_kernel_size": first, "kernel_size": later, "num_layers": 6, "hidden": 8}
    found = sees("pixelcnn", (*shape, 1), **sizes)
    np.testing.assert_array_equal(found, earlier(shape) & ~blind)
    pixel = 3 * width  # the first of the last row, and what it misses in the rows 1, 2 and 3 up
    assert (earlier(shape) & ~found)[pixel].sum() == missed


def test_a_layer_of_two_stacks_sees_half_a_kernel_further_up_and_to_the_sides():
    """The first 2 pixels, of a kernel of 5, the second one more."""
    found = sees("gated_pixelcnn", (6, 8, 1), num_layers=2, first_kernel_size=5)
    row, column = np.divmod(np.arange(6 * 8), 8)
    up, aside = row[:, None] - row, column - column[:, None]
    above = (up >= 1) & (up <= 3) & (abs(aside) <= 3)
    np.testing.assert_array_equal(found, above | (up == 0) & (aside >= -3) & (aside <= -1))


@everywhere
def test_the_channels_of_a_pixel_come_in_order(name):
    """Red sees no channel of its pixel, green red, blue both; one row, so none is blind."""
    np.testing.assert_array_equal(sees(name, (1, 3, 3)), earlier((1, 3, 3)))
    found = sees(name, (2, 2, 2))
    assert not (found & ~earlier((2, 2, 2))).any()


@everywhere
@pytest.mark.parametrize("shape", [(1, 4, 1), (4, 1, 1), (1, 1, 2)])
def test_pictures_of_one_row_or_column_are_sequences(name, shape):
    np.testing.assert_array_equal(sees(name, shape), earlier(shape))


@everywhere
def test_a_sample_costs_the_products_of_one_pass(name):
    """At most 1.5 times, classes and channels included; also at the default sizes."""
    small, large = ((5, 6, 2), SMALL), ((16, 16, 1), {"hidden": 32})
    for shape, sizes in (small, large):
        net = getattr(nets, name)(
            shape, **sizes, num_outputs=4, encoding=nets.one_hot(4), cond_shape=(3,)
        )
        params = jax.eval_shape(net.init, jax.random.key(0))
        x, cond = jnp.zeros((2, int(np.prod(shape))), jnp.int32), jnp.zeros((2, 3))
        together = products(net.apply, params, x, cond)
        emit = lambda i, f: jnp.argmax(f, -1)  # noqa: E731
        alone = products(lambda p, c: net.unroll(p, emit, (2,), c)[0], params, cond)
        assert 0 < alone <= 1.5 * together


@everywhere
def test_it_starts_as_zero(name):
    """Whatever the input and the class."""
    options = SMALL | NETS[name] | {"num_layers": 1}
    net = getattr(nets, name)((2, 2, 1), **options, num_outputs=2, cond_shape=(2,))
    start = lambda key, x, c: net.apply(net.init(key), x, c)  # noqa: E731
    f = jit(start)(jax.random.key(0), jnp.ones((5, 4)), jnp.ones((5, 2)))
    np.testing.assert_array_equal(f, np.zeros((5, 4, 2)))


KERNEL = {
    (2, 1, 1, False): [[1, 1, 1], [1, 1, 1], [1, 1, 0]],
    (1, 2, 1, True): [[1, 1, 1, 1], [1, 1, 0, 0]],
    (1, 1, 0, False): [[1, 1], [1, 1]],
    (0, 2, 5, True): [[1, 1, 0]],
}


@pytest.mark.parametrize("taps", KERNEL)
def test_a_causal_convolution_is_the_masked_one(taps):
    """Written out as a sum over the taps of its kernel, in both views."""
    up, left, right, late = taps
    height, width = 4, 5
    conv = CausalConv(1, width, up, left, right, late)
    x = np.random.default_rng(0).normal(size=(2, height, width, 1)).astype(np.float32)
    wanted = np.zeros_like(x)
    for i, row in enumerate(KERNEL[taps]):
        for j, there in enumerate(row):
            for r in range(height):
                for c in range(width):
                    above, aside = r - (len(KERNEL[taps]) - 1 - i), c + j - left
                    if there and above >= 0 and 0 <= aside < width:
                        wanted[:, r, c] += x[:, above, aside]
    steps = x.reshape(2, -1, 1)
    u = np.pad(steps, [(0, 0), (1, 0), (0, 0)])[:, :-1] if late else steps
    num_taps = int(np.sum(KERNEL[taps]))
    params = {"params": {"kernel": jnp.ones((num_taps, 1, 1)), "bias": jnp.zeros(1)}}
    together = conv.apply(params, AllSteps(height * width), u)
    np.testing.assert_allclose(together, wanted.reshape(2, -1, 1), atol=1e-5)

    def step(memory, at):
        view = OneStep(height * width, at[0], memory)
        y = conv.apply(params, view, at[1])
        return view.memory, y

    first = OneStep(height * width, 0)
    conv.apply(params, first, u[:, 0])
    empty = jax.tree.map(jnp.zeros_like, first.memory)
    at = jnp.arange(height * width), jnp.moveaxis(u, 1, 0)
    _, y = jit(lambda at: jax.lax.scan(step, empty, at))(at)
    np.testing.assert_allclose(jnp.moveaxis(y, 0, 1), together, atol=1e-5)


def test_weights_that_no_pixel_can_use_do_not_exist():
    """A kernel that is larger than the picture is cut to it, and the fan-in counts legal taps."""
    u, key = jnp.zeros((1, 50)), jax.random.key(0)
    conv = CausalConv(400, width=2, up=3, left=3, right=3)
    kernel = conv.init(key, OneStep(4, 0), u)["params"]["kernel"]
    assert kernel.shape == (3 + 2, 50, 400)  # of 3 rows and 7 columns
    np.testing.assert_allclose(kernel.std(), 1 / np.sqrt(5 * 50), rtol=0.02)
    rows = RowConv(1, up=3, side=3).init(jax.random.clone(key), OneStep(2, 0), jnp.zeros((1, 2, 1)))
    assert rows["params"]["kernel"].shape == (2, 3, 1, 1)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("pixelcnn", {"kernel_size": 4}, "kernel_size must be odd, to have a middle; got 4"),
        ("gated_pixelcnn", {"first_kernel_size": 1}, "first_kernel_size must be an integer of at"),
        ("pixelcnn_pp", {"num_layers": 0}, "num_layers must be an integer of at least 1; got 0"),
        ("pixelsnail", {"hidden": 6, "num_heads": 4}, "num_heads must divide hidden=6; got 4"),
        ("pixelsnail", {"num_convs": 0}, "num_convs must be an integer"),
        ("pixelcnn_pp", {"hidden": (8, 8)}, "hidden must be an integer"),
        ("pixelcnn", {"cond_shape": (-1,)}, "each entry of cond_shape"),
    ],
)
def test_bad_sizes_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(nets, name)((2, 2, 1), **options)
    with pytest.raises(ValueError, match=r"shape must be \(height, width, channels\); got"):
        getattr(nets, name)((8, 8))


@everywhere
def test_an_option_that_is_misspelt_is_refused_by_the_function_that_was_called(name):
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected .*argument 'hiden'"):
        getattr(nets, name)((2, 2, 1), hiden=3)
