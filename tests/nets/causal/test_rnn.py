"""Recurrent nets: the equations of their cells, and all of the past through a state."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.nets import rnn
from dgm_jax.nets.causal.rnn import gru, lstm
from tests.nets.causal.laws import check_scored_as_made, check_sequence, earlier, sees

NETS = {
    "gru, two layers": partial(rnn, hidden=4, num_outputs=2, num_layers=2),
    "lstm": partial(rnn, hidden=4, num_outputs=2, cell="lstm"),
}
everywhere = pytest.mark.parametrize("name", NETS)


@everywhere
def test_an_output_sees_all_of_the_past_and_nothing_else(name):
    np.testing.assert_array_equal(sees(NETS[name](12), 12, 0.7), earlier(12))


@everywhere
def test_it_is_scored_as_it_is_made(name):
    check_scored_as_made(NETS[name](7, cond_shape=(7, 2)), 7)


@everywhere
def test_it_is_a_sequence_of_any_length(name):
    check_sequence(NETS[name])


def test_cells_are_those_of_the_papers():
    """Against the equations written out gate by gate, with weights drawn at random."""
    rng = np.random.default_rng(0)
    h, s, a_gru, a_lstm, inner = (rng.normal(size=n) for n in (2, 2, 6, 8, 2))
    u_gru, u_lstm = rng.normal(size=(2, 6)), rng.normal(size=(2, 8))

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    u = h @ u_gru
    r, z = sigmoid(a_gru[:2] + u[:2]), sigmoid(a_gru[2:4] + u[2:4])
    n = np.tanh(a_gru[4:] + r * (u[4:] + inner))
    got, _ = gru(*(jnp.asarray(v) for v in (u_gru, inner, h[None], a_gru[None])))
    np.testing.assert_allclose(got[0], (1 - z) * n + z * h, rtol=1e-5)

    i, f, g, o = np.split(a_lstm + h @ u_lstm, 4)
    s_new = sigmoid(f + 1) * s + sigmoid(i) * np.tanh(g)
    u, s_0, h_0, a = (jnp.asarray(given) for given in (u_lstm, s, h, a_lstm))
    (s_got, h_got), _ = lstm(u, (s_0, h_0), a)
    np.testing.assert_allclose(s_got, s_new, rtol=1e-5)
    np.testing.assert_allclose(h_got, sigmoid(o) * np.tanh(s_new), rtol=1e-5)


def test_an_lstm_without_input_forgets_by_its_gate_and_a_gru_by_half():
    """h and s from one step to the next, by the equations, with weights of zero but one."""
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
    for build, match in [
        (lambda: rnn(3, hidden=3, cell="lsmt", **of), r"cell must be one of gru.*mean 'lstm'"),
        (lambda: rnn(3, hidden=(3,), **of), "hidden must be an integer of at least 1; got"),
        (lambda: rnn(3, hidden=3, num_layers=0, **of), "num_layers must be an integer of at"),
        (lambda: rnn(3, hidden=3, num_outputs=0), "num_outputs must be an integer of"),
    ]:
        with pytest.raises(ValueError, match=match):
            build()
