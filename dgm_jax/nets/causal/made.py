"""MADE: a masked multilayer perceptron whose output i sees the inputs before i only."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...protocol import Array, CausalNet, Key, Params, Shape
from .definition import naive
from .encodings import Encoding, batch_of, encoded
from .linearized import Derivative, LinearCausalNet, derivative, rows_from
from .substitution import unroll
from .triangular import Layers, evaluate

INVERSES = ("unit_once", "fixed_point", "block_fixed_point", "naive")


def made(
    dim: int,
    *,
    hidden: Sequence[int],
    num_outputs: int,
    order: Sequence[int] | None = None,
    cond_shape: Shape | None = None,
    encoding: Encoding | None = None,
    activation: Callable[[Array], Array] = jax.nn.silu,
    residual: bool = False,
    direct: bool | None = None,
    dropout: float = 0.0,
    inverse: str = "unit_once",
    num_blocks: int | None = None,
    density_blocks: int | None = None,
    tolerance: float = 0.0,
) -> CausalNet:
    """f_i(x_<i, c) ∈ R^k for all i from one masked pass: [..., d] -> [..., d, k].

    Every unit has a degree: it may see the first `degree` inputs in the order. A hidden unit sees
    units of degree <= its own, an output of rank i (from 0) units of degree <= i. Degrees are
    spread evenly over 1..d-1 (0..d-1 with a condition: units of degree 0 see the condition alone),
    so that every input reaches every later output. The outputs start at zero.
    Germain et al. (2015), "MADE: masked autoencoder for distribution estimation", eqs. 12-15.

    order: order[t] is the coordinate made at step t; default 0..d-1.
    cond_shape: the shape of a condition, which is read as one vector by all units of the first
        layer, b_1 + C c.
    encoding: x holds levels, integers, which the net sees encoded (`nets.one_hot`, `nets.scaled`);
        such a net has no derivative by x, so no `linearize`.
    residual: every two layers after the first are a block h + W' s(W s(h)): an odd number of equal
        widths. Durkan & Nash (2019), "Autoregressive energy machines", ResMADE.
    direct: connections from the inputs to the later outputs. The default is to have them where a
        hidden layer is too narrow to hold all degrees: they keep every legal edge alive.
    dropout: the share of hidden units that are 0 where a key is given, the others being multiplied
        by 1 / (1 - dropout). One mask a key and batch shape, the same in `apply`, `unroll` and
        `linearize`. Srivastava et al. (2014), "Dropout".
    inverse: how `unroll` makes x, all exact. "unit_once": each unit once, the arithmetic of one
        pass in d small steps; "block_fixed_point": rounds over blocks of coordinates until nothing
        changes, in fewer and larger steps, for devices where small steps are slow; "fixed_point":
        the same over all of x, at most d passes; "naive": d passes, the lecture's.
    num_blocks: blocks of the unroll, about √d / 4 by default, 2 or 3 up to d = 16; more cost
        compile time.
    density_blocks: row blocks of the parallel pass (see `nets.causal.triangular`); 1 is the dense
        pass. By default 2, or 4 from d = 512, where hidden layers have 256 units. In narrow layers
        small products cost what the blocks save.
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
        raise checks.InputError("hidden must name at least one layer; got ().")
    if residual and (len(hidden) % 2 == 0 or len(set(hidden)) > 1):
        raise checks.InputError(
            f"hidden must be an odd number of equal widths where residual=True; got {hidden}."
        )
    if not tolerance >= 0:
        raise checks.InputError(f"tolerance must be at least 0; got {tolerance!r}.")
    checks.rate(dropout, "dropout")
    order = np.arange(dim) if order is None else np.asarray(order)
    checks.permutation(order, dim)

    of_unroll, of_pass = _few_blocks(dim, hidden)
    of_unroll = 1 if inverse == "fixed_point" else _blocks(num_blocks, dim, of_unroll, "num_blocks")
    of_pass = _blocks(density_blocks, dim, of_pass, "density_blocks")
    net = _Made(
        _wiring(order, hidden, num_outputs, cond_shape, encoding, residual, direct),
        cond_shape,
        encoding,
        activation,
        dropout,
        partial(
            unroll, num_blocks=of_unroll, iterate="fixed_point" in inverse, tolerance=tolerance
        ),
        of_pass,
    )
    if inverse == "naive":
        levels = encoding is not None
        return naive(net.init, net.apply, dim, order, levels=levels, cond_shape=cond_shape)
    linearize = net.linearize if encoding is None else None
    return CausalNet(net.init, net.apply, net.unroll, linearize, cond_shape)


