"""Nets of sequences: what each output sees, what a step costs, and that none knows the length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import nets
from dgm_jax.measure.flops import products
from tests.contracts.compiled import jit

DIM, COND = 12, 2
NETS = {
    "markov": (nets.markov, {"window": 3, "hidden": (6, 5)}, 3),
    "markov, window 1": (nets.markov, {"window": 1, "hidden": (6,)}, 1),
    "gru": (nets.rnn, {"hidden": 4}, DIM),
    "lstm": (nets.rnn, {"hidden": 4, "cell": "lstm"}, DIM),
    "gru, two layers": (nets.rnn, {"hidden": 4, "num_layers": 2}, DIM),
    "wavenet": (nets.wavenet, {"hidden": 4, "dilations": (1, 2, 4)}, 8),
    "wavenet, three taps": (
        nets.wavenet,
        {"hidden": 4, "dilations": (1, 3), "kernel_size": 3, "skip": 3},
        9,
    ),
    "wavenet, one layer": (nets.wavenet, {"hidden": 4, "dilations": (2,)}, 3),
}
everywhere = pytest.mark.parametrize("name", NETS)


def build(name, dim=DIM, **own):
    make, options, _ = NETS[name]
    return make(dim, num_outputs=2, **options, **own)


def drawn(net, scale=0.7):
    """Parameters N(0, scale²), drawn on the host."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, scale, a.shape), a.dtype), shapes)


@everywhere
def test_an_output_sees_its_receptive_field_and_nothing_else(name):
    """The Jacobian, alive from one step back to as far as is stated, zero beyond.

    Convolutions see steps that no sum of their lags reaches nowhere: only those are skipped.
    """
    net, reach = build(name), NETS[name][2]
    params = drawn(net)
    x = jnp.asarray(np.random.default_rng(1).normal(size=DIM), jnp.float32)
    jacobian = jit(jax.jacfwd(lambda x: net.apply(params, x)))(x)
    moves = np.abs(np.asarray(jacobian)).max(1) > 0  # [output, input]
    lag = np.arange(DIM)[:, None] - np.arange(DIM)
    assert not moves[(lag < 1) | (lag > reach)].any()
    holes = {"wavenet, one layer": [2]}.get(name, [])  # the taps of one layer: lags 1 and 3
    assert moves[(lag >= 1) & (lag <= reach) & ~np.isin(lag, holes)].all()


def test_the_receptive_field_is_one_more_than_the_taps_beyond_the_first():
    assert nets.receptive_field([2**i for i in range(10)]) == 1024
    assert nets.receptive_field([2**i for i in range(10)] * 3) == 3070
    assert nets.receptive_field((1, 3), kernel_size=3) == NETS["wavenet, three taps"][2]
    assert nets.receptive_field((1, 2, 4)) == NETS["wavenet"][2]


@everywhere
def test_before_the_start_is_no_value(name):
    """The number 0, level 0 of a one-hot and the middle of a scale are all zeros as inputs."""
    for encoding, zero in ((None, 0.0), (nets.one_hot(3), 0), (nets.scaled(3), 1)):
        net = build(name, encoding=encoding)
        f = jit(net.apply)(drawn(net), jnp.full((1, DIM), zero))[0]
        assert jnp.abs(f[0] - f[1]).max() > 1e-4


@everywhere
def test_the_parameters_do_not_know_the_length(name):
    """A model of dim 12 and one of dim 5: the same parameters, the same outputs of a beginning."""
    net, short = build(name, cond_shape=(COND,)), build(name, 5, cond_shape=(COND,))
    shapes = [jax.eval_shape(n.init, jax.random.key(0)) for n in (net, short)]
    assert shapes[0] == shapes[1]
    rng = np.random.default_rng(1)
    x, cond = (jnp.asarray(rng.normal(size=(3, n)), jnp.float32) for n in (DIM, COND))
    params = drawn(net)
    f, f_short = jit(lambda p: (net.apply(p, x, cond), short.apply(p, x[:, :5], cond)))(params)
    np.testing.assert_allclose(f[:, :5], f_short, atol=1e-6)


@everywhere
def test_all_steps_one_by_one_cost_the_products_of_one_pass(name):
    net = build(name, encoding=nets.one_hot(3))
    params = drawn(net)
    x = jnp.zeros((5, DIM), jnp.int32)
    together = products(net.apply, params, x)
    alone = products(lambda p: net.unroll(p, lambda i, f: jnp.argmax(f, -1), (5,))[0], params)
    assert together == alone > 0


