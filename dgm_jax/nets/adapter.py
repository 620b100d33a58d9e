"""The one module that uses flax linen: it turns a linen module into a pair of pure functions."""

import inspect
import math
from functools import partial
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Key, Net, Params, Shape, State, StatefulNet
from .starts import scaled
from .upsampling import down_conv


def _product(x, kernel, dimension_numbers, **options):
    """x [..., n] times a kernel [n, m], where one device has all rows as one matrix.

    Of two batch axes, such as samples and examples, XLA makes the kernel's gradient by a product
    for which it first copies the gradient of the outputs, 1.3 times as slow on a CPU. Where the
    batch is spread over a mesh, only axes of one entry are joined to another: XLA cannot split a
    joined axis as one of its parts was, and every device would make all rows.
    """
    *batch, width = x.shape
    rows, num_outputs, axis = math.prod(batch), kernel.shape[1], 0
    one_device = jax.sharding.get_abstract_mesh().size <= 1  # of `jax.set_mesh`; none has size 0
    if len(batch) > 1 and (one_device or rows in batch):
        x = x.reshape(rows, width)
    if rows >= 128 and width >= 2 * num_outputs:
        # The gradient of a kernel with few outputs is twice as fast on a CPU as [m, n]. Without the
        # barrier XLA would see that the kernel is transposed, and do the same as before.
        kernel, axis = jax.lax.optimization_barrier(kernel.T), 1
    contracted = (((x.ndim - 1,), (axis,)), ((), ()))
    return jax.lax.dot_general(x, kernel, contracted, **options).reshape(*batch, num_outputs)


def _convolve(
    x, kernel, strides, padding, *, lhs_dilation, rhs_dilation, feature_group_count, **rest
):
    """`down_conv`, whose gradients are as fast in a loop as outside of one."""
    if len({*strides}) > 1 or {*lhs_dilation, *rhs_dilation, feature_group_count} != {1}:
        raise checks.InputError(
            "Conv has one stride for both axes, no dilation and one group of channels; take "
            "linen.Conv with param_dtype=float for others."
        )
    return down_conv(x, kernel, stride=strides[0], padding=padding)


# The layers of linen with parameters of the default float, as those of `self.param` are: float64
# where x64 is enabled. Linen's own would be float32 beside them.
Attention, BatchNorm, Conv, Dense, LayerNorm = (
    partial(layer, param_dtype=float)
    for layer in (
        partial(linen.MultiHeadDotProductAttention, kernel_init=scaled()),
        linen.BatchNorm,
        partial(linen.Conv, conv_general_dilated=_convolve, kernel_init=scaled()),
        partial(linen.Dense, dot_general=_product, kernel_init=scaled()),
        linen.LayerNorm,
    )
)


def from_linen(module: linen.Module, *shapes: Shape) -> Net:
    """f_θ(x, ...) = module.apply({"params": θ}, x, ...): a flax linen module as a `Net`.

        net = from_linen(linen.Dense(3), (5,))
        y = net.apply(net.init(key), x)                # x [..., 5] -> [..., 3]

    module: without other variables than parameters. One with a state (batch normalisation) raises
        InputError in `init`; use `stateful`. A module with dropout declares `deterministic` in
        `__call__`, which is True if `apply` gets no key; its layers draw from the stream "dropout"
    shapes: of each input, of one event without batch axes; `init` calls the module with zeros of
        these shapes
    """
    _check_module(module)
    shapes = _checked(shapes)
    has_switch = _declares(module, "deterministic")

    def init(key: Key) -> Params:
        checks.key(key)
        switch: dict[str, Any] = {"deterministic": True} if has_switch else {}
        variables = module.init(key, *(jnp.zeros(shape) for shape in shapes), **switch)
        if extra := sorted(set(variables) - {"params"}):
            raise checks.InputError(
                f"module {type(module).__name__} keeps state {extra} beside its parameters; "
                "a Net has parameters only. Use nets.stateful(module, ...), which keeps running "
                "statistics as well, or layers without."
            )
        return variables.get("params", {})

    def apply(params: Params, *inputs: Array, key: Key | None = None) -> Array:
        switch: dict[str, Any] = {"deterministic": key is None} if has_switch else {}
        y: Any = module.apply({"params": params}, *inputs, rngs=_rngs(key), **switch)
        return y

    return Net(init, apply)


def stateful(module: linen.Module, *shapes: Shape) -> StatefulNet:
    """A linen module with a state as a `StatefulNet`: θ, s ↦ f_θ,s, for inputs of these shapes.

    module: a flax linen module, which declares `train` in `__call__` and passes it on to its layers
    shapes: of each input, of one event without batch axes; `init` calls the module with zeros of
        these shapes


        class Critic(linen.Module):
            @linen.compact
            def __call__(self, x, train):
                x = linen.BatchNorm(use_running_average=not train)(linen.Dense(64)(x))
                return linen.Dense(1)(jax.nn.relu(x))

        critic = stateful(Critic(), (2,))
        params, state = critic.init(key)
        y, state = critic.apply(params, state, x, train=True)  # x [batch, 2]

    The result has init(key) -> (params, state) and apply(params, state, *inputs, train=...,
    key=None) -> (result, state). The state is all variables of the module except its parameters,
    such as {"batch_stats": ...}. With train=True it is returned updated, with the same shapes and
    dtypes; with train=False unchanged. A module with dropout also declares `deterministic`, which
    is True if `apply` gets no key.

    Batch statistics are those of the whole batch: under `jit` also if it is sharded over devices;
    under `jax.pmap` if the layers get the name of the axis, linen.BatchNorm(axis_name="batch").
    Ioffe and Szegedy (2015), "Batch normalization".
    """
    _check_module(module)
    if not _declares(module, "train"):
        raise checks.InputError(
            f"module {type(module).__name__} must declare `train` in __call__, which says whether "
            "to use the batch (True) or the state (False)."
        )
    shapes = _checked(shapes)
    has_switch = _declares(module, "deterministic")

    def init(key: Key) -> tuple[Params, State]:
        checks.key(key)
        switch: dict[str, Any] = {"deterministic": True} if has_switch else {}
        inputs = (jnp.zeros(shape) for shape in shapes)
        state = dict(module.init(key, *inputs, train=False, **switch))
        return state.pop("params", {}), state

    def apply(
        params: Params, state: State, *inputs: Array, train: bool, key: Key | None = None
    ) -> tuple[Array, State]:
        switch: dict[str, Any] = {"deterministic": key is None} if has_switch else {}
        switch["train"] = train
        variables = {"params": params, **state}
        if not train:
            y: Any = module.apply(variables, *inputs, rngs=_rngs(key), **switch)
            return y, state
        mutable = list(state)
        y, moved = module.apply(variables, *inputs, rngs=_rngs(key), mutable=mutable, **switch)
        return y, jax.tree.map(lambda new, old: new.astype(old.dtype), dict(moved), state)

    return StatefulNet(init, apply)


def _check_module(module):
    checks.instance(module, linen.Module, "module")


def _checked(shapes):
    """Scalars are (); an axis may be empty, as that of an input that a net does not have."""
    return tuple(checks.sample_shape(shape, "each of shapes") for shape in shapes)


def _declares(module, name):
    return name in inspect.signature(type(module).__call__).parameters


def _rngs(key):
    if key is None:
        return None
    checks.key(key)
    return {"dropout": key}
