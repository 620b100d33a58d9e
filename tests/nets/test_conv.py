"""Nets from images to images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.nets import conv_resnet, gated_attention
from tests.contracts.compiled import jit

SHAPE, OUT = (6, 5, 2), 3
NETS = {"conv_resnet": conv_resnet, "gated_attention": gated_attention}
SMALL = {"hidden": 8, "num_blocks": 1}
everywhere = pytest.mark.parametrize("name", NETS)


def drawn(net):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.3, a.shape), a.dtype), shapes)


def images(*batch):
    return jnp.asarray(np.random.default_rng(1).normal(size=(*batch, *SHAPE)), jnp.float32)


@everywhere
def test_the_output_is_zero_at_the_start(name):
    net = NETS[name](SHAPE, OUT, **SMALL)
    y = jit(lambda key, x: net.apply(net.init(key), x))(jax.random.key(0), images(2))
    np.testing.assert_array_equal(y, np.zeros((2, *SHAPE[:2], OUT)))


@everywhere
def test_a_batch_is_its_single_images(name):
    net = NETS[name](SHAPE, OUT, **SMALL)
    params, x = drawn(net), images(2, 3)
    run = jit(net.apply)
    y = run(params, x)
    assert y.shape == (2, 3, *SHAPE[:2], OUT)
    np.testing.assert_allclose(run(params, x[1, 2]), y[1, 2], rtol=1e-4, atol=1e-4)


@everywhere
def test_a_condition_is_of_all_pixels_or_of_each(name):
    """A vector is a map that is the same everywhere; one image may meet three conditions."""
    of_all, of_each = (
        NETS[name](SHAPE, OUT, **SMALL, cond_shape=shape) for shape in ((4,), (*SHAPE[:2], 4))
    )
    params, x = drawn(of_all), images(3)
    cond = jnp.asarray(np.random.default_rng(2).normal(size=(3, 4)), jnp.float32)

    @jit
    def run(params, x, cond):
        maps = jnp.broadcast_to(cond[:, None, None], (3, *SHAPE[:2], 4))
        changed = of_each.apply(params, x, maps.at[:, 2, 3].add(1.0))
        one = of_all.apply(params, x[0], cond)
        return of_all.apply(params, x, cond), of_each.apply(params, x, maps), changed, one

    y, same, changed, one = run(params, x, cond)
    np.testing.assert_allclose(same, y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(one[0], y[0], rtol=1e-4, atol=1e-4)
    assert jnp.abs(one[1] - one[0]).max() > 1e-2
    assert jnp.abs(changed - y)[:, 2, 3].min() > 1e-4


@pytest.mark.parametrize("num_blocks", [0, 1, 2])
def test_a_pixel_of_the_resnet_sees_those_within_2_and_2_a_block(num_blocks):
    shape = (1, 17, 1)
    net = conv_resnet(shape, 1, hidden=4, num_blocks=num_blocks)
    params, x = drawn(net), jnp.ones(shape)
    seen = jit(jax.grad(lambda x: net.apply(params, x)[0, 8, 0]))(x)[0, :, 0]
    reach = 2 + 2 * num_blocks
    np.testing.assert_array_equal(np.flatnonzero(seen), np.arange(8 - reach, 9 + reach))


def test_a_pixel_of_the_attention_sees_all_and_knows_where_it_is():
    net = gated_attention(SHAPE, 1, **SMALL)
    params, x = drawn(net), images()
    seen = jit(jax.grad(lambda x: net.apply(params, x)[0, 0, 0]))(x)
    assert (jnp.abs(seen) > 0).all()
    wide = gated_attention((10, 10, 2), 1, **SMALL)
    flat = jit(wide.apply)(drawn(wide), jnp.ones((10, 10, 2)))
    assert jnp.abs(flat[4, 4] - flat[5, 5]).max() > 1e-4  # where convolutions meet no border