@everywhere
def test_it_starts_at_zero(name):
    net = build(name, cond_shape=(COND,))
    f = jit(lambda key: net.apply(net.init(key), jnp.ones((2, DIM)), jnp.ones((2, COND))))
    assert (f(jax.random.key(0)) == 0).all()


def test_cells_are_those_of_the_papers():
    """Against the equations written out gate by gate, with weights drawn at random."""
    from dgm_jax.nets.causal.rnn import gru, lstm

    rng = np.random.default_rng(0)
    h, s, a_gru, a_lstm, inner = (rng.normal(size=n) for n in (2, 2, 6, 8, 2))
    u_gru, u_lstm = rng.normal(size=(2, 6)), rng.normal(size=(2, 8))

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    u = h @ u_gru
    r, z = sigmoid(a_gru[:2] + u[:2]), sigmoid(a_gru[2:4] + u[2:4])
    n = np.tanh(a_gru[4:] + r * (u[4:] + inner))
    got, _ = gru(*(jnp.asarray(v) for v in (u_gru, inner, h, a_gru)))
    np.testing.assert_allclose(got, (1 - z) * n + z * h, rtol=1e-5)

    i, f, g, o = np.split(a_lstm + h @ u_lstm, 4)
    s_new = sigmoid(f + 1) * s + sigmoid(i) * np.tanh(g)
    u, s_0, h_0, a = (jnp.asarray(given) for given in (u_lstm, s, h, a_lstm))
    (s_got, h_got), _ = lstm(u, (s_0, h_0), a)
    np.testing.assert_allclose(s_got, s_new, rtol=1e-5)
    np.testing.assert_allclose(h_got, sigmoid(o) * np.tanh(s_new), rtol=1e-5)


def test_an_lstm_without_input_forgets_by_its_gate_and_a_gru_by_half():
    """h and s from one step to the next, by the equations, with weights of zero but one."""
    from dgm_jax.nets.causal.rnn import gru, lstm

    h = jnp.array([[0.4, -0.2]])
    zeros = jnp.zeros((2, 6))
    new, _ = gru(zeros, jnp.zeros(2), h, jnp.zeros((1, 6)))
    np.testing.assert_allclose(new, h / 2)
    kept, _ = gru(zeros, jnp.zeros(2), h, jnp.zeros((1, 6)).at[:, 2:4].set(50.0))
    np.testing.assert_allclose(kept, h)
    (s, h), _ = lstm(jnp.zeros((2, 8)), (h, h), jnp.zeros((1, 8)))
    forget = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(s, forget * np.array([[0.4, -0.2]]), rtol=1e-6)
    np.testing.assert_allclose(h, np.tanh(s) / 2, rtol=1e-6)


def test_bad_inputs_are_refused_by_name():
    of = {"num_outputs": 2}
    for make, match in [
        (lambda: nets.markov(0, window=1, hidden=(3,), **of), "dim must be an integer of at least"),
        (lambda: nets.markov(3, window=0, hidden=(3,), **of), "window must be an integer of at l"),
        (lambda: nets.markov(3, window=2, hidden=3, **of), "hidden must be a sequence of widths"),
        (lambda: nets.markov(3, window=2, hidden=(), **of), "hidden must name at least one layer"),
        (lambda: nets.rnn(3, hidden=3, cell="lsmt", **of), r"cell must be one of gru.*mean 'lstm'"),
        (lambda: nets.rnn(3, hidden=(3,), **of), "hidden must be an integer of at least 1; got"),
        (lambda: nets.rnn(3, hidden=3, num_layers=0, **of), "num_layers must be an integer of at"),
        (lambda: nets.rnn(3, hidden=3, num_outputs=0), "num_outputs must be an integer of"),
        (lambda: nets.wavenet(3, hidden=3, dilations=4, **of), r"dilations must be a seq.*; got 4"),
        (lambda: nets.wavenet(3, hidden=3, dilations=(), **of), "dilations must be a sequence"),
        (lambda: nets.wavenet(3, hidden=3, dilations=(1, 0), **of), r"each entry of dilations=\(1"),
        (
            lambda: nets.wavenet(3, hidden=3, dilations=(1,), kernel_size=1, **of),
            "kernel_size must be an integer of at least 2; got 1",
        ),
        (lambda: nets.wavenet(3, hidden=3, dilations=(1,), skip=0, **of), "skip must be an intege"),
        (
            lambda: nets.wavenet(3, hidden=3, dilations=(1,), cond_shape=(-1,), **of),
            "each entry of cond_shape",
        ),
    ]:
        with pytest.raises(ValueError, match=match):
            make()
