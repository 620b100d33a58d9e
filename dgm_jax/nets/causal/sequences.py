"""Causal nets of sequences: a window and an MLP, a recurrent state, dilated convolutions.

Each body is written once, for all steps or for one (`nets.causal.stepwise`). None of them knows
how long a sequence is: the parameters of a net built with one dim serve any other.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from ... import checks
from ...protocol import CausalNet, Shape
from ..adapter import linen
from .encodings import Encoding
from .stepwise import of_condition, stepwise

CELLS = ("gru", "lstm")


def markov(
    dim: int,
    *,
    window: int,
    hidden: Sequence[int],
    num_outputs: int,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """f_i = MLP(x_{i-w}, ..., x_{i-1}, c), the same for all i: a Markov chain of order w = window.

    What lies before the start is told from every value. Starts as f = 0. With e entries a value,
    `apply` and `unroll` multiply dim · (w e + c) · hidden[0] and so on; the step keeps w values.
    Lecture: the Markov property; here with a net where a table would need K^w rows.
    """
    checks.positive_int(dim, "dim")
    checks.positive_int(window, "window")
    checks.widths(hidden)
    if not len(hidden):
        raise ValueError("hidden must name at least one layer; got ().")
    body = _Markov(num_outputs, window, tuple(hidden))
    return _sequence(body, dim, num_outputs, encoding, cond_shape)


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
    """f_i = V h_i + b with h_i = cell(h_{i-1}, x_{i-1}, c): all of the past, in `hidden` numbers.

    cell: "gru", n = tanh(W x + r ∘ (U h + b)), h ← (1 - z) ∘ n + z ∘ h, with gates r and z; or
        "lstm", s ← σ(f) ∘ s + σ(i) ∘ tanh(g), h = σ(o) ∘ tanh(s).
    Starts as f = 0. `apply` makes W x for all steps at once and then U h one after the other: one
    pass in arithmetic, dim small steps in time; `unroll` takes no more, and keeps the state only.
    Cho et al. (2014); Hochreiter & Schmidhuber (1997), forget gate open at the start (bias 1).
    """
    checks.positive_int(dim, "dim")
    checks.choice(cell, CELLS, "cell")
    checks.positive_int(hidden, "hidden")
    checks.positive_int(num_layers, "num_layers")
    body = _Recurrent(num_outputs, cell, hidden, num_layers)
    return _sequence(body, dim, num_outputs, encoding, cond_shape)


def wavenet(
    dim: int,
    *,
    hidden: int,
    dilations: Sequence[int],
    num_outputs: int,
    kernel_size: int = 2,
    skip: int | None = None,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
) -> CausalNet:
    """f_i of the R values before it, R = 1 + (kernel_size - 1) Σ dilations: `receptive_field`.

    A layer of dilation d: z = tanh(a) ∘ σ(b), (a, b) = Σ_j W_j h_{t-jd} + V c, h ← h + W z, with
    `hidden` channels; f = MLP(Σ_layers S z) with `skip` channels, by default twice `hidden`.
    dilations: one a layer, such as (1, 2, 4, ..., 512) * 3. Starts as f = 0.
    Costs: `apply` 2 dim · layers · hidden (2 k hidden + hidden + skip) and the MLP; `unroll` the
    same, and for each layer a queue of (k - 1) d + 1 steps. van den Oord et al. (2016), eqs. 2-3.
    """
    checks.positive_int(dim, "dim")
    checks.positive_int(hidden, "hidden")
    receptive_field(dilations, kernel_size)
    skip = 2 * hidden if skip is None else skip
    checks.positive_int(skip, "skip")
    body = _WaveNet(num_outputs, hidden, skip, tuple(dilations), kernel_size)
    return _sequence(body, dim, num_outputs, encoding, cond_shape)


def receptive_field(dilations: Sequence[int], kernel_size: int = 2) -> int:
    """R = 1 + (kernel_size - 1) Σ dilations: what an output of `wavenet` sees, in values."""
    if isinstance(dilations, (str, int)) or not hasattr(dilations, "__len__") or not len(dilations):
        raise ValueError(f"dilations must be a sequence such as (1, 2, 4, 8); got {dilations!r}.")
    for dilation in dilations:
        checks.positive_int(dilation, f"each entry of dilations={tuple(dilations)}")
    checks.positive_int(kernel_size, "kernel_size", least=2)
    return 1 + (kernel_size - 1) * sum(dilations)


def _sequence(body, dim, num_outputs, encoding, cond_shape):
    return stepwise(
        body, (1, dim, 1), num_outputs=num_outputs, encoding=encoding, cond_shape=cond_shape
    )


# ---------------------------------------------------------------------------------- the bodies
class Affine(linen.Module):
    """x W + b on the last axis, as one product of matrices [rows, in] and [in, out].

    linen.Dense multiplies [batch, steps, in] as it is; its gradient takes 2 to 4 times as long on a
    CPU (8 x 4096 rows, 32 to 256 channels).
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable = linen.initializers.lecun_normal()

    @linen.compact
    def __call__(self, x):
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], self.features)
        if self.use_bias:
            y = y + self.param("bias", linen.initializers.zeros, (self.features,))
        return y


