"""Two views of time, through which the body of a causal net sees preceding steps only.

    view.past(x, lags)        x_{t-l} for each lag l, zeros before the start: for convolutions
    view.recur(cell, h, x)    y_t of (h_t, y_t) = cell(h_{t-1}, x_t): for recurrent nets
    view.attend(q, k, v)      Σ_{s≤t} softmax_s(q_t·k_s / √c) v_s: for attention
    view.along(table)         table[t], such as the vector of a position
    view.everywhere(f, c)     f(c), the same at all steps, such as a map of the condition
    view.dropout(h, rate)     h, with a fraction `rate` set to 0 if the view has a key

A body is written once, with these six. `AllSteps` runs it on all steps in parallel. `OneStep` runs
it on step t alone and stores what later steps will read: a queue of inputs, a recurrent state, keys
and values. A step then computes only what is new, and all steps together cost the arithmetic of the
parallel pass. Paine et al. (2016), "Fast WaveNet"; Ramachandran et al. (2017), "Fast generation for
convolutional autoregressive models".
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ...protocol import Array, Key, Rows
from .attention import attention, attention_to_near


class _View:
    """What both views have: a number of steps, and perhaps a key."""

    def __init__(self, num_steps: int, key: Key | None):
        self.num_steps = num_steps
        self._key, self._num_dropouts = key, 0

    def dropout(self, h: Array, rate: float) -> Array:
        """h, of which a share `rate` is 0 and the rest is multiplied by 1 / (1 - rate).

        h as it is where the view has no key. Each call in a body and each step has a mask of its
        own, drawn from the key, the number of the call and the step: the same in both views.
        """
        if self._key is None or not rate:
            return h
        key = jax.random.fold_in(self._key, self._num_dropouts)
        self._num_dropouts += 1
        return jnp.where(self._draw(key, 1 - rate, h), h / (1 - rate), 0)

    def _draw(self, key, keep, h) -> Array:
        """The mask, True with probability `keep`, as the view holds the steps."""
        raise NotImplementedError


class AllSteps(_View):
    """All steps at once: x [batch, steps, ...]."""

    def __init__(self, num_steps: int, key: Key | None = None):
        super().__init__(num_steps, key)

    def past(self, x: Array, lags: Sequence[int]) -> list[Array]:
        return [later(x, lag) for lag in lags]

    def recur(self, cell: Callable, start: Any, x: Array) -> Array:
        first_axis = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0), x)
        _, y = jax.lax.scan(cell, start, first_axis)
        return jnp.moveaxis(y, 0, 1)

    def attend(self, q: Array, k: Array, v: Array, *, window: int | None = None) -> Array:
        """Causal attention of q, k, v [batch, steps, heads, c] to `window` steps, including step t.

        Cost: products with all keys for each step, or with 2 window of them if that is less.
        """
        size = min(window or q.shape[1], q.shape[1])
        q, k, v = (jnp.moveaxis(a, 2, 1) for a in (q, k, v))
        return jnp.moveaxis(attention_to_near(q, k, v, size), 1, 2)

    def along(self, table: Rows) -> Array:
        return jnp.asarray(table)

    def everywhere(self, f: Callable[[Array], Array], c: Array) -> Array:
        return f(c)[:, None]

    def _draw(self, key, keep, h):
        """Whether each number is kept: for each step what `OneStep` draws there."""
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(self.num_steps))
        of_step = (h.shape[0], *h.shape[2:])
        draw = partial(jax.random.bernoulli, p=keep, shape=of_step)
        return jax.vmap(draw, out_axes=1)(keys)


class OneStep(_View):
    """One step: x [batch, ...] at step t.

    A body must call the methods in the same order at every step. Each call stores what later steps
    read in `memory`, for the view of step t + 1, or in `shared`, for the views of all steps; the
    view of the first step is given None for both.
    """

    def __init__(
        self,
        num_steps: int,
        t: Array | int,
        memory: list | None = None,
        shared: list | None = None,
        key: Key | None = None,
    ):
        super().__init__(num_steps, key)
        self.t = t
        self._kept = None if memory is None else iter(memory)
        self._made = None if shared is None else iter(shared)
        self.memory, self.shared = [], []

    def past(self, x: Array, lags: Sequence[int]) -> list[Array]:
        if not any(lags):
            return [x for _ in lags]
        size = 1 + max(lags)
        queue = self._queue(x, size)

        def before(lag):
            return jax.lax.dynamic_index_in_dim(queue, (self.t - lag) % size, 0, keepdims=False)

        return [before(lag) if lag else x for lag in lags]

    def recur(self, cell: Callable, start: Any, x: Array) -> Array:
        state, y = cell(self._recall(start), x)
        self.memory.append(state)
        return y

    def attend(self, q: Array, k: Array, v: Array, *, window: int | None = None) -> Array:
        """Attention of q, k, v [batch, heads, c] to the stored keys of the last `window` steps."""
        shape = q.shape
        size = min(window or self.num_steps, self.num_steps)
        q, k, v = (a.reshape(-1, a.shape[-1]) for a in (q, k, v))  # [batch · heads, c]
        keys, values = (self._queue(a, size, axis=1) for a in (k, v))  # as the products read them
        y = attention(q[:, None], keys, values, jnp.arange(size) <= self.t)
        return y.reshape(shape)

    def along(self, table: Rows) -> Array:
        return jax.lax.dynamic_index_in_dim(jnp.asarray(table), self.t, 0, keepdims=False)

    def everywhere(self, f: Callable[[Array], Array], c: Array) -> Array:
        self.shared.append(f(c) if self._made is None else next(self._made))
        return self.shared[-1]

    def _draw(self, key, keep, h):
        return jax.random.bernoulli(jax.random.fold_in(key, self.t), keep, h.shape)

    def _recall(self, empty):
        return empty if self._kept is None else next(self._kept)

    def _queue(self, x, size, axis=0):
        """The last `size` values of x, this one included, on a new axis; step s is at s % size."""
        shape = (*x.shape[:axis], size, *x.shape[axis:])
        queue = self._recall(jnp.zeros(shape, x.dtype))
        queue = jax.lax.dynamic_update_index_in_dim(queue, x, self.t % size, axis)
        self.memory.append(queue)
        return queue


View = AllSteps | OneStep


def later(x: Array, lag: int) -> Array:
    """x_{t-lag} [batch, steps, ...], zeros before the start."""
    if not lag:
        return x
    pad = [(0, 0)] * x.ndim
    pad[1] = (min(lag, x.shape[1]), 0)
    return jnp.pad(x[:, : max(x.shape[1] - lag, 0)], pad)
