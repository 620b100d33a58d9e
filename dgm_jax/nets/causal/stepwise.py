"""Causal nets written once and run two ways: all steps in parallel, or one step after the other.

The body of such a net is a linen module that works on each step alone, and looks at other steps
only through a view of time, and there only back:

    view.past(x, lags)        x_{t-l} for each lag l, zeros before the start: convolutions
    view.recur(cell, h, x)    h_t = cell(h_{t-1}, x_t): recurrent nets
    view.attend(q, k, v)      Σ_{s≤t} softmax_s(q_t·k_s / √c) v_s: transformers
    view.along(table)         what step t has of its own: positions
    view.everywhere(f, c)     f(c), what all steps share, made once: of a condition

`AllSteps` is the parallel pass. `OneStep` keeps what later steps will ask for (queues of inputs,
states, keys and values; what they share), so that a step computes only what is new, and all steps
together cost the arithmetic of the one parallel pass. Paine et al. (2016), "Fast WaveNet";
Ramachandran et al. (2017), "Fast generation for convolutional autoregressive models".
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...protocol import Array, CausalNet, Shape
from ..adapter import Dense, linen
from .definition import naive
from .encodings import Encoding, batch_of, encoded


class AllSteps:
    """x [batch, steps, ...]."""

    def __init__(self, num_steps: int):
        self.num_steps = num_steps

    def past(self, x, lags):
        return [later(x, lag) for lag in lags]

    def recur(self, cell, start, x):
        first_axis = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0), x)
        _, y = jax.lax.scan(cell, start, first_axis)
        return jnp.moveaxis(y, 0, 1)

    def attend(self, q, k, v, *, window=None):
        """q, k, v [batch, steps, heads, c]; window: how many steps are seen, the own one included.

        Cost: steps keys for each step; with a window of less than half of them, 2 window.
        """
        steps = q.shape[1]
        size = min(window or steps, steps)
        q, k, v = (jnp.moveaxis(a, 2, 1) for a in (q, k, v))
        if 2 * size < steps:
            y = attention_in_blocks(q, k, v, size)
        else:
            t = jnp.arange(steps)
            y = attention(q, k, v, near(t, t, size))
        return jnp.moveaxis(y, 1, 2)

    def along(self, table):
        return jnp.asarray(table)

    def everywhere(self, f, c):
        return f(c)[:, None]


class OneStep:
    """x [batch, ...] of step t. `memory` is for step t + 1, `shared` for all; None at first."""

    def __init__(self, num_steps: int, t, memory=None, shared=None):
        self.num_steps, self.t = num_steps, t
        self._kept = None if memory is None else iter(memory)
        self._made = None if shared is None else iter(shared)
        self.memory, self.shared = [], []

    def _recall(self, empty):
        return empty if self._kept is None else next(self._kept)

    def _queue(self, x, size, axis=0):
        """The last `size` values of x by step modulo size, this one included, on a new axis."""
        shape = (*x.shape[:axis], size, *x.shape[axis:])
        queue = self._recall(jnp.zeros(shape, x.dtype))
        queue = jax.lax.dynamic_update_index_in_dim(queue, x, self.t % size, axis)
        self.memory.append(queue)
        return queue

    def past(self, x, lags):
        if not any(lags):
            return [x for _ in lags]
        size = 1 + max(lags)
        queue = self._queue(x, size)

        def before(lag):
            return jax.lax.dynamic_index_in_dim(queue, (self.t - lag) % size, 0, keepdims=False)

        return [before(lag) if lag else x for lag in lags]

    def recur(self, cell, start, x):
        state, y = cell(self._recall(start), x)
        self.memory.append(state)
        return y

    def attend(self, q, k, v, *, window=None):
        shape = q.shape
        size = min(window or self.num_steps, self.num_steps)
        q, k, v = (a.reshape(-1, a.shape[-1]) for a in (q, k, v))  # [batch · heads, c]
        keys, values = (self._queue(a, size, axis=1) for a in (k, v))  # as the products read them
        y = attention(q[:, None], keys, values, jnp.arange(size) <= self.t)
        return y.reshape(shape)

    def along(self, table):
        return jax.lax.dynamic_index_in_dim(jnp.asarray(table), self.t, 0, keepdims=False)

    def everywhere(self, f, c):
        self.shared.append(f(c) if self._made is None else next(self._made))
        return self.shared[-1]


class PerStep(NamedTuple):
    """A condition of one vector for each step, c_t: value [batch, (steps,) n]."""

    value: Array


def of_condition(view, cond, features, layer=Dense, **named):
    """V c, the same for all steps, or V c_t; 0 where there is no condition."""
    if cond is None:  # and no layer, whose parameters nothing would read
        return 0
    # The layer is built at each step, since linen names layers in the order they are built.
    layer = layer(features, use_bias=False, **named)
    return layer(cond.value) if isinstance(cond, PerStep) else view.everywhere(layer, cond)


class Head(NamedTuple):
    """How the channels of one pixel hang together: f_c may depend on x_<c of its own pixel."""

    size: int  # numbers that the body gives a pixel
    apply: Callable  # apply(h [..., size], x [..., channels]) -> f [..., channels, num_outputs]


class LinearHead(linen.Module):
    """f_c = h_c + Σ_{b<c} V_cb u_b, with u_b the encoded channel b."""

    num_outputs: int

    @linen.compact
    def __call__(self, h, u, channels):
        """f of the channels named."""
        h = h.reshape(*u.shape[:-1], self.num_outputs)
        zeros = linen.initializers.zeros
        f = []
        for c in channels:
            f.append(h[..., c, :])
            if c:
                before = u[..., :c, :].reshape(*u.shape[:-2], c * u.shape[-1])
                name = f"Dense_{c - 1}"
                v = Dense(self.num_outputs, use_bias=False, kernel_init=zeros, name=name)
                f[-1] = f[-1] + v(before)
        return jnp.stack(f, -2)


def stepwise(
    body: linen.Module,
    shape: tuple[int, int, int],
    *,
    num_outputs: int,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
    rows: linen.Module | None = None,
    head: Head | None = None,
    order: Sequence[int] | None = None,
) -> CausalNet:
    """The causal net of x [..., H·W·C], a step a pixel in raster order, the channels of one last.

    body(view, u [B, (T,) e], cond, *features) -> h [B, (T,) size]: u_t is pixel t - 1, encoded,
        with a 1 that tells it from the zeros of before the start; size is num_outputs · channels,
        or that of `head`. A sequence is a picture of one row, (1, T, 1).
    rows(view, u [B, (H,) W, e], cond) -> features [B, (H,) W, ·], a tuple: a step a row, of which
        u is row r - 1; what the rows above give to row r, for `body`.
    cond_shape: (n,), one condition for all steps, or one for each: (H, W, n), a map beside the
        picture, or (T, n) for a sequence. Step t, which makes pixel t, is given that of pixel t.
    order: order[t] is the pixel made at step t; without `rows` only.
    Cost: `apply` one pass; `unroll` the arithmetic of one, in H·W small steps.
    """
    checks.positive_int(num_outputs, "num_outputs")
    checks.cond_shape(cond_shape)
    height, width, channels = shape
    num_steps = height * width
    dim = num_steps * channels
    in_raster = np.arange(num_steps)
    order = in_raster if order is None else np.asarray(order)
    checks.permutation(order, num_steps)
    if rows is not None and (order != in_raster).any():
        raise ValueError("order must be None, the raster, for a net with features of rows.")
    per_step = cond_shape is not None and len(cond_shape) > 1
    if per_step and tuple(cond_shape[:-1]) not in ((height, width), (num_steps,) * (height == 1)):
        each = f"({height}, {width}, n)" if height > 1 else f"({num_steps}, n)"
        raise ValueError(
            f"cond_shape must be (n,), one condition for all steps, or {each}, one for each; got "
            f"{cond_shape}."
        )
    size = num_outputs * channels if head is None else head.size
    linear = LinearHead(num_outputs) if head is None and channels > 1 else None

    def entries(x, dtype):  # [..., C] -> [..., C, e]
        return encoded(x, encoding, dtype).astype(dtype)

    def token(x, dtype):  # [..., C] -> [..., C·e + 1]
        u = entries(x, dtype)
        u = u.reshape(*x.shape[:-1], math.prod(u.shape[-2:]))  # no -1: the batch may be empty
        return jnp.concatenate([u, jnp.ones((*u.shape[:-1], 1), dtype)], -1)

    def start(dtype, *batch):
        levels = jnp.zeros((*batch, channels), dtype if encoding is None else jnp.int32)
        return jnp.zeros_like(token(levels, dtype))

    def outputs(params, h, x, of=range(channels)):
        """h [..., size] and x [..., C] -> f [..., n, num_outputs] of n channels."""
        if head is not None:
            return head.apply(h, x)[..., of.start : of.stop, :]
        if linear is not None:
            return linear.apply({"params": params["head"]}, h, entries(x, h.dtype), of)
        return h[..., None, :]

    def run(module, params, *inputs):
        return module.apply({"params": params}, *inputs)

    def init(key):
        """Of one step, whose parameters are those of all."""
        checks.key(key)
        body_key, rows_key, head_key = jax.random.split(key, 3)
        cond = jnp.zeros((1, cond_shape[-1])) if cond_shape else None
        cond, cond_of_row = (
            (cond, cond) if not per_step else (PerStep(cond), PerStep(cond[:, None]))
        )
        params, features = {}, ()
        if rows is not None:
            view, u = OneStep(height, 0), start(float, 1, width)
            features, variables = rows.init_with_output(rows_key, view, u, cond_of_row)
            params["rows"] = variables["params"]
            features = [a[:, 0] for a in features]
        view, u = OneStep(num_steps, 0), start(float, 1)
        h, variables = body.init_with_output(body_key, view, u, cond, *features)
        assert h.shape == (1, size), (h.shape, size)
        params["body"] = variables["params"]
        if linear is not None:
            u = jnp.zeros((1, channels, 1 if encoding is None else encoding.size))
            params["head"] = linear.init(head_key, h, u, range(channels))["params"]
        return params

    def of_steps(cond, batch_shape, dtype):
        """[batch, n], or of each step in its order [batch, steps, n]."""
        if cond is None:
            return None
        batch = math.prod(batch_shape)
        cond = jnp.broadcast_to(cond, (*batch_shape, *cond_shape)).astype(dtype)
        if not per_step:
            return cond.reshape(batch, cond_shape[-1])
        return cond.reshape(batch, num_steps, cond_shape[-1])[:, order]

    def apply(params, x, cond=None, *, key=None):
        batch_shape = batch_of(x, cond, dim, cond_shape, encoding)
        cond = of_steps(cond, batch_shape, dtype_of(params))
        cond_of_row = cond
        if per_step:
            cond_of_row = PerStep(cond.reshape(len(cond), height, width, cond.shape[-1]))
            cond = PerStep(cond)
        x = flat(x, batch_shape).reshape(-1, num_steps, channels)[:, order]
        u = token(x, dtype_of(params))
        features = ()
        if rows is not None:
            picture = u.reshape(len(u), height, width, u.shape[-1])
            features = run(rows, params["rows"], AllSteps(height), later(picture, 1), cond_of_row)
            features = [a.reshape(len(u), num_steps, a.shape[-1]) for a in features]
        h = run(body, params["body"], AllSteps(num_steps), later(u, 1), cond, *features)
        f = outputs(params, h, x)[:, np.argsort(order)]
        return f.reshape(*batch_shape, dim, num_outputs)

    def unroll(params, emit, batch_shape, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        batch, dtype = math.prod(batch_shape), dtype_of(params)
        cond = of_steps(cond, batch_shape, dtype)
        own = {}  # what a step is given of the condition
        if per_step:
            own = {"cond": jnp.moveaxis(cond, 1, 0)}  # [steps, batch, n]

        def emit_pixel(t, h):
            """The channels of a pixel one after the other: x and f [batch, C, ·]."""
            pixel = jnp.asarray(order)[t]
            x = jnp.zeros((batch, channels), dtype if encoding is None else jnp.int32)
            f = []
            for c in range(channels):
                f.append(outputs(params, h, x, range(c, c + 1)))
                x_c = emit(pixel * channels + c, f[-1].reshape(*batch_shape, num_outputs))
                x = x.at[:, c].set(x_c.reshape(-1).astype(x.dtype))
            return x, jnp.concatenate(f, 1)

        def step(carry, at):
            memory, u = carry
            t, c, *features = at
            view = OneStep(num_steps, t, memory, shared)
            h = run(body, params["body"], view, u, cond_of(c), *features)
            x, f = emit_pixel(t, h)
            return (view.memory, token(x, dtype)), (x, f)

        def cond_of(given):
            return PerStep(given["cond"]) if per_step else cond

        def step_of_row(carry, at):
            rows_memory, above, carry = carry
            r, c = at
            view = OneStep(height, r, rows_memory, rows_shared)
            features = run(rows, params["rows"], view, above, cond_of(by_pixel(c)))
            by_column = [jnp.moveaxis(a, 1, 0) for a in features]
            steps = r * width + jnp.arange(width)
            carry, (x, f) = jax.lax.scan(step, carry, (steps, c, *by_column))
            above = token(jnp.moveaxis(x, 0, 1), dtype)
            return (view.memory, above, carry), (x, f)

        def before(module, params, num_steps, *inputs):
            """Zeros for what a step makes, and for its memory; what all steps share."""
            view = OneStep(num_steps, 0)
            y = run(module, params, view, *inputs)
            return *jax.tree.map(jnp.zeros_like, (y, view.memory)), view.shared

        def by_pixel(given):  # [W, batch, n] -> [batch, W, n]
            return jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), given)

        u = start(dtype, batch)
        first = jax.tree.map(lambda a: a[0], own)
        if rows is None:
            _, memory, shared = before(body, params["body"], num_steps, u, cond_of(first))
            _, (x, f) = jax.lax.scan(step, (memory, u), (jnp.arange(num_steps), own))
        else:
            above = start(dtype, batch, width)
            own = jax.tree.map(lambda a: a.reshape(height, width, *a.shape[1:]), own)
            of_first = cond_of(by_pixel(jax.tree.map(lambda a: a[0], own)))
            found = before(rows, params["rows"], height, above, of_first)
            features, rows_memory, rows_shared = found
            one = [a[:, 0] for a in features]
            _, memory, shared = before(body, params["body"], num_steps, u, cond_of(first), *one)
            carry = rows_memory, above, (memory, u)
            _, (x, f) = jax.lax.scan(step_of_row, carry, (jnp.arange(height), own))
            x, f = (a.reshape(num_steps, *a.shape[2:]) for a in (x, f))
        x, f = (jnp.moveaxis(a, 0, 1)[:, np.argsort(order)] for a in (x, f))
        f = f.reshape(*batch_shape, dim, num_outputs)
        return x.reshape(*batch_shape, dim), f, f

    coordinates = (order[:, None] * channels + np.arange(channels)).ravel()
    levels = encoding is not None
    by_definition = naive(init, apply, dim, coordinates, levels=levels, cond_shape=cond_shape)
    return by_definition._replace(unroll=unroll)


def attention(q, k, v, seen):
    """Σ_s softmax_s(q_t·k_s / √c) v_s over the seen s; the softmax in float32 at least.

    q [..., t, c], k and v [..., s, c], seen [..., t, s]. jax.nn.dot_product_attention takes its
    softmax in float32 in any case, so the two views would agree to 1e-7 in float64.
    """
    dtype = jnp.promote_types(q.dtype, jnp.float32)
    scores = jnp.einsum("...tc,...sc->...ts", q, k, preferred_element_type=dtype)
    scores = jnp.where(seen, scores / math.sqrt(q.shape[-1]), -jnp.inf)
    return jnp.einsum("...ts,...sc->...tc", jax.nn.softmax(scores).astype(v.dtype), v)


def near(t, s, size):
    """Whether step t sees step s: its own and the size - 1 before. [t, s]"""
    lag = t[:, None] - s
    return (lag >= 0) & (lag < size)


def attention_in_blocks(q, k, v, size):
    """`attention` to near steps, q, k, v [..., steps, c]: a block sees itself and the last one."""
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
    before_start = (s < size) & (jnp.arange(num)[:, None, None] == 0)
    y = attention(q, with_last(k), with_last(v), near(t, s, size) & ~before_start)
    return y.reshape(*y.shape[:-3], num * size, y.shape[-1])[..., :steps, :]


def later(x, lag):
    """x_{t-lag} [batch, steps, ...], zeros before the start."""
    if not lag:
        return x
    pad = [(0, 0)] * x.ndim
    pad[1] = (min(lag, x.shape[1]), 0)
    return jnp.pad(x[:, : max(x.shape[1] - lag, 0)], pad)


def flat(a, batch_shape):
    """[..., n] -> [batch, n]."""
    return jnp.broadcast_to(a, (*batch_shape, a.shape[-1])).reshape(-1, a.shape[-1])


def dtype_of(params):
    return jax.tree.leaves(params)[0].dtype