def _few_blocks(dim, hidden):
    """How many blocks an unroll and a pass have by default, by measurement."""
    of_pass = 1 if min(hidden) < 256 or dim < 8 else 2 if dim < 512 else 4
    of_unroll = round(min(math.sqrt(dim) / 2, max(4, math.sqrt(dim) / 4)))
    if dim <= 16:  # or a sample would cost two density passes
        of_unroll = min(dim, of_pass + 1)
    return of_unroll, of_pass


def _blocks(value, dim, default, name):
    if value is None:
        return default
    checks.positive_int(value, name)
    if value > dim:
        raise checks.InputError(f"{name} must be at most dim={dim}; got {value}.")
    return value


# ------------------------------------------------------------------ which unit sees which
class _Wiring(NamedTuple):
    """Which unit sees which: all that is known before there are weights."""

    order: np.ndarray  # order[t] is the coordinate made at step t
    degrees: list[np.ndarray]  # of each hidden unit: how many inputs it may see; ascending
    skips: list[int | None]  # layer n adds the stream of this earlier layer to its own
    direct: bool  # whether inputs are connected to outputs
    num_entries: int  # p numbers that the net sees of a coordinate
    num_outputs: int  # k numbers that it gives for a coordinate
    cond_size: int  # numbers of a condition

    @property
    def dim(self):
        return len(self.order)

    @property
    def in_raster(self):
        return (self.order == np.arange(self.dim)).all()

    def in_order(self, array, axis=0):
        """Coordinates on an axis, in the order in which they are made."""
        return array if self.in_raster else jnp.take(array, self.order, axis)

    def as_given(self, array):
        """Coordinates on axis 0, from the order in which they are made to that of x."""
        return array if self.in_raster else jnp.take(array, np.argsort(self.order), 0)

    def entries_in_order(self, array, axis):
        """The same for the p entries of each coordinate, on one axis [d·p]."""
        p = self.num_entries
        entries = (self.order[:, None] * p + np.arange(p)).ravel()
        return array if self.in_raster else jnp.take(array, entries, axis)

    def init(self, key):
        """Weights of variance one over the number of inputs a unit really has; f = 0."""
        d, p, k, hidden = self.dim, self.num_entries, self.num_outputs, [*map(len, self.degrees)]
        *weight_keys, cond_key = jax.random.split(key, len(hidden) + 1)
        fans_in = [np.searchsorted(np.arange(d), self.degrees[0])]
        for below, own in zip(self.degrees, self.degrees[1:]):
            fans_in.append(np.searchsorted(below, own, "right"))
        weights = []
        for weight_key, inputs, fan_in in zip(weight_keys, (d * p, *hidden), fans_in):
            scale = 1 / np.sqrt(np.maximum(fan_in, 1))[:, None]
            weights.append(scale * jax.random.normal(weight_key, (len(fan_in), inputs)))
        params = {
            "weights": weights,  # [out, in]
            "biases": [jnp.zeros(h) for h in hidden],
            "readout": jnp.zeros((d, k, hidden[-1])),
            "offset": jnp.zeros((d, k)),
        }
        if self.direct:
            params["direct"] = jnp.zeros((d, k, d * p))
        if self.cond_size:
            scale = 1 / math.sqrt(self.cond_size)
            params["cond"] = scale * jax.random.normal(cond_key, (self.cond_size, hidden[0]))
        return params

    def layers(self, params, first_offset):
        """The triangular net of these parameters, with the offset [h_1, batch or 1] of layer 1."""
        d, p, k = self.dim, self.num_entries, self.num_outputs
        direct = None
        if self.direct:
            direct = self.entries_in_order(self.in_order(params["direct"]), 2)
            direct = direct.reshape(d * k, d * p)
        first, *others = params["weights"]
        return Layers(
            weights=[self.entries_in_order(first, 1), *others],
            offsets=[first_offset, *(b[:, None] for b in params["biases"][1:])],
            readout=self.in_order(params["readout"]).reshape(d * k, -1),
            direct=direct,
            out_offset=self.in_order(params["offset"]).reshape(d * k, 1),
            steps=[own - 1 for own in self.degrees],
            skips=self.skips,
            dim=d,
            p=p,
            q=k,
        )


