"""Many layers of the same form: stacked parameters, compiled once."""

from collections.abc import Callable
from functools import partial

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import compiled_once
from ..protocol import Array, Params


class Scan(distrax.Bijector):
    """T = T_K ∘ ... ∘ T_1, with the sum of log-determinants: one loop over the layers.

    layer: layer(params_k, *context) is the bijector T_k. Outside of `jit` each method is compiled
        once per function `layer` and shape of its arguments: keep the function object
    params: a tree of arrays [K, ...], whose slices k are the parameters of T_k
    num_layers: K
    context: further arguments, such as a condition, the same for all layers
    unroll: if False, one `jax.lax.scan`, whose compile time does not depend on K. If True, the K
        layers are written out, which compiles K times the code, and makes gradients faster where
        slicing the weights dominates
    recompute: keeps of each layer its input only, and a gradient computes the rest once more: it
        takes less memory and compiles less, and is no slower where a layer has many small
        operations. It has no effect with unroll=True

    `forward` runs layer 1 first, `inverse` layer K first. Raises InputError if params do not have
    num_layers slices.
    """

    same_as = checks.same_bijector

    def __init__(
        self,
        layer: Callable[..., distrax.Bijector],
        params: Params,
        num_layers: int,
        *context: Params,
        unroll: bool = False,
        recompute: bool = False,
    ):
        checks.function(layer, "layer")
        num_layers = checks.positive_int(num_layers, "num_layers")
        unroll = checks.flag(unroll, "unroll")
        recompute = checks.flag(recompute, "recompute") and not unroll
        if stacked := {jnp.shape(p)[:1] for p in jax.tree.leaves(params)} - {(num_layers,)}:
            raise checks.InputError(
                f"params must stack {num_layers} layers on each first axis; got {stacked.pop()}. "
                "They may be of a model with another num_layers."
            )
        first = layer(jax.tree.map(lambda leaf: leaf[0], params), *context)
        checks.instance(first, distrax.Bijector, "layer(params, ...)")
        super().__init__(
            event_ndims_in=first.event_ndims_in,
            is_constant_jacobian=first.is_constant_jacobian,
            is_constant_log_det=first.is_constant_log_det,
        )
        self._options = layer, num_layers, unroll, recompute
        self._params, self._context = params, context

    def forward(self, x: Array) -> Array:
        return _run("forward", *self._options, self._params, self._context, x)

    def inverse(self, y: Array) -> Array:
        return _run("inverse", *self._options, self._params, self._context, y)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return _run("forward_and_log_det", *self._options, self._params, self._context, x)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return _run("inverse_and_log_det", *self._options, self._params, self._context, y)


@partial(compiled_once, static_argnums=(0, 1, 2, 3, 4))
def _run(method, layer, num_layers, unroll, recompute, params, context, x):
    """What a method of T returns, by running that method of each layer."""
    has_log_det = method.endswith("log_det")

    def step(params, x):  # -> x and its log-det, None where it is not asked for
        result = getattr(layer(params, *context), method)(x)
        return result if has_log_det else (result, None)

    def layer_of(carry, params):
        x, total = carry
        x, log_det = step(params, x)
        return (x, jax.tree.map(jnp.add, total, log_det)), None

    of_a_layer = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), params)
    y, log_det = jax.eval_shape(step, of_a_layer, x)
    # A batch of conditions makes a batch of one point: x in the shape and dtype of an output.
    start = jnp.broadcast_to(x, y.shape).astype(y.dtype), jax.tree.map(_zeros, log_det)
    reverse = method.startswith("inverse")
    body = jax.checkpoint(layer_of, prevent_cse=False) if recompute else layer_of
    carry, _ = jax.lax.scan(body, start, params, num_layers, reverse=reverse, unroll=unroll)
    return carry if has_log_det else carry[0]


def _zeros(like):
    return jnp.zeros(like.shape, like.dtype)
