"""Gates and activations shared by several nets of images."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ...protocol import Array
from ..adapter import Dense
from .conditions import Condition
from .time import View


def tanh_gate(a: Array) -> Array:
    """tanh(a) σ(b), with a and b the two halves of the channels."""
    a, b = jnp.split(a, 2, -1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


def concat_elu(a: Array) -> Array:
    """elu(a) and elu(-a), concatenated: twice the channels."""
    return jax.nn.elu(jnp.concatenate([a, -a], -1))


def gated_residual(
    view: View,
    h: Array,
    cond: Condition,
    conv: Callable,
    of_cond: Callable,
    beside: Array | None = None,
    *,
    dropout: float = 0.0,
) -> Array:
    """h + a σ(b), (a, b) = conv(drop(e(conv(e(h)) + W e(beside)))) + V c, with e the concat-ELU.

    view: the view of time; conv(features) makes a convolution; of_cond is `of_condition` or
    `of_row`; dropout: its rate. Salimans et al. (2017), "PixelCNN++", as in the authors' program.
    """
    hidden = h.shape[-1]
    a = conv(hidden)(view, concat_elu(h))
    if beside is not None:
        a = a + Dense(hidden)(concat_elu(beside))
    a = view.dropout(concat_elu(a), dropout)
    a = conv(2 * hidden, scale=0.01)(view, a) + of_cond(view, cond, 2 * hidden)
    a, b = jnp.split(a, 2, -1)
    return h + a * jax.nn.sigmoid(b)
