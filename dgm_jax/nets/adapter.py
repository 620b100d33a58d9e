"""The one file that knows flax linen: a linen module becomes a `Net`, a pair of pure functions."""

import inspect
from functools import partial

import flax.linen as linen
import jax.numpy as jnp

from .. import checks
from ..protocol import Net

# The layers of linen with parameters of the default float, as those of `self.param` are: float64
# where x64 is enabled. Linen's own would be float32 beside them.
Attention, Conv, Dense, LayerNorm = (
    partial(layer, param_dtype=float)
    for layer in (
        linen.MultiHeadDotProductAttention,
        linen.Conv,
        linen.Dense,
        linen.LayerNorm,
    )
)


def from_linen(module: linen.Module, *shapes: tuple[int, ...]) -> Net:
    """Closes a linen module over the shapes of its inputs (one event each, without a batch).

    A module that has randomness (dropout) declares `deterministic` in `__call__`; it is True when
    `apply` gets no key. Modules with state that is no parameter (batch norm) are refused.
    """
    if not isinstance(module, linen.Module):
        raise ValueError(f"module must be a linen module, built already; got {module!r}.")
    has_switch = "deterministic" in inspect.signature(type(module).__call__).parameters

    def init(key):
        checks.key(key)
        switch = {"deterministic": True} if has_switch else {}
        variables = module.init(key, *(jnp.zeros(shape) for shape in shapes), **switch)
        if extra := sorted(set(variables) - {"params"}):
            raise ValueError(
                f"module {type(module).__name__} keeps state {extra} beside its parameters; "
                "a Net has parameters only, so use a layer without running statistics."
            )
        return variables.get("params", {})

    def apply(params, *inputs, key=None):
        switch = {"deterministic": key is None} if has_switch else {}
        if key is not None:
            checks.key(key)
        rngs = None if key is None else {"dropout": key}
        return module.apply({"params": params}, *inputs, rngs=rngs, **switch)

    return Net(init, apply)
