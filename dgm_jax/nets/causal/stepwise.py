"""Causal nets written once and run two ways: all steps in parallel, or one step after the other.

The body of such a net is a linen module that works on each step by itself. It sees other steps only
through a view of time (`nets.causal.time`), which looks back and never ahead. A step computes one
pixel, in raster order or another; a sequence is an image of one row.

`_Stepwise` has the parallel pass, in which the body gets all steps at once. `_Unrolling` is the
loop, in which it gets one step at a time and the view stores what later steps need.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...arrays import places
from ...protocol import Array, CausalNet, Key, Params, Shape, split
from ..adapter import linen
from .channels import Channels, Head, check_channels
from .conditions import Condition, PerStep, check_per_step
from .definition import naive
from .encodings import Encoding, batch_of
from .time import AllSteps, OneStep, later


def stepwise(
    body: linen.Module,
    shape: tuple[int, int, int],
    *,
    num_outputs: int,
    encoding: Encoding | None = None,
    cond_shape: Shape | None = None,
    rows: linen.Module | None = None,
    head: Head | None = None,
    order: Sequence[int] | np.ndarray | None = None,
) -> CausalNet:
    """f_i(x_<i, c) for images x [..., H·W·C]: the causal net whose steps are computed by `body`.

    Step t computes one pixel, and its channels one after the other. shape is (H, W, C); a sequence
    of T numbers is (1, T, 1). num_outputs: the outputs for each x_i.

    body: body(view, u, cond, *features) -> h. The input u_t is the pixel of step t - 1, encoded,
        and a 1; at step 0 it is all zeros. u is [B, T, e] in the parallel pass, and [B, e] in a
        step. h is [B, (T,) size] with size = num_outputs · C, or the size of `head`.
    rows: rows(view, u, cond) -> features, a tuple of arrays [B, (H,) W, ·], for nets that read
        whole rows above. Here a step is a row: u_r is row r - 1, [B, (H,) W, e], and the features
        of row r are given to `body` at the pixels of that row.
    head: computes the outputs of the C channels from h; by default `channels.LinearHead`.
    encoding: how levels are seen; None if x holds real numbers.
    cond_shape: (n,) for one condition for all steps, or one per step: (H, W, n) for an image, or
        (T, n) for a sequence. The step that computes a pixel sees the condition of that pixel.
    order: order[t] is the pixel computed at step t; by default the raster, row by row, which a net
        with `rows` requires. With a key, `apply` and `unroll` of the same batch shape have the same
        dropout.
    Cost: `apply` one pass; `unroll` the arithmetic of one pass, in H·W small steps.
    """
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    cond_shape = checks.cond_shape(cond_shape)
    height, width, num_channels = shape
    check_channels(encoding, head)
    if cond_shape is not None:
        check_per_step(cond_shape, height, width)
    in_raster = np.arange(height * width)
    order = checks.permutation(in_raster if order is None else order, height * width)
    if rows is not None and (order != in_raster).any():
        raise checks.InputError("order must be None, the raster, for a net with features of rows.")
    channels = Channels(num_channels, num_outputs, encoding, head)
    net = _Stepwise(body, rows, channels, height, width, order, cond_shape)

    coordinates = (order[:, None] * num_channels + np.arange(num_channels)).ravel()
    levels = encoding is not None
    by_definition = naive(
        net.init, net.apply, len(coordinates), coordinates, levels=levels, cond_shape=cond_shape
    )
    return by_definition._replace(unroll=net.unroll)


class _Stepwise(NamedTuple):
    """The functions of the `CausalNet`. Steps stand in the order in which they are made."""

    body: linen.Module
    rows: linen.Module | None
    channels: Channels
    height: int
    width: int
    order: np.ndarray
    cond_shape: Shape | None

    @property
    def num_steps(self):
        return self.height * self.width

    @property
    def dim(self):
        return self.num_steps * self.channels.num

    def init(self, key: Key) -> Params:
        """The parameters of one step, which are those of all steps."""
        checks.key(key)
        body_key, rows_key, head_key = jax.random.split(key, 3)
        cond = self.steps_of(jnp.zeros((1, *self.cond_shape)), (1,)) if self.cond_shape else None
        params, features = {}, ()
        if self.rows is not None:
            view, above = OneStep(self.height, 0), self.channels.start(float, 1, self.width)
            given = _first(self.rows_of(cond))
            features, variables = self.rows.init_with_output(rows_key, view, above, given)
            params["rows"] = variables["params"]
            features = [a[:, 0] for a in features]
        view, u = OneStep(self.num_steps, 0), self.channels.start(float, 1)
        h, variables = self.body.init_with_output(body_key, view, u, _first(cond), *features)
        assert h.shape == (1, self.channels.size), (h.shape, self.channels.size)
        params["body"] = variables["params"]
        if self.channels.linear is not None:
            params["head"] = self.channels.init(head_key, h)
        return params

    def apply(
        self, params: Params, x: Array, cond: Array | None = None, *, key: Key | None = None
    ) -> Array:
        shape = batch_of(x, cond, self.dim, self.cond_shape, self.channels.encoding)
        dtype, (body_key, rows_key) = dtype_of(params), split(key, 2)
        cond = self.steps_of(cond, shape, dtype)
        x = jnp.broadcast_to(x, (*shape, self.dim))
        x = x.reshape(-1, self.num_steps, self.channels.num)[:, self.order]
        u = self.channels.token(x, dtype)
        features = ()
        if self.rows is not None:
            picture = u.reshape(len(u), self.height, self.width, u.shape[-1])
            view, above = AllSteps(self.height, rows_key), later(picture, 1)
            features = self.run_rows(params, view, above, self.rows_of(cond))
            features = [a.reshape(len(u), self.num_steps, a.shape[-1]) for a in features]
        view = AllSteps(self.num_steps, body_key)
        h = self.run_body(params, view, later(u, 1), cond, *features)
        f = self.channels.outputs(params, h, x)[:, places(self.order)]
        return f.reshape(*shape, self.dim, self.channels.num_outputs)

    def unroll(
        self,
        params: Params,
        emit: Callable,
        batch_shape: Shape,
        cond: Array | None = None,
        *,
        key: Key | None = None,
    ) -> tuple[Array, Array, Array]:
        checks.condition(cond, self.cond_shape)
        cond = self.steps_of(cond, batch_shape, dtype_of(params))
        making = _Unrolling(self, params, emit, batch_shape, cond, *split(key, 2))
        x, f = making.by_pixel() if self.rows is None else making.by_row()
        x, f = (jnp.moveaxis(a, 0, 1)[:, places(self.order)] for a in (x, f))
        f = f.reshape(*batch_shape, self.dim, self.channels.num_outputs)
        return x.reshape(*batch_shape, self.dim), f, f

    def run_body(self, params, view, u, cond, *features):
        return self.body.apply({"params": params["body"]}, view, u, cond, *features)

    def run_rows(self, params, view, above, cond):
        assert self.rows is not None
        return self.rows.apply({"params": params["rows"]}, view, above, cond)

    def steps_of(self, cond, batch_shape, dtype=float):
        """A condition as the body gets it: [batch, n] for all steps, or a `PerStep` of values
        [batch, steps, n], in the order of the steps."""
        if cond is None or self.cond_shape is None:
            return None
        batch, size = math.prod(batch_shape), self.cond_shape[-1]
        cond = jnp.broadcast_to(cond, (*batch_shape, *self.cond_shape)).astype(dtype)
        if len(self.cond_shape) == 1:
            return cond.reshape(batch, size)
        return PerStep(cond.reshape(batch, self.num_steps, size)[:, self.order])

    def rows_of(self, cond):
        """The same as `rows` gets it: [batch, n], or a `PerStep` of values [batch, H, W, n]."""
        if not isinstance(cond, PerStep):
            return cond
        batch, _, size = cond.value.shape
        return PerStep(cond.value.reshape(batch, self.height, self.width, size))


class _Unrolling(NamedTuple):
    """One unroll: the body in a loop over steps.

    A step leaves two things to the next: the memory of its view, and u, the pixel that it made.
    What all steps share (`View.everywhere`) is computed once, before the loop.
    """

    net: _Stepwise
    params: Params
    emit: Callable
    batch_shape: Shape
    cond: Array | PerStep | None
    body_key: Key | None
    rows_key: Key | None

    @property
    def batch(self):
        return math.prod(self.batch_shape)

    @property
    def dtype(self) -> jnp.dtype:
        return dtype_of(self.params)

    def by_pixel(self):
        """x [steps, batch, C] and f [steps, batch, C, k], made in one loop over the steps."""
        carry, shared = self.before_pixels(())
        steps = jnp.arange(self.net.num_steps), by_step(self.cond), ()
        _, made = jax.lax.scan(lambda carry, at: self.pixel(shared, carry, at), carry, steps)
        return made

    def by_row(self):
        """The same for a net with `rows`: a loop over rows, and in it one over their pixels."""
        net, above = self.net, self.net.channels.start(self.dtype, self.batch, self.net.width)
        view = OneStep(net.height, 0)
        features = net.run_rows(self.params, view, above, _first(net.rows_of(self.cond)))
        memory, features = zeros_like((view.memory, features))
        carry, shared = self.before_pixels([a[:, 0] for a in features])
        rows = jnp.arange(net.height), by_step(net.rows_of(self.cond))
        _, made = jax.lax.scan(
            lambda carry, at: self.row(view.shared, shared, carry, at), (memory, above, carry), rows
        )
        return [a.reshape(net.num_steps, *a.shape[2:]) for a in made]

    def row(self, rows_shared, shared, carry, at):
        """All pixels of row r, for known rows above; `above` is the last of them, encoded."""
        memory, above, carry = carry
        r, own = at
        view = OneStep(self.net.height, r, memory, rows_shared, self.rows_key)
        features = self.net.run_rows(self.params, view, above, self.given(own))
        steps = r * self.net.width + jnp.arange(self.net.width)
        by_column = [jnp.moveaxis(a, 1, 0) for a in features]
        own = None if own is None else jnp.moveaxis(own, 1, 0)
        carry, (x, f) = jax.lax.scan(
            lambda carry, at: self.pixel(shared, carry, at), carry, (steps, own, by_column)
        )
        above = self.net.channels.token(jnp.moveaxis(x, 0, 1), self.dtype)
        return (view.memory, above, carry), (x, f)

    def pixel(self, shared, carry, at):
        """The pixel of step t: ((memory, u) for the next step, (x, f))."""
        memory, u = carry
        t, own, features = at
        view = OneStep(self.net.num_steps, t, memory, shared, self.body_key)
        h = self.net.run_body(self.params, view, u, self.given(own), *features)
        x, f = self.emit_channels(t, h)
        return (view.memory, self.net.channels.token(x, self.dtype)), (x, f)

    def emit_channels(self, t, h):
        """The channels of one pixel, each given those before it: x [batch, C], f [batch, C, k]."""
        channels = self.net.channels
        pixel = jnp.asarray(self.net.order)[t]
        x = channels.nothing(self.dtype, self.batch)
        f = []
        for c in range(channels.num):
            f.append(channels.outputs(self.params, h, x, range(c, c + 1)))
            f_c = f[-1].reshape(*self.batch_shape, channels.num_outputs)
            x_c = self.emit(pixel * channels.num + c, f_c)
            x = x.at[:, c].set(x_c.reshape(-1).astype(x.dtype))
        return x, jnp.concatenate(f, 1)

    def before_pixels(self, features):
        """((memory, u) of the first step, both zero, and what all steps share).

        The body is run once, outside of the loop, for what is shared and for the shapes of memory.
        """
        view, u = OneStep(self.net.num_steps, 0), self.net.channels.start(self.dtype, self.batch)
        self.net.run_body(self.params, view, u, _first(self.cond), *features)
        return (zeros_like(view.memory), u), view.shared

    def given(self, own):
        """The condition of a step: `own` where each step has one, else that of all steps."""
        return self.cond if own is None else PerStep(own)


def by_step(cond: Condition) -> Array | None:
    """A condition per step with steps as first axis, [steps, batch, ...]; None for any other."""
    return jnp.moveaxis(cond.value, 1, 0) if isinstance(cond, PerStep) else None


def _first(cond):
    """The condition of the first step."""
    return PerStep(cond.value[:, 0]) if isinstance(cond, PerStep) else cond


def zeros_like(tree: Any) -> Any:
    """A tree of zeros with the shapes and dtypes of `tree`."""
    return jax.tree.map(jnp.zeros_like, tree)


def dtype_of(params: Params) -> np.dtype:
    """The dtype of the parameters, in which a net computes."""
    return jax.tree.leaves(params)[0].dtype
