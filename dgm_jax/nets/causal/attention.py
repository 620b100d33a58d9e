"""Softmax attention to preceding steps, to all of them or to the nearest."""

import math

import jax
import jax.numpy as jnp

from ...arrays import same_rank, wide
from ...protocol import Array


def attention(q: Array, k: Array, v: Array, seen: Array) -> Array:
    """Σ_s softmax_s(q_t·k_s / √c) v_s over the s with `seen`; the softmax in float32 at least.

    q [..., t, c], k and v [..., s, c], seen [..., t, s] -> [..., t, c].
    (jax.nn.dot_product_attention has its softmax in float32 also for float64.)
    """
    dtype = wide(q)
    scores = jnp.einsum("...tc,...sc->...ts", q, k, preferred_element_type=dtype)
    seen, scores = same_rank(seen, scores)
    scores = jnp.where(seen, scores / math.sqrt(q.shape[-1]), -jnp.inf)
    return jnp.einsum("...ts,...sc->...tc", jax.nn.softmax(scores).astype(v.dtype), v)


def near(t: Array, s: Array, size: int) -> Array:
    """Whether step t sees step s, [t, s]: its own step and the size - 1 before it."""
    lag = t[:, None] - s[None]
    return (lag >= 0) & (lag < size)


def attention_to_near(q: Array, k: Array, v: Array, size: int) -> Array:
    """y_t = Σ_s softmax_s(q_t·k_s / √c) v_s over s = t - size + 1, ..., t, from step 0 on.

    `attention` of each step to itself and to the size - 1 steps before it.
    q, k, v: [..., steps, c], like y
    size: how many steps each sees
    Cost: steps · min(steps, 2 size) products q_t·k_s. With 2 size < steps, each block of `size`
    steps is compared with itself and with the block before it only.
    """
    steps = q.shape[-2]
    if 2 * size < steps:
        return _in_blocks(q, k, v, size)
    t = jnp.arange(steps)
    return attention(q, k, v, near(t, t, size))


def _in_blocks(q, k, v, size):
    """Of blocks of `size` steps, each of which sees itself and the block before it."""
    steps = q.shape[-2]
    num = -(-steps // size)

    def blocks(a):  # [..., num, size, c]
        a = jnp.pad(a, [(0, 0)] * (a.ndim - 2) + [(0, num * size - steps), (0, 0)])
        return a.reshape(*a.shape[:-2], num, size, a.shape[-1])

    def with_last(a):
        last = jnp.pad(a[..., :-1, :, :], [(0, 0)] * (a.ndim - 3) + [(1, 0), (0, 0), (0, 0)])
        return jnp.concatenate([last, a], -2)

    q, k, v = (blocks(a) for a in (q, k, v))
    t, s = size + jnp.arange(size), jnp.arange(2 * size)
    before_start = (s < size)[None, None] & (jnp.arange(num)[:, None, None] == 0)
    y = attention(q, with_last(k), with_last(v), near(t, s, size)[None] & ~before_start)
    return y.reshape(*y.shape[:-3], num * size, y.shape[-1])[..., :steps, :]
