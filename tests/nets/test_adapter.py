"""A linen module as a pair of pure functions."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.nets import from_linen
from tests.contracts.compiled import jit


class Noisy(linen.Module):
    @linen.compact
    def __call__(self, x, deterministic):
        return linen.Dropout(0.5, deterministic=deterministic)(linen.Dense(4)(x))


class Silent(linen.Module):
    @linen.compact
    def __call__(self, x, c):
        return linen.Dense(4)(x) + linen.Dense(4)(c)


class Double(linen.Module):
    def __call__(self, x):
        return 2 * x


class WithState(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.BatchNorm(use_running_average=False)(x)


def test_dropout_acts_with_a_key_and_only_then(key):
    net = from_linen(Noisy(), (3,))
    params, x = jit(net.init)(key), jnp.ones((64, 3))
    apply = jit(net.apply)
    still = apply(params, x)
    np.testing.assert_array_equal(still, apply(params, x))
    noisy = apply(params, x, key=jax.random.key(1))
    dropped = (noisy == 0).mean()
    assert 0.3 < dropped < 0.7
    np.testing.assert_allclose(noisy[noisy != 0], 2 * still[noisy != 0], rtol=1e-6)
    assert jnp.any(noisy != apply(params, x, key=jax.random.key(2)))
    np.testing.assert_array_equal(noisy, apply(params, x, key=jax.random.key(1)))


def test_a_module_without_a_switch_takes_several_inputs_and_batches(key):
    net = from_linen(Silent(), (3,), (2,))
    params = jit(net.init)(key)
    x, c = jnp.ones((5, 3)), jnp.ones((5, 2))
    dense = params["Dense_0"]["kernel"], params["Dense_1"]["kernel"]
    np.testing.assert_allclose(net.apply(params, x, c), x @ dense[0] + c @ dense[1], rtol=1e-6)


def test_a_module_without_parameters_is_a_net_of_none(key):
    net = from_linen(Double(), (3,))
    assert net.init(key) == {}
    np.testing.assert_array_equal(net.apply({}, jnp.ones(3)), 2)


def test_a_module_that_keeps_state_is_refused(key):
    with pytest.raises(ValueError, match="WithState keeps state .*batch_stats.*running statistics"):
        from_linen(WithState(), (3,)).init(key)


def test_parameters_cross_jit_vmap_and_grad(key):
    net = from_linen(Silent(), (3,), (2,))
    params = jit(jax.vmap(net.init))(jax.random.split(key, 2))
    x, c = jnp.ones((5, 3)), jnp.ones((5, 2))
    together = jit(jax.vmap(net.apply, (0, None, None)))(params, x, c)
    grads = jit(jax.vmap(jax.grad(lambda p: (net.apply(p, x, c) ** 2).sum())))(params)
    for i in range(2):
        one = jax.tree.map(lambda a: a[i], params)
        np.testing.assert_allclose(together[i], jit(net.apply)(one, x, c), rtol=1e-5)
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
