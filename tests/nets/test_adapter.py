"""A linen module as a pair of pure functions."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
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


IMAGE = (2, 2, 2)
OF_PICTURES = {"hidden": 4, "num_layers": 1, "num_outputs": 2, "cond_shape": (2,)}
NETS = {
    "made": lambda: nets.made(3, hidden=(4,), num_outputs=2, cond_shape=(2,)),
    "markov": lambda: nets.markov(3, window=1, hidden=(4,), num_outputs=2, cond_shape=(2,)),
    "rnn": lambda: nets.rnn(3, hidden=4, num_outputs=2, cond_shape=(2,)),
    "wavenet": lambda: nets.wavenet(3, hidden=4, dilations=(1,), num_outputs=2, cond_shape=(2,)),
    "transformer": lambda: nets.transformer(3, **OF_PICTURES, num_heads=2),
    "pixelcnn": lambda: nets.pixelcnn(IMAGE, **OF_PICTURES),
    "gated_pixelcnn": lambda: nets.gated_pixelcnn(IMAGE, **OF_PICTURES),
    "pixelcnn_pp": lambda: nets.pixelcnn_pp(IMAGE, **OF_PICTURES),
    "pixelsnail": lambda: nets.pixelsnail(IMAGE, **OF_PICTURES),
    "mlp": lambda: nets.mlp((3, 2), 2, hidden=(4,)),
    "conv_resnet": lambda: nets.conv_resnet(IMAGE, 2, hidden=4, cond_shape=(2,)),
    "gated_attention": lambda: nets.gated_attention(IMAGE, 2, hidden=4, cond_shape=(2,)),
    "revnet": lambda: nets.revnet(nets.mlp(2, 2, hidden=(4,)), num_layers=1),
    "irevnet": lambda: nets.irevnet(IMAGE, num_stages=1, num_layers=1),
}
INPUTS = {
    "mlp": ((3,), (2,)),
    "conv_resnet": (IMAGE, (1, 1, 2)),
    "gated_attention": (IMAGE, (1, 1, 2)),
    "revnet": ((4,),),
    "irevnet": (IMAGE,),
}


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_parameters_of_all_nets_and_their_outputs_have_the_default_float(name, x64):
    """One dtype, whichever layers a net is made of; nothing is computed."""
    with jax.enable_x64(x64):
        dtype, net = jnp.zeros(()).dtype, NETS[name]()
        params = jax.eval_shape(net.init, jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {dtype}
        dim = 3 if name in ("made", "markov", "rnn", "wavenet", "transformer") else 8
        shapes = INPUTS.get(name, ((dim,), (2,)))
        assert jax.eval_shape(net.apply, params, *map(jnp.zeros, shapes)).dtype == dtype


def test_the_table_has_every_net():
    others = {"from_linen", "naive", "one_hot", "scaled", "receptive_field"}
    functions = {n for n, f in vars(nets).items() if callable(f) and not isinstance(f, type)}
    assert functions - others == set(NETS)
