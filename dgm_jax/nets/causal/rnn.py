"""A recurrent net, GRU or LSTM: the past is summarised in a state of fixed size."""

from functools import partial

import jax
import jax.numpy as jnp

from ... import checks
from ...protocol import Array, CausalNet, Key, Shape
from ..adapter import linen
from .affine import Affine, affine_of_condition, output_layer
from .encodings import Encoding
from .stepwise import stepwise

CELLS = ("gru", "lstm")


@checks.spelled
def rnn(
    dim: int,
    *,
    hidden: int,
    num_outputs: int,
    cell: str = "gru",
    num_layers: int = 1,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """f_i = V h_i + b with h_i = cell(h_{i-1}, x_{i-1}, c) ∈ R^hidden, h_0 = 0.

    x [..., dim] -> f [..., dim, num_outputs]. Returns a `CausalNet`, for `autoregressive.density`,
    with init(key) -> params, apply(params, x, cond=None, key=None) -> f for a known x, in one pass,
    and unroll(params, emit, batch_shape, cond=None, key=None) -> (x, f, units), which makes x entry
    by entry, as in sampling: x_i = emit(i, f_i). The state h_i summarises all values before x_i.
    With W, U weights, b, b' biases, σ the logistic function, ∘ the product of entries:

        "gru"   r, z = σ(W x + U h + b), n = tanh(W x + b + r ∘ (U h + b')),
                h ← (1 - z) ∘ n + z ∘ h
        "lstm"  i, f, o = σ(W x + U h + b), g = tanh(W x + U h + b),
                s ← f ∘ s + i ∘ g, h = o ∘ tanh(s)

    dim: the length of x
    hidden: the size of h (and of s)
    num_outputs: k, the numbers f_i for each x_i
    cell: "gru" or "lstm", with a W, U and b of its own for each gate and proposal above
    num_layers: the number of recurrent layers; each reads the states of the one below
    encoding: how levels are seen (`nets.one_hot`, `nets.scaled`); None if x holds real numbers
    cond_shape: (n,) or (dim, n), for one condition for all steps or one per step: a linear map of
        it is added to W x + b in every layer
    It starts as f = 0, and LSTMs with forget gates f open (bias 1). Cost: `apply` computes W x for
    all steps at once, then U h sequentially: one pass in arithmetic, dim small steps in time.
    `unroll` costs the same and stores only the state. Cho et al. (2014), "Learning phrase
    representations using RNN encoder-decoder"; Hochreiter and Schmidhuber (1997), "Long short-term
    memory".
    """
    dim = checks.positive_int(dim, "dim")
    checks.choice(cell, CELLS, "cell")
    hidden = checks.positive_int(hidden, "hidden")
    num_layers = checks.positive_int(num_layers, "num_layers")
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    body = Recurrent(num_outputs, cell, hidden, num_layers)
    return stepwise(
        body, (1, dim, 1), num_outputs=num_outputs, encoding=encoding, cond_shape=cond_shape
    )


class Recurrent(linen.Module):
    """The linen module of `rnn`."""

    size: int
    cell: str
    hidden: int
    num_layers: int

    @linen.compact
    def __call__(self, view, u, cond):
        h, n = u, self.hidden
        num_gates = {"gru": 3, "lstm": 4}[self.cell]
        zeros = jnp.zeros((u.shape[0], n), u.dtype)
        for layer in range(self.num_layers):
            a = Affine(num_gates * n)(h) + affine_of_condition(view, cond, num_gates * n)
            recurrent = self.param(f"recurrent_{layer}", orthogonal, (num_gates, n))
            if self.cell == "gru":
                inner = self.param(f"inner_{layer}", linen.initializers.zeros, (n,))
                h = view.recur(partial(gru, recurrent, inner), zeros, a)
            else:
                h = view.recur(partial(lstm, recurrent), (zeros, zeros), a)
        return output_layer(self.size)(h)


def orthogonal(key: Key, shape: Shape) -> Array:
    """Orthogonal initial weights U of all gates, side by side: [n, gates n]."""
    gates, n = shape
    return jnp.moveaxis(jax.random.orthogonal(key, n, (gates,)), 0, 1).reshape(n, gates * n)


def gru(recurrent: Array, inner: Array, h: Array, a: Array) -> tuple[Array, Array]:
    """h' = (1 - z) ∘ n + z ∘ h, with the gates r, z of a GRU and its proposal n.

        r = σ(a_r + U_r h),  z = σ(a_z + U_z h),  n = tanh(a_n + r ∘ (U_n h + b))

    One step of a batch of B sequences. Returns (h', h'), because the new state is also the output.

    recurrent: (U_r, U_z, U_n) side by side, [n, 3 n] for n units: they act as h @ recurrent
    inner: b [n], inside of the reset gate r
    h: the state, [B, n]
    a: (a_r, a_z, a_n) side by side, [B, 3 n]: what the input contributes, W x + a bias,
        and what a condition adds
    Cost: 3 n² multiplications per example. Cho et al. (2014), with the reset gate after the product
    with U_n.
    """
    a_r, a_z, a_n = jnp.split(a, 3, -1)
    u_r, u_z, u_n = jnp.split(h @ recurrent, 3, -1)
    z = jax.nn.sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + u_r) * (u_n + inner[None]))
    h = (1 - z) * n + z * h
    return h, h


def lstm(
    recurrent: Array,
    state: tuple[Array, Array],
    a: Array,
) -> tuple[tuple[Array, Array], Array]:
    """((s', h'), h') with h' = σ(o) ∘ tanh(s'); a = W x + b of i, f, g and o, [B, 4 n].

    recurrent: U [n, 4 n]; state: (s, h).
    """
    s, h = state
    i, f, g, o = jnp.split(a + h @ recurrent, 4, -1)
    s = jax.nn.sigmoid(f + 1) * s + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(s)
    return (s, h), h
