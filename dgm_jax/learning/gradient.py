"""Gradient descent as an `Algorithm`: any `optax` optimiser, an average of iterates, a guard."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..protocol import Algorithm, Array, Params


class TrainState(NamedTuple):
    step: Array  # number of steps made, skipped ones included; int32
    params: Params
    opt_state: optax.OptState
    ema: Params | None  # the average of the iterates, None where it is off


def gradient_descent(
    init: Callable[..., Params],
    loss: Callable[..., tuple[Array, dict[str, Array]]],
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float | None = None,
    axis_name: str | None = None,
    compute_dtype=None,
) -> Algorithm:
    """θ ← θ - η ∇ loss(θ, key, batch), with init(key) = θ_0 and loss(...) = (scalar, metrics).

    The metrics are those of `loss`, and "loss" (where it gives none), "grad_norm" (‖∇‖₂ before
    the optimiser clips it) and "skipped".

    A step whose gradient is NaN or infinite is skipped: params, opt_state and ema stay as they
    were, and its metric "skipped" is 1. (`optax.apply_if_finite` gives in after some such steps;
    this never does, and `train` stops instead.)

    With `ema_decay` = d, ema ← d_t ema + (1 - d_t) θ with d_t = min(d, (1 + t) / (10 + t)) at
    step t: the average starts at θ_0 and forgets it within tens of steps, with no other bias
    correction. It costs one more copy of the parameters; `averaged` reads it.

    With `axis_name`, gradients and metrics are averaged over that axis and every device draws
    its own randomness, which is what `jax.pmap(algorithm.step, axis_name)` needs. Under `jit`
    with a sharded batch leave it out: see `dgm_jax.learning.devices`.

    With `compute_dtype=jnp.bfloat16` the loss sees floating parameters and batches in that dtype;
    parameters, gradients, optimiser, average and metrics stay as they are without it. It pays on
    hardware that multiplies in bfloat16. Its 8 bits are too few for data that need more, so look
    at a loss in float32 before the numbers are told.
    """
    checks.function(init, "init")
    checks.function(loss, "loss")
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise ValueError(f"optimizer must be one of optax, as optax.adam(1e-3); got {optimizer!r}.")
    numeric = isinstance(ema_decay, (int, float))
    if ema_decay is not None and not (numeric and 0 < ema_decay < 1):
        raise ValueError(f"ema_decay must lie between 0 and 1, such as 0.999; got {ema_decay!r}.")

    if compute_dtype is not None:
        if not jnp.issubdtype(compute_dtype, jnp.floating):
            raise ValueError(
                f"compute_dtype must be floating, such as jnp.bfloat16; got {compute_dtype!r}."
            )
        loss = _in_precision(loss, compute_dtype)

    def start(key):
        params = init(key)
        ema = None if ema_decay is None else params
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), ema)

    def step(state, key, batch):
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params, key, batch)
        metrics = {"loss": value, **metrics}
        if axis_name is not None:
            grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(grad_norm)

        try:
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        except TypeError as error:  # optax takes anything for a rate, and meets it here
            raise ValueError(
                f"optimizer fails at a step ({error}); a learning rate is a number or a schedule."
            ) from error
        params = optax.apply_updates(state.params, updates)
        ema = None if ema_decay is None else _average(state.ema, params, ema_decay, state.step)
        new = TrainState(state.step, params, opt_state, ema)
        new = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, state)
        metrics = {**metrics, "grad_norm": grad_norm, "skipped": 1 - finite.astype(jnp.int32)}
        return new._replace(step=state.step + 1), metrics

    return Algorithm(start, step)


def _in_precision(loss, dtype):
    """loss of the parameters and the batch in `dtype`; its numbers in float32."""

    def cast(tree, dtype):
        return jax.tree.map(
            lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
        )

    def cast_loss(params, key, batch):
        return cast(loss(cast(params, dtype), key, cast(batch, dtype)), jnp.float32)

    return cast_loss


def averaged(state: TrainState) -> Params:
    """The parameters to evaluate and to sample with: the average if there is one, else the last."""
    return state.params if state.ema is None else state.ema


def _average(ema: Params, params: Params, decay: float, step: Array) -> Any:
    t = step.astype(jnp.float32)
    rate = 1 - jnp.minimum(decay, (1 + t) / (10 + t))
    return jax.tree.map(lambda a, p: a + rate.astype(a.dtype) * (p - a), ema, params)
