"""MADE: a masked multilayer perceptron whose output i depends only on the inputs before i.

`_Wiring` says which unit may read which, `_Batch` brings arrays into the layout of the layers, and
`_Made` is the net. The arithmetic serves any triangular net: `triangular` has the parallel pass,
`substitution` the unroll and `linearized` the derivative.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ... import checks
from ...arrays import in_a_row, places, same_rank
from ...protocol import Array, CausalNet, Key, Params, Shape
from .definition import naive
from .encodings import Encoding, batch_of, check_encoding, encoded
from .linearized import Derivative, LinearCausalNet, derivative, rows_from
from .substitution import unroll
from .triangular import Layers, evaluate

INVERSES = ("unit_once", "fixed_point", "block_fixed_point", "naive")


@checks.spelled
def made(
    dim: int,
    *,
    hidden: Sequence[int],
    num_outputs: int,
    order: Sequence[int] | np.ndarray | None = None,
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
    """f_i(x_<i, c) ∈ R^k for all i from one pass of a masked multilayer perceptron.

    x [..., d] -> f [..., d, k]. Returns a `CausalNet`, for `autoregressive.density`, with init(key)
    -> params, apply(params, x, cond=None, key=None) -> f for a known x, in one pass, and
    unroll(params, emit, batch_shape, cond=None, key=None) -> (x, f, units), which makes x
    coordinate by coordinate, as in sampling or in the inverse of a flow: x_i = emit(i, f_i).

    Every hidden unit has a degree, the number of inputs that it may depend on: the first ones in
    the order. It reads units of the layer below with at most its own degree. Output t, the t-th in
    the order, reads units of degree at most t, counted from t = 0. The degrees of a layer are
    spread evenly over 1..d-1, so that every input reaches every later output; with a condition they
    begin at 0, for units that depend on the condition alone. The outputs start at zero. Germain et
    al. (2015), "MADE: masked autoencoder for distribution estimation", eqs. 12-15.

    dim, num_outputs: d and k
    hidden, activation: widths of the hidden layers, and the non-linearity between them
    order: order[t] is the coordinate computed at step t; default 0..d-1
    cond_shape: the shape of one condition c. It is flattened and read by all units of the first
        layer, whose biases become b_1 + C c
    encoding: how the net sees levels; x then holds integers (`nets.one_hot`, `nets.scaled`). Such a
        net has no derivative with respect to x, and no `linearize`
    residual: after the first layer, every two layers are a residual block h + W' s(W s(h)), with s
        the activation. The number of layers must be odd and their widths equal. Durkan & Nash
        (2019), "Autoregressive energy machines", ResMADE
    direct: whether each output also reads the inputs before it directly. By default it does if a
        hidden layer has fewer units than there are degrees (d - 1, or d with a condition), since an
        output might otherwise miss an input
    dropout: the fraction of hidden units that are set to 0 if a key is given; the others are
        multiplied by 1 / (1 - dropout). `apply`, `unroll` and `linearize` drop the same units for
        the same key and batch shape. Srivastava et al. (2014), "Dropout"
    inverse: how `unroll` computes x; all four ways are exact. "unit_once" computes each unit once:
        the arithmetic of one pass, in d small steps. "block_fixed_point" repeats a pass over a
        block of coordinates until nothing changes, then goes on to the next block: fewer and larger
        steps, for devices on which small steps are slow. "fixed_point" does so with all of x as one
        block, in at most d passes. "naive" makes the lecture's d passes
    num_blocks: blocks of coordinates in the unroll, by default 2 or 3 up to d = 16, √d / 2 up to
        64, 4 up to 256 and √d / 4 above. More blocks take longer to compile
    density_blocks: row blocks of the parallel pass, which leave out products with zeros
        (`nets.causal.triangular`); 1 is the dense pass. The default is 1 if a layer has fewer than
        256 units, where small products cost more than they save; else 2 from d = 8, and 4 from
        d = 512
    tolerance: the largest change at which a fixed-point iteration stops; with 0 it is exact
    Cost: `apply`, and `unroll` with "unit_once", each take at most one dense pass, Σ in·out
    multiply-adds per example.
    """
    dim = checks.positive_int(dim, "dim")
    hidden = checks.widths(hidden, fewest=1)
    checks.function(activation, "activation")
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    cond_shape = checks.cond_shape(cond_shape)
    checks.choice(inverse, INVERSES, "inverse")
    check_encoding(encoding)
    residual = checks.flag(residual, "residual")
    direct = None if direct is None else checks.flag(direct, "direct")
    if residual and (len(hidden) % 2 == 0 or len(set(hidden)) > 1):
        raise checks.InputError(
            f"hidden must be an odd number of equal widths where residual=True; got {hidden}."
        )
    tolerance = checks.not_negative(tolerance, "tolerance")
    dropout = checks.rate(dropout, "dropout")
    order = checks.permutation(np.arange(dim) if order is None else order, dim)

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
    """The numbers of blocks of an unroll and of a pass that were measured to be fast."""
    of_pass = 1 if min(hidden) < 256 or dim < 8 else 2 if dim < 512 else 4
    of_unroll = round(min(math.sqrt(dim) / 2, max(4, math.sqrt(dim) / 4)))
    if dim <= 16:  # with fewer, a sample would cost two density passes
        of_unroll = min(dim, of_pass + 1)
    return of_unroll, of_pass


def _blocks(value, dim, default, name):
    if value is None:
        return default
    value = checks.positive_int(value, name)
    if value > dim:
        raise checks.InputError(f"{name} must be at most dim={dim}; got {value}.")
    return value


# ------------------------------------------------------------------ which unit sees which
class _Wiring(NamedTuple):
    """Which unit may see which: all of the net that is known before there are weights."""

    order: np.ndarray  # order[t] is the coordinate made at step t
    degrees: list[np.ndarray]  # of each hidden unit: how many inputs it may see; ascending
    skips: list[int | None]  # layer n adds the sums of this earlier layer to its own (residual)
    direct: bool  # whether outputs read the inputs directly
    num_entries: int  # p, how many numbers the net sees of a coordinate
    num_outputs: int  # k, how many numbers it gives for a coordinate
    cond_size: int  # how many numbers a condition has

    @property
    def dim(self):
        return len(self.order)

    @property
    def in_raster(self):
        return (self.order == np.arange(self.dim)).all()

    def in_order(self, array, axis=0):
        """An array with a given axis of coordinates -> the same in the order they are made."""
        return array if self.in_raster else jnp.take(array, self.order, axis)

    def as_given(self, array):
        """Takes back `in_order` on axis 0: coordinates in the order that x has them."""
        return array if self.in_raster else jnp.take(array, places(self.order), 0)

    def entries_in_order(self, array, axis):
        """The same for the p entries of each coordinate, on one axis [d·p]."""
        p = self.num_entries
        entries = (self.order[:, None] * p + np.arange(p, dtype=np.int32)).ravel()
        return array if self.in_raster else jnp.take(array, entries, axis)

    def init(self, key):
        """Weights of variance 1 / (the number of inputs that a unit may see); f = 0."""
        d, p, k, hidden = self.dim, self.num_entries, self.num_outputs, [*map(len, self.degrees)]
        *weight_keys, cond_key = jax.random.split(key, len(hidden) + 1)
        fans_in = [np.searchsorted(np.arange(d), self.degrees[0])]
        for below, own in zip(self.degrees, self.degrees[1:]):
            fans_in.append(np.searchsorted(below, own, "right"))
        weights = []
        for weight_key, inputs, fan_in in zip(weight_keys, (d * p, *hidden), fans_in):
            scale = 1 / np.sqrt(np.maximum(fan_in, 1))[:, None]
            weights.append(scale * in_a_row(jax.random.normal, weight_key, (len(fan_in), inputs)))
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
        """The net as `triangular` takes it. first_offset: b_1 + C c, [h_1, batch or 1]."""
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
    """Turns arrays as a caller has them, [*batch, d, ...], into those that layers take, and back.

    Layers take [d·..., batch]: features first, coordinates in the order in which they are made, and
    all batch axes as one.
    """

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
        """[d·tail, batch], as layers give it -> [*batch, d, *tail]."""
        array = self.wiring.as_given(array.reshape(self.wiring.dim, *tail, *self.shape))
        return jnp.moveaxis(array, range(1 + len(tail)), range(-1 - len(tail), 0))


# ------------------------------------------------------------------ the net
class _Made(NamedTuple):
    """The functions of the `CausalNet`."""

    wiring: _Wiring
    cond_shape: Shape | None
    encoding: Encoding | None
    activation: Callable[[Array], Array]
    dropout: float
    substitute: Callable  # `substitution.unroll`, with the options of `inverse`
    num_blocks: int  # of a parallel pass

    def init(self, key: Key) -> Params:
        checks.key(key)
        return self.wiring.init(key)

    def apply(
        self, params: Params, x: Array, cond: Array | None = None, *, key: Key | None = None
    ) -> Array:
        shape = batch_of(x, cond, self.wiring.dim, self.cond_shape, self.encoding)
        batch = _Batch(self.wiring, shape)
        layers = self._layers(params, cond, batch)
        unit = self._unit(self._dropped(key, batch, params))
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

        def emit_columns(t, f):  # what the net sees of x_t, and x_t itself where it is a level
            x_t = emit(jnp.asarray(self.wiring.order)[t], batch.from_columns(f))
            return batch.columns(encoded(x_t, self.encoding, f.dtype)), x_t if levels else None

        layers = self._layers(params, cond, batch)
        unit = self._unit(self._dropped(key, batch, params))
        x, kept, f, streams = self.substitute(layers, emit_columns, unit, batch.size)
        units = jnp.concatenate([*streams, f])  # the sums of all units and outputs, [n, batch]
        x = kept if levels else x
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
        dropped = self._dropped(key, batch, params)
        at_point = derivative(
            self._layers(params, cond, batch),
            batch.coordinates(x),
            units,
            lambda n, stream: self._activate(dropped, n, 0, stream),
            substitute=partial(self.substitute, batch=batch.size),
            num_blocks=self.num_blocks,
        )

        def added(params_dot, cond_dot):  # how the sums move with the weights alone
            def all_sums(params, cond):
                return at_point.sums(self._layers(params, cond, batch))

            return jax.jvp(all_sums, (params, cond), (params_dot, cond_dot))[1]

        linear = _Linear(batch, at_point)
        return LinearCausalNet(
            added, linear.spread, linear.outputs, linear.unroll, linear.unroll_back
        )

    def _layers(self, params, cond, batch):
        """The layers of these parameters; the condition enters in the offset b_1 + C c."""
        params = jax.tree.map(jnp.asarray, params)  # an array of numpy has no traced index
        cond_batch = checks.condition(cond, self.cond_shape)
        offset = params["biases"][0][:, None]
        if cond is not None:
            cond = jnp.asarray(cond, params["cond"].dtype).reshape(
                *cond_batch, self.wiring.cond_size
            )
            bias, moved = same_rank(params["biases"][0], cond @ params["cond"])
            offset = batch.columns(bias + moved)
        return self.wiring.layers(params, offset)

    def _seen(self, ordered, dtype):
        """x [d, batch] -> what the net sees of it, [d·p, batch]."""
        entries = jnp.moveaxis(encoded(ordered, self.encoding, dtype), -1, 1)
        return entries.reshape(self.wiring.dim * self.wiring.num_entries, -1)

    def _dropped(self, key, batch, params):
        """Dropout's factor for each unit, 0 or 1 / (1 - rate): [h_n, batch] by layer, or None."""
        if key is None or not self.dropout:
            return None
        keep, dtype = 1 - self.dropout, params["readout"].dtype
        keys = jax.random.split(key, len(self.wiring.degrees))
        sizes = [(len(own), batch.size) for own in self.wiring.degrees]
        return [jax.random.bernoulli(k, keep, n).astype(dtype) / keep for k, n in zip(keys, sizes)]

    def _activate(self, dropped, n, start, stream):
        """s(stream) of the units of layer n from unit `start` on, with dropout."""
        value = self.activation(stream)
        return value if dropped is None else value * rows_from(dropped[n], start, stream)

    def _unit(self, dropped):
        """What a unit does with its sum a, as a `triangular.Unit`."""

        def unit(n, start, a, skip):
            stream = a + skip
            return stream, self._activate(dropped, n, start, stream)

        return unit


class _Linear(NamedTuple):
    """The `Derivative` at a point, for arrays as a caller has them; its parts are the fields of
    `LinearCausalNet`."""

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