def _wiring(order, hidden, num_outputs, cond_shape, encoding, residual, direct):
    lowest = 0 if cond_shape else 1
    num_degrees = max(len(order) - 1, lowest) - lowest + 1
    return _Wiring(
        order=order,
        degrees=[np.arange(h) * num_degrees // h + lowest for h in hidden],
        skips=[n - 2 if residual and n >= 2 and n % 2 == 0 else None for n in range(len(hidden))],
        direct=min(hidden) < num_degrees if direct is None else direct,
        num_entries=1 if encoding is None else encoding.size,
        num_outputs=num_outputs,
        cond_size=math.prod(cond_shape) if cond_shape else 0,
    )


# ------------------------------------------------------------------ batches as columns
class _Batch(NamedTuple):
    """Between arrays as they are given, [*batch, d, ...], and as layers take them, [d·..., batch],
    features first and coordinates in the order in which they are made."""

    wiring: _Wiring
    shape: Shape

    @property
    def size(self):
        return math.prod(self.shape)

    def columns(self, array):
        """[*batch or less, n] -> [n, batch]."""
        array = jnp.broadcast_to(array, (*self.shape, array.shape[-1]))
        return array.reshape(-1, array.shape[-1]).T

    def from_columns(self, array):
        """[n, batch] -> [*batch, n]."""
        return array.T.reshape(*self.shape, len(array))

    def coordinates(self, x):
        """[*batch or less, d] -> [d, batch]."""
        return self.wiring.in_order(self.columns(x))

    def by_coordinate(self, array, *tail):
        """[d·tail, batch] -> [*batch, d, *tail]."""
        array = self.wiring.as_given(array.reshape(self.wiring.dim, *tail, *self.shape))
        return jnp.moveaxis(array, range(1 + len(tail)), range(-1 - len(tail), 0))


# ------------------------------------------------------------------ the net
class _Made(NamedTuple):
    wiring: _Wiring
    cond_shape: Shape | None
    encoding: Encoding | None
    activation: Callable[[Array], Array]
    dropout: float
    substitute: Callable  # `substitution.unroll`
    num_blocks: int  # of a pass

    def init(self, key: Key) -> Params:
        checks.key(key)
        return self.wiring.init(key)

    def apply(
        self, params: Params, x: Array, cond: Array | None = None, *, key: Key | None = None
    ) -> Array:
        shape = batch_of(x, cond, self.wiring.dim, self.cond_shape, self.encoding)
        batch = _Batch(self.wiring, shape)
        layers, unit = (
            self._layers(params, cond, batch),
            self._unit(self._masks(key, batch, params)),
        )
        ordered = self._seen(batch.coordinates(x), layers.readout.dtype)
        _, f = evaluate(layers, ordered, unit, num_blocks=self.num_blocks)
        return batch.by_coordinate(f, self.wiring.num_outputs)

    def unroll(
        self,
        params: Params,
        emit: Callable,
        batch_shape: Shape,
        cond: Array | None = None,
        *,
        key: Key | None = None,
    ) -> tuple[Array, Array, Array]:
        batch, levels = _Batch(self.wiring, batch_shape), self.encoding is not None

        def emit_columns(t, f):
            x_t = emit(jnp.asarray(self.wiring.order)[t], batch.from_columns(f))
            return batch.columns(encoded(x_t, self.encoding, f.dtype)), x_t if levels else None

        layers, unit = (
            self._layers(params, cond, batch),
            self._unit(self._masks(key, batch, params)),
        )
        x, kept, f, streams = self.substitute(layers, emit_columns, unit, batch.size)
        units = jnp.concatenate([*streams, f])  # [all units and outputs, batch]
        x = kept if levels else x  # x encodes them, in few bits perhaps
        return batch.by_coordinate(x), batch.by_coordinate(f, self.wiring.num_outputs), units

    def linearize(
        self,
        params: Params,
        x: Array,
        units: Array,
        cond: Array | None = None,
        *,
        key: Key | None = None,
    ) -> LinearCausalNet:
        batch = _Batch(self.wiring, x.shape[:-1])
        masks = self._masks(key, batch, params)
        at_point = derivative(
            self._layers(params, cond, batch),
            batch.coordinates(x),
            units,
            lambda n, stream: self._activate(masks, n, 0, stream),
            substitute=partial(self.substitute, batch=batch.size),
            num_blocks=self.num_blocks,
        )

        def added(params_dot, cond_dot):
            def all_sums(params, cond):
                return at_point.sums(self._layers(params, cond, batch))

            return jax.jvp(all_sums, (params, cond), (params_dot, cond_dot))[1]

        linear = _Linear(batch, at_point)
        return LinearCausalNet(
            added, linear.spread, linear.outputs, linear.unroll, linear.unroll_back
        )

    def _layers(self, params, cond, batch):
        cond_batch = checks.condition(cond, self.cond_shape)
        offset = params["biases"][0][:, None]
        if cond is not None:  # b_1 + C c: where the condition enters
            cond = jnp.asarray(cond, params["cond"].dtype).reshape(
                *cond_batch, self.wiring.cond_size
            )
            offset = batch.columns(params["biases"][0] + cond @ params["cond"])
        return self.wiring.layers(params, offset)

    def _seen(self, ordered, dtype):
        """x [d, batch] -> what the net sees of it, [d·p, batch]."""
        entries = jnp.moveaxis(encoded(ordered, self.encoding, dtype), -1, 1)
        return entries.reshape(self.wiring.dim * self.wiring.num_entries, -1)

    def _masks(self, key, batch, params):
        """By what dropout multiplies the units of each layer, [h_n, batch]; None without."""
        if key is None or not self.dropout:
            return None
        keep, dtype = 1 - self.dropout, params["readout"].dtype
        keys = jax.random.split(key, len(self.wiring.degrees))
        sizes = [(len(own), batch.size) for own in self.wiring.degrees]
        return [jax.random.bernoulli(k, keep, n).astype(dtype) / keep for k, n in zip(keys, sizes)]

    def _activate(self, masks, n, start, stream):
        """What the next layer reads of units of layer n, from unit `start` on."""
        value = self.activation(stream)
        return value if masks is None else value * rows_from(masks[n], start, stream)

    def _unit(self, masks):
        def unit(n, start, a, skip):
            stream = a + skip
            return stream, self._activate(masks, n, start, stream)

        return unit


class _Linear(NamedTuple):
    """The `Derivative` of a batch, for arrays as they are given."""

    batch: _Batch
    at_point: Derivative

    def spread(self, x_dot, units_dot):
        return self.at_point.spread(self.batch.coordinates(x_dot), units_dot)

    def outputs(self, units_dot):
        f_dot = self.at_point.outputs(units_dot)
        return self.batch.by_coordinate(f_dot, self.batch.wiring.num_outputs)

    def unroll(self, emit, right):
        def emit_columns(t, f_dot):
            x_dot = emit(jnp.asarray(self.batch.wiring.order)[t], self.batch.from_columns(f_dot))
            return self.batch.columns(x_dot[..., None])

        x_dot, units_dot = self.at_point.unroll(emit_columns, right)
        return self.batch.by_coordinate(x_dot), units_dot

    def unroll_back(self, emit, right):
        last_first = self.batch.wiring.order[::-1]

        def emit_columns(t, v):
            f_bar = emit(jnp.asarray(last_first)[t], self.batch.from_columns(v)[..., 0])
            return self.batch.columns(f_bar)

        units_bar, v = self.at_point.unroll_back(emit_columns, right)
        return units_bar, self.batch.by_coordinate(v)
