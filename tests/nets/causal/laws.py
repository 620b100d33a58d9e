"""What holds for every causal net, in as few programs as show it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.measure.flops import products
from dgm_jax.nets import naive
from tests.contracts.compiled import jit


def drawn(net, scale=0.5, dtype=jnp.float32):
    """Parameters N(0, scale²), drawn on the host: nothing to compile."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, scale, a.shape), dtype), shapes)


def few(names, *chosen):
    """All names as cases, of which the default suite runs those chosen."""
    assert set(chosen) <= set(names)
    return [n if n in chosen else pytest.param(n, marks=pytest.mark.full) for n in names]


def numbers(*shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def again(key):
    return None if key is None else jax.random.clone(key)


def earlier(dim):
    """[d, d]: which inputs come before an output."""
    return np.tri(dim, k=-1, dtype=bool)


def sees(net, dim, scale=0.5):
    """[d, d]: whether output i depends on input j, by Jacobians at 9 places, as units are dead at
    some."""
    params = drawn(net, scale)
    jacobian = jit(jax.vmap(jax.jacfwd(lambda x: net.apply(params, x))))(numbers(9, dim))
    return np.abs(np.asarray(jacobian)).max((0, 2)) > 0


def check_scored_as_made(net, dim, *, key=None, scale=0.5):
    """x and f of the unroll are those of d passes, and f is that of a pass.

    The unroll makes f_i before there is an x_i, so that a pass which gives the same does not look
    ahead. For a net of numbers in the order 0..dim-1, with a condition of its shape and a key, if
    any.
    """
    params, slow = drawn(net, scale), naive(net.init, net.apply, dim)
    cond = None if net.cond_shape is None else numbers(2, *net.cond_shape, seed=2)

    def emit(i, f):
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(5), i), f.shape[:-1])
        return jnp.tanh(f.sum(-1)) + noise

    @jit
    def run(params, key):
        made = [n.unroll(params, emit, (2,), cond, key=again(key))[:2] for n in (net, slow)]
        x = made[0][0]
        f = net.apply(params, x, cond, key=again(key))
        return made, f, f if key is None else net.apply(params, x, cond)

    ((x, f), (x_slow, f_slow)), f_pass, without_key = run(params, key)
    np.testing.assert_allclose(x, x_slow, atol=1e-5)
    np.testing.assert_allclose(f, f_slow, atol=1e-4)
    np.testing.assert_allclose(f, f_pass, atol=1e-4)
    assert (np.abs(f - without_key).max() > 1e-3) == (key is not None)


def check_condition_of_each_step(net, dim, scale=0.5):
    """An output answers to the condition of its own step, and to that of no later one."""
    params, x = drawn(net, scale), numbers(dim)
    jacobian = jit(jax.jacfwd(lambda c: net.apply(params, x, c)))(numbers(*net.cond_shape))
    steps = int(np.prod(net.cond_shape[:-1]))
    moves = np.abs(np.asarray(jacobian)).reshape(steps, -1, steps, net.cond_shape[-1]).max((1, 3))
    assert (np.triu(moves, 1) == 0).all() and (np.diag(moves) > 0).all()


def check_sequence(make, dim=12):
    """Of make(dim, encoding=..., cond_shape=...): cost, start, length, in one program."""
    net = make(dim, encoding=nets.one_hot(3))
    params = drawn(net)
    together = products(net.apply, params, jnp.zeros((5, dim), jnp.int32))
    alone = products(lambda p: net.unroll(p, lambda i, f: jnp.argmax(f, -1), (5,))[0], params)
    assert together == alone > 0

    # The number 0, level 0 of a one-hot and the middle of a scale are all zeros as inputs.
    starts = [(None, 0.0), (nets.one_hot(3), 0), (nets.scaled(3), 1)]
    coded = [(make(dim, encoding=encoding), jnp.full(dim, zero)) for encoding, zero in starts]
    long, short = make(dim, cond_shape=(2,)), make(5, cond_shape=(2,))
    x, cond = numbers(3, dim), numbers(3, 2)

    @jit
    def run(key):
        at_start = [net.apply(drawn(net, 0.7), x)[:2] for net, x in coded]
        fresh = long.apply(long.init(key), x, cond)
        of_both = long.apply(drawn(long), x, cond)[:, :5], short.apply(drawn(short), x[:, :5], cond)
        return at_start, fresh, of_both

    at_start, fresh, (of_long, of_short) = run(jax.random.key(0))
    for f in at_start:  # before the start is no value
        assert jnp.abs(f[0] - f[1]).max() > 1e-4
    np.testing.assert_array_equal(fresh, 0)
    np.testing.assert_allclose(of_long, of_short, atol=1e-6)  # the parameters know no length


def check_cost_of_a_picture(make, **sizes):
    """A sample costs at most 1.5 passes, a class and channels included; also at larger sizes."""
    for shape, options in [((5, 6, 2), sizes), ((16, 16, 1), {"hidden": 32, "num_layers": 1})]:
        net = make(shape, **options, num_outputs=4, encoding=nets.one_hot(4), cond_shape=(3,))
        params = jax.eval_shape(net.init, jax.random.key(0))
        x, cond = jnp.zeros((2, int(np.prod(shape))), jnp.int32), jnp.zeros((2, 3))

        def sample(params, cond, net=net):
            return net.unroll(params, lambda i, f: jnp.argmax(f, -1), (2,), cond)[0]

        assert 0 < products(sample, params, cond) <= 1.5 * products(net.apply, params, x, cond)


def check_starts_at_zero(make):
    """Whatever the input and the class."""
    net = make((2, 2, 1), num_outputs=2, cond_shape=(2,))
    f = jit(lambda key: net.apply(net.init(key), jnp.ones((5, 4)), jnp.ones((5, 2))))
    np.testing.assert_array_equal(f(jax.random.key(0)), np.zeros((5, 4, 2)))
