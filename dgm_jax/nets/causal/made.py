"""MADE: a masked multilayer perceptron whose output i sees the inputs before i only."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...protocol import CausalNet, Shape
from .definition import naive
from .encodings import Encoding, batch_of, encoded
from .linearized import LinearCausalNet, derivative
from .triangular import Layers, evaluate, unroll

INVERSES = ("unit_once", "fixed_point", "block_fixed_point", "naive")


def made(
    dim: int,
    *,
    hidden: Sequence[int],
    num_outputs: int,
    order: Sequence[int] | None = None,
    cond_shape: Shape | None = None,
    encoding: Encoding | None = None,
    activation: Callable = jax.nn.silu,
    residual: bool = False,
    direct: bool | None = None,
    inverse: str = "unit_once",
    num_blocks: int | None = None,
    density_blocks: int | None = None,
    tolerance: float = 0.0,
) -> CausalNet:
    """f_i(x_<i, c) ∈ R^k for all i from one masked pass: [..., d] -> [..., d, k].

    Every unit has a degree: it may see the first `degree` inputs in the order. A hidden unit sees
    units of degree <= its own, an output of rank i (from 0) units of degree <= i. Degrees are
    spread evenly over 1..d-1 (0..d-1 with a condition: units of degree 0 see the condition alone),
    so that every input reaches every later output; where a hidden layer is too narrow to hold all
    degrees, `direct` connections from inputs to outputs keep every legal edge alive (default: then
    only). The outputs start at zero. Germain et al. (2015), "MADE: masked autoencoder for
    distribution estimation", eqs. 12-15.

    order: order[t] is the coordinate made at step t; default 0..d-1.
    encoding: x holds levels, integers, which the net sees encoded (`nets.one_hot`, `nets.scaled`);
        such a net has no derivative by x, so no `linearize`.
    residual: every two layers after the first are a block h + W' s(W s(h)): an odd number of equal
        widths. Durkan & Nash (2019), "Autoregressive energy machines", ResMADE.
    inverse: how `unroll` makes x, all exact. "unit_once": each unit once, the arithmetic of one
        pass in d small steps, the fastest on a CPU at every size in benchmarks/RESULTS.md;
        "block_fixed_point": rounds over blocks of coordinates until nothing changes, in fewer and
        larger steps, for devices where small steps are slow (8 passes at d = 16 and 64, with random
        weights); "fixed_point": the same over all of x, at most d passes (10-13 there); "naive": d
        passes, the lecture's.
    num_blocks: blocks of the unroll, about √d / 4 by default, 2 or 3 up to d = 16; more cost
        compile time.
    density_blocks: row blocks of the parallel pass (see `nets.causal.triangular`); 1 is the dense
        pass. By default 2, or 4 from d = 512, where hidden layers have 256 units: a gradient then
        takes four fifths of the time. In narrow layers small products cost what the blocks save.
    tolerance: the change at which fixed points stop; 0 is exact.
    Cost: `apply` and `unroll` both one pass, Σ in·out multiply-adds an example, or less.
    """
    checks.positive_int(dim, "dim")
    checks.widths(hidden)
    checks.function(activation, "activation")
    checks.positive_int(num_outputs, "num_outputs")
    checks.cond_shape(cond_shape)
    checks.choice(inverse, INVERSES, "inverse")
    if not len(hidden):
        raise ValueError("hidden must name at least one layer; got ().")
    if residual and (len(hidden) % 2 == 0 or len(set(hidden)) > 1):
        raise ValueError(
            f"hidden must be an odd number of equal widths where residual=True; got {hidden}."
        )
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0; got {tolerance!r}.")
    order = np.arange(dim) if order is None else np.asarray(order)
    checks.permutation(order, dim)
    k, rank = num_outputs, np.argsort(order)
    p = 1 if encoding is None else encoding.size  # entries of an input
    entries = (order[:, None] * p + np.arange(p)).ravel()
    lowest = 0 if cond_shape else 1
    highest = max(dim - 1, lowest)
    degrees = [np.arange(h) * (highest - lowest + 1) // h + lowest for h in hidden]
    if direct is None:
        direct = min(hidden) < highest - lowest + 1
    if inverse == "fixed_point":
        num_blocks = 1
    saved = 1 if min(hidden) < 256 or dim < 8 else 2 if dim < 512 else 4  # by measurement
    density_blocks = _blocks(density_blocks, dim, saved, "density_blocks")
    few = round(min(math.sqrt(dim) / 2, max(4, math.sqrt(dim) / 4)))  # by measurement
    if dim <= 16:  # or a sample would cost two density passes
        few = min(dim, saved + 1)
    num_blocks = _blocks(num_blocks, dim, few, "num_blocks")
    skips = [n - 2 if residual and n >= 2 and n % 2 == 0 else None for n in range(len(hidden))]

    def init(key):
        checks.key(key)
        *weight_keys, cond_key = jax.random.split(key, len(hidden) + 1)
        fans_in = [np.searchsorted(np.arange(dim), degrees[0])]  # the inputs a unit really has
        fans_in += [np.searchsorted(b, own, "right") for b, own in zip(degrees, degrees[1:])]
        weights = []
        for weight_key, inputs, fan_in in zip(weight_keys, (dim * p, *hidden), fans_in):
            scale = 1 / np.sqrt(np.maximum(fan_in, 1))[:, None]
            weights.append(scale * jax.random.normal(weight_key, (len(fan_in), inputs)))
        params = {
            "weights": weights,  # [out, in]
            "biases": [jnp.zeros(h) for h in hidden],
            "readout": jnp.zeros((dim, k, hidden[-1])),
            "offset": jnp.zeros((dim, k)),
        }
        if direct:
            params["direct"] = jnp.zeros((dim, k, dim * p))
        if cond_shape:
            scale = 1 / math.sqrt(math.prod(cond_shape))
            params["cond"] = scale * jax.random.normal(cond_key, (math.prod(cond_shape), hidden[0]))
        return params

    # The matrices feature-major, with the coordinates in the order in which they are made.
    def in_order(array, axis=0, index=order):
        return array if (order == np.arange(dim)).all() else jnp.take(array, index, axis)

    def columns(array, batch_shape):  # [*batch, features] -> [features, batch]
        array = jnp.broadcast_to(array, (*batch_shape, array.shape[-1]))
        return array.reshape(-1, array.shape[-1]).T

    def entries_of(array, batch_shape):  # and back, of one coordinate
        return array.T.reshape(*batch_shape, len(array))

    def rows(array, batch_shape, *tail):  # [d·tail, batch] -> [*batch, d, *tail], as given
        array = in_order(array.reshape(dim, *tail, *batch_shape), index=rank)
        return jnp.moveaxis(array, range(1 + len(tail)), range(-1 - len(tail), 0))

    def layers(params, cond, batch_shape):
        cond_batch = checks.condition(cond, cond_shape)
        biases = [b[:, None] for b in params["biases"]]
        if cond is not None:  # b_1 + C c: where the condition enters
            cond = jnp.asarray(cond, params["cond"].dtype)
            cond = cond.reshape(*cond_batch, math.prod(cond_shape))
            biases[0] = columns(params["biases"][0] + cond @ params["cond"], batch_shape)
        skip = None
        if direct:
            skip = in_order(in_order(params["direct"]), 2, entries).reshape(dim * k, dim * p)
        return Layers(
            weights=[in_order(params["weights"][0], 1, entries), *params["weights"][1:]],
            offsets=biases,
            readout=in_order(params["readout"]).reshape(dim * k, -1),
            direct=skip,
            out_offset=in_order(params["offset"]).reshape(dim * k, 1),
            steps=[own - 1 for own in degrees],
            skips=skips,
            dim=dim,
            p=p,
            q=k,
        )

    def inputs(x, batch_shape, dtype):  # x [*batch, d] -> what the net sees of it, [d·p, batch]
        ordered = in_order(columns(x, batch_shape))
        return jnp.moveaxis(encoded(ordered, encoding, dtype), -1, 1).reshape(dim * p, -1)

    def unit(n, start, a, skip):
        return a + skip, activation(a + skip)

    def apply(params, x, cond=None, *, key=None):
        batch_shape = batch_of(x, cond, dim, cond_shape, encoding)
        net = layers(params, cond, batch_shape)
        ordered = inputs(x, batch_shape, net.readout.dtype)
        return rows(evaluate(net, ordered, unit, num_blocks=density_blocks)[1], batch_shape, k)

    def maker(batch_shape):  # `unroll` of a batch of this shape
        return partial(
            unroll,
            batch=math.prod(batch_shape),
            num_blocks=num_blocks,
            iterate="fixed_point" in inverse,
            tolerance=tolerance,
        )

    def unroll_made(params, emit, batch_shape, cond=None, *, key=None):
        def emit_columns(t, f):
            x_t = emit(jnp.asarray(order)[t], entries_of(f, batch_shape))
            seen = encoded(x_t, encoding, f.dtype)
            return columns(seen, batch_shape), None if encoding is None else x_t

        net = layers(params, cond, batch_shape)
        x, levels, f, streams = maker(batch_shape)(net, emit_columns, unit)
        units = jnp.concatenate([*streams, f])  # [all units and outputs, batch]
        x = x if encoding is None else levels  # x encodes them, in few bits perhaps
        return rows(x, batch_shape), rows(f, batch_shape, k), units

    def linearize(params, x, units, cond=None, *, key=None):
        batch_shape = x.shape[:-1]
        net, ordered = layers(params, cond, batch_shape), in_order(columns(x, batch_shape))
        at_x = derivative(net, ordered, units, activation, maker(batch_shape), density_blocks)

        def added(params_dot, cond_dot):
            def all_sums(params, cond):
                return at_x.sums(layers(params, cond, batch_shape))

            return jax.jvp(all_sums, (params, cond), (params_dot, cond_dot))[1]

        def spread(x_dot, units_dot):
            return at_x.spread(in_order(columns(x_dot, batch_shape)), units_dot)

        def outputs(units_dot):
            return rows(at_x.outputs(units_dot), batch_shape, k)

        def unroll_linear(emit, right):
            def emit_columns(t, f_dot):
                x_dot = emit(jnp.asarray(order)[t], entries_of(f_dot, batch_shape))
                return columns(x_dot[..., None], batch_shape)

            x_dot, units_dot = at_x.unroll(emit_columns, right)
            return rows(x_dot, batch_shape), units_dot

        def unroll_back(emit, right):
            def emit_columns(t, v):
                f_bar = emit(jnp.asarray(order[::-1])[t], entries_of(v, batch_shape)[..., 0])
                return columns(f_bar, batch_shape)

            units_bar, v = at_x.unroll_back(emit_columns, right)
            return units_bar, rows(v, batch_shape)

        return LinearCausalNet(added, spread, outputs, unroll_linear, unroll_back)

    if inverse == "naive" or encoding is not None:
        levels = encoding is not None
        by_definition = naive(init, apply, dim, order, levels=levels, cond_shape=cond_shape)
        return by_definition if inverse == "naive" else by_definition._replace(unroll=unroll_made)
    return CausalNet(init, apply, unroll_made, linearize, cond_shape)


def _blocks(value, dim, default, name):
    if value is None:
        return default
    checks.positive_int(value, name)
    if value > dim:
        raise ValueError(f"{name} must be at most dim={dim}; got {value}.")
    return value
