"""RevNet and i-RevNet: bijections, with the gradients of backprop in the memory of a layer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import nets
from dgm_jax.nets import irevnet, mlp, revnet
from tests.contracts.compiled import jit
from tests.helpers import drawn, perturb

DIM = 6


def couplings(f, params, x):
    """The layers of `nets.revnet` for plain autodiff: (a, b) -> (b, a + F(b)), stacked."""

    def body(halves, p):
        a, b = halves
        return (b, a + f.apply(p, b)), None

    return jnp.concatenate(jax.lax.scan(body, tuple(jnp.split(x, 2, -1)), params)[0], -1)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def moved(net):
    return drawn(net, 0.2)


def points(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


def block(**options):
    return mlp(DIM // 2, DIM // 2, hidden=(8,), zero_last=True, **options)


def written_out(params, x, f):
    """The formula of the layer, for plain autodiff: y_1 = x_1 + F(x_2), y_2 = x_2 + G(y_1)."""
    x_1, x_2 = jnp.split(x, 2, -1)
    for i in range(0, len(jax.tree.leaves(params)[0]), 2):
        of_f, of_g = (jax.tree.map(lambda a, j=j: a[j], params) for j in (i, i + 1))
        x_1 = x_1 + f(of_f, x_2)
        x_2 = x_2 + f(of_g, x_1)
    return jnp.concatenate([x_1, x_2], -1)


def gradients(apply, params, x):
    def loss(params, x):
        y = apply(params, x)
        return (jnp.sin(y) * y).sum(), y

    return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, x)


def close(got, wanted, tol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tol, atol=tol), got, wanted)


def both(num_layers, dtype):
    net = revnet(block(), num_layers=num_layers)
    params, x = jax.tree.map(lambda a: a.astype(dtype), (moved(net), points(5, DIM)))

    @jit
    def run(params, x):
        plain = gradients(lambda p, x: written_out(p, x, block().apply), params, x)
        return gradients(net.apply, params, x), plain

    return run(params, x)


of_one_layer = partial(pytest.param, 1, marks=pytest.mark.full)


@pytest.mark.parametrize("num_layers, tol", [of_one_layer(1e-12), (4, 1e-10)])
def test_values_and_gradients_are_those_of_ordinary_backprop(float64, num_layers, tol):
    close(*both(num_layers, jnp.float64), tol)


@pytest.mark.parametrize("num_layers, tol", [of_one_layer(1e-5), (8, 1e-4)])
def test_in_float32_the_error_grows_with_depth_and_stays_small(num_layers, tol):
    close(*both(num_layers, jnp.float32), tol)


@pytest.mark.parametrize("zero_last", [True, False])
def test_deep_nets_need_blocks_that_start_at_zero(zero_last):
    """32 layers in float32: errors of inverse and gradient, as the docstring has them."""
    of_block = mlp(8, 8, hidden=(32,), zero_last=zero_last)
    net, x = revnet(of_block, num_layers=32), points(64, 16)

    @jit
    def run(key, move_key, x):
        params = net.init(key)
        if zero_last:
            params = perturb(params, move_key, 0.03)
        plain = jax.grad(lambda p: jnp.tanh(couplings(of_block, p, x)).mean())(params)
        own = jax.grad(lambda p: jnp.tanh(net.apply(p, x)).mean())(params)
        return net.inverse(params, net.apply(params, x)), own, plain

    back, own, plain = run(jax.random.key(0), jax.random.key(1), x)
    error = jnp.abs(back - x).max()
    off = optax.tree.norm(jax.tree.map(jnp.subtract, own, plain)) / optax.tree.norm(plain)
    if zero_last:
        assert error < 5e-6 and off < 5e-7
    else:
        assert error > 0.1 and off > 1e-4


def test_halves_are_computed_with_in_the_dtype_of_the_parameters_or_wider():
    net = revnet(block(), num_layers=3)
    params, x = moved(net), points(5, DIM)
    half = x.astype(jnp.bfloat16)
    for run in (net.apply, net.inverse):
        of_half = jit(run)(params, half)
        assert of_half.dtype == jnp.float32
        close(of_half, jit(run)(params, half.astype(jnp.float32)), 1e-6)
    grad = jax.eval_shape(jax.grad(lambda x: net.apply(params, x).sum()), half)
    assert grad.dtype == jnp.bfloat16


def conv(shape, channels):
    return nets.conv_resnet(shape, channels, hidden=5, num_blocks=1)


NETS = {
    "revnet": (lambda: revnet(block(), num_layers=3), (4, DIM)),
    "irevnet": (lambda: irevnet((4, 8, 1), num_stages=2, num_layers=1, block=conv), (3, 4, 8, 1)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_inverted_and_keeps_its_size(name):
    make, shape = NETS[name]
    net, x = make(), points(*shape)
    y, back = jit(lambda p, x: (net.apply(p, x), net.inverse(p, net.apply(p, x))))(moved(net), x)
    assert y.size == x.size
    close(back, x, 1e-5)
    assert jnp.abs(jnp.linalg.norm(y) - jnp.linalg.norm(x)) > 1e-3  # no rearrangement alone


def test_an_irevnet_folds_space_into_channels_and_is_a_bijection():
    """det ∂y/∂x = ±1: couplings add, squeezes rearrange."""
    net = NETS["irevnet"][0]()
    params = moved(net)
    jacobian = jit(jax.jacrev(lambda x: net.apply(params, x)))(points(4, 8, 1))
    assert jacobian.shape == (1, 2, 16, 4, 8, 1)
    sign, log_det = jnp.linalg.slogdet(jacobian.reshape(32, 32))
    assert abs(sign) == 1
    np.testing.assert_allclose(log_det, 0, atol=1e-3)


def test_the_way_back_draws_the_dropout_of_the_way_there(float64):
    net = revnet(block(dropout=0.5), num_layers=3)
    params, x = moved(net), points(5, DIM)

    @jit
    def run(params, x, key, again):
        loss = lambda x, k: (net.apply(params, x, key=k) ** 2).sum()
        slope = jax.grad(loss)(x, key)
        step = 1e-6 * jnp.ones_like(x)
        difference = loss(x + step, again) - loss(x - step, jax.random.clone(again))
        there = net.apply(params, x, key=jax.random.clone(again))
        back = net.inverse(params, there, key=jax.random.clone(again))
        return slope.sum(), difference / 2e-6, back, there

    slope, difference, back, there = run(params, x, jax.random.key(1), jax.random.key(1))
    np.testing.assert_allclose(slope, difference, rtol=1e-6)
    close(back, x, 1e-12)
    assert jnp.abs(there - jit(net.apply)(params, x)).max() > 1e-3


def temporary_bytes(net, shape, apply):
    params = jax.eval_shape(net.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    grad = jax.jit(jax.grad(lambda p, x: (apply(p, x) ** 2).sum()))
    return grad.lower(params, x).compile().memory_analysis().temp_size_in_bytes


def test_the_memory_of_a_gradient_does_not_depend_on_the_depth():
    """Of the compiled program; ordinary backprop through the same layers keeps them all."""
    of_block, shape = mlp(32, 32, hidden=(64,)), (4096, 64)

    def kept(depth):
        net = revnet(of_block, num_layers=depth)
        return temporary_bytes(net, shape, net.apply)

    def plain(depth):
        net = revnet(of_block, num_layers=depth)
        return temporary_bytes(net, shape, lambda p, x: couplings(of_block, p, x))

    assert kept(32) < 1.05 * kept(4)
    one_activation = 4096 * 64 * 4
    assert plain(8) - plain(4) > 3 * one_activation


def test_nor_does_that_of_an_irevnet():
    """Images of 0.5 MB in two stages, of 4 and of 32 layers; the net of a pixel compiles fast."""

    def of_pixel(shape, channels):
        return mlp(channels, channels, hidden=(8,))

    def kept(depth):
        net = irevnet((8, 8, 2), num_stages=2, num_layers=depth, block=of_pixel)
        return temporary_bytes(net, (1024, 8, 8, 2), net.apply)

    assert kept(32) < 1.05 * kept(4)


def test_bad_sizes_are_refused():
    net, deeper = revnet(block(), num_layers=1), revnet(block(), num_layers=2)
    for call, words in [
        (lambda: net.apply(None, jnp.ones((2, 5))), "even last axis"),
        (lambda: revnet(block(), num_layers=0), "num_layers must be an integer of at least 1"),
        (lambda: revnet(mlp, num_layers=1), "block must be a Net"),
        (lambda: irevnet((6, 8, 1), num_stages=2), "fewer stages"),
        (lambda: net.apply(moved(net), jnp.ones((2, DIM), int)), "must be floating"),
        (lambda: deeper.apply(moved(net), jnp.ones((2, DIM))), r"4 blocks.*\(2,\).*num_layers"),
        (lambda: deeper.inverse(moved(net), jnp.ones((2, DIM))), "stack 4 blocks"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