def _last(size):
    return Affine(size, kernel_init=linen.initializers.zeros)


_of_condition = partial(of_condition, layer=Affine)


class _Markov(linen.Module):
    size: int
    window: int
    hidden: tuple[int, ...]

    @linen.compact
    def __call__(self, view, u, cond):
        h = jnp.concatenate(view.past(u, range(self.window)), -1)
        h = jax.nn.silu(Affine(self.hidden[0])(h) + _of_condition(view, cond, self.hidden[0]))
        for width in self.hidden[1:]:
            h = jax.nn.silu(Affine(width)(h))
        return _last(self.size)(h)


class _Recurrent(linen.Module):
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
            a = Affine(num_gates * n)(h) + _of_condition(view, cond, num_gates * n)
            recurrent = self.param(f"recurrent_{layer}", _orthogonal, (num_gates, n))
            if self.cell == "gru":
                inner = self.param(f"inner_{layer}", linen.initializers.zeros, (n,))
                h = view.recur(partial(_gru, recurrent, inner), zeros, a)
            else:
                h = view.recur(partial(_lstm, recurrent), (zeros, zeros), a)
        return _last(self.size)(h)


def _orthogonal(key, shape):
    """U for each gate, side by side: [n, gates n]."""
    gates, n = shape
    return jnp.moveaxis(jax.random.orthogonal(key, n, (gates,)), 0, 1).reshape(n, gates * n)


def _gru(recurrent, inner, h, a):
    a_r, a_z, a_n = jnp.split(a, 3, -1)
    u_r, u_z, u_n = jnp.split(h @ recurrent, 3, -1)
    z = jax.nn.sigmoid(a_z + u_z)
    n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + u_r) * (u_n + inner))
    h = (1 - z) * n + z * h
    return h, h


def _lstm(recurrent, state, a):
    s, h = state
    i, f, g, o = jnp.split(a + h @ recurrent, 4, -1)
    s = jax.nn.sigmoid(f + 1) * s + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(s)
    return (s, h), h


class _WaveNet(linen.Module):
    size: int
    hidden: int
    skip: int
    dilations: tuple[int, ...]
    kernel_size: int

    @linen.compact
    def __call__(self, view, u, cond):
        h, gated, width = Affine(self.hidden)(u), [], 2 * self.hidden
        shared = _of_condition(view, cond, width * len(self.dilations))
        for i, dilation in enumerate(self.dilations):
            if gated:  # not after the last: nothing reads it
                h = h + Affine(self.hidden)(gated[-1])
            # A dilated convolution would save a tenth of the parallel pass and of its gradient
            # (CPU, 10 layers of 32 or 64 channels): not worth a second program beside the step.
            taps = view.past(h, [j * dilation for j in range(self.kernel_size)])
            a = Affine(width)(jnp.concatenate(taps, -1))
            if cond is not None:
                a = a + shared[..., i * width : (i + 1) * width]
            a, b = jnp.split(a, 2, -1)
            gated.append(jnp.tanh(a) * jax.nn.sigmoid(b))
        # The sum of all skips as one product: fewer operations a step, equal arithmetic.
        s = jax.nn.relu(Affine(self.skip)(jnp.concatenate(gated, -1)))
        return _last(self.size)(jax.nn.relu(Affine(self.skip)(s)))
