"""The multilayer perceptron."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.nets import mlp
from tests.contracts.compiled import jit


def test_mlp_is_the_formula(key):
    """W_2 s(W_1 [x, c] + b_1) + b_2, one condition for a batch of x."""
    net = mlp((3, 2), 4, hidden=(5,), activation=jnp.tanh)
    params = jit(net.init)(key)
    x, c = jnp.arange(18.0).reshape(2, 3, 3) / 9, jnp.array([0.5, -1.0])
    joined = jnp.concatenate([x, jnp.broadcast_to(c, (2, 3, 2))], -1)
    first, last = params["Dense_0"], params["Dense_1"]
    hidden = jnp.tanh(joined @ first["kernel"] + first["bias"])
    wanted = hidden @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(net.apply(params, x, c), wanted, rtol=1e-5, atol=1e-6)
    assert wanted.shape == (2, 3, 4)


def test_zero_last_starts_at_zero_with_gradients_that_leave_it(key):
    net = mlp(3, 4, hidden=(5,), zero_last=True)
    params, x = jit(net.init)(key), jnp.ones((2, 3))
    np.testing.assert_array_equal(net.apply(params, x), 0)
    grads = jax.grad(lambda p: net.apply(p, x).sum())(params)
    assert jnp.abs(grads["Dense_1"]["kernel"]).max() > 0


def test_without_hidden_layers_it_is_linear(key):
    net = mlp(3, 2, hidden=())
    params = jit(net.init)(key)
    f = net.apply(params, jnp.eye(3)) - net.apply(params, jnp.zeros(3))
    np.testing.assert_allclose(f, params["Dense_0"]["kernel"], rtol=1e-5, atol=1e-6)


def test_dropout_acts_with_a_key_and_only_then(key):
    net = mlp(3, 2, hidden=(50,), dropout=0.5)
    params, x = jit(net.init)(key), jnp.ones(3)
    still, noisy = net.apply(params, x), net.apply(params, x, key=jax.random.key(1))
    np.testing.assert_array_equal(still, net.apply(params, x))
    assert jnp.abs(still - noisy).max() > 1e-3


def test_a_width_may_be_a_numpy_integer(key):
    shapes = jax.eval_shape(mlp(np.int64(3), 2, hidden=(4,)).init, key)
    assert shapes["Dense_0"]["kernel"].shape == (3, 4)
