"""Gradient descent as an `Algorithm`: any `optax` optimiser, an average of iterates, a guard."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..protocol import Algorithm, Array, Key, Params, State
from .descent import (
    Schedule,
    averaged,
    check_axis_name,
    check_carried,
    checked_decay,
    descend,
    extras,
    first,
    in_full,
    initial,
    own_key,
)


def gradient_descent(
    init: Callable[[Key], Params],
    loss: Callable[..., tuple[Array, Any]],
    optimizer: optax.GradientTransformation,
    *,
    init_state: Callable[[Key, Params], State] | None = None,
    weights: dict[str, Schedule | float] | None = None,
    ema_decay: float | None = None,
    axis_name: str | None = None,
    compute_dtype: Any = None,
) -> Algorithm:
    """θ ← θ - η ∇ loss(θ, key, batch), with init(key) = θ_0 and loss(...) = (scalar, metrics).

    The metrics are those of `loss`, and "loss" (where it gives none), "grad_norm" (‖∇‖₂ before
    the optimiser clips it) and "skipped". The loss may be given more, each by keyword and only
    where it is asked for:

    - With `init_state`, s_0 = init_state(key, θ_0) is a state that no gradient moves, such as the
      running statistics of batch normalisation. Then loss(..., state=s) = (scalar, (metrics, s')).
    - With `weights` = {"beta": schedule, ...} it is loss(..., weights={"beta": value, ...}). A
      schedule is a function of the number of steps made, skipped ones included, as those of
      optax are; a number stays what it is.
    - With `train(..., fixed=tree)` it is loss(..., fixed=tree), for parameters that stay as they
      are, such as those of a teacher.

    A step whose gradient or new state is NaN or infinite is skipped: params, opt_state, ema and
    state stay as they were, and its metric "skipped" is 1. (`optax.apply_if_finite` gives in
    after some such steps; this never does, and `train` stops instead.)

    With `ema_decay` = d, ema ← d_t ema + (1 - d_t) θ with d_t = min(d, (1 + t) / (10 + t)) at
    step t: the average starts at θ_0 and forgets it within tens of steps, with no other bias
    correction. It costs one more copy of the parameters.

    `algorithm.params` selects the average if there is one, else the last parameters (`averaged`);
    with `init_state` it selects the pair (parameters, state), as `StatefulNet.init` gives it.

    With `axis_name`, every device draws its own randomness, and gradients, metrics and the
    floating part of the state are averaged over that axis, which is what
    `jax.pmap(algorithm.step, axis_name)` needs. A mean over the batch is then that of the whole
    batch; any other statistic, such as a variance, the loss must average itself. Under `jit` with
    a sharded batch leave `axis_name` out, and every statistic is that of the whole batch: see
    `dgm_jax.learning.devices`.

    With `compute_dtype=jnp.bfloat16` the loss sees floating parameters, batches, weights and what
    is fixed in that dtype; parameters, gradients, optimiser, average, state and metrics stay as
    they are without it. It pays on hardware that multiplies in bfloat16. Its 8 bits are too few
    for data that need more, so look at a loss in float32 before the numbers are told.

    Raises `ValueError` for a wrong argument.
    """
    checks.function(init, "init")
    checks.function(loss, "loss")
    ema_decay = checked_decay(optimizer, ema_decay)
    check_carried(init_state, weights)
    check_axis_name(axis_name)
    loss = in_full(loss, init_state is not None)
    if compute_dtype is not None:
        loss = _in_precision(loss, checks.dtype(compute_dtype, "compute_dtype"))

    def start(key):
        params, state = initial(init, init_state, key)
        return first(params, optimizer, ema_decay)._replace(state=state)

    def step(state, key, batch, fixed=None):
        key, given = own_key(key, axis_name), extras(weights, state.step, fixed)
        return descend(
            state,
            lambda params: loss(params, key, batch, state.state, **given),
            optimizer,
            ema_decay=ema_decay,
            axis_name=axis_name,
        )

    return Algorithm(start, step, averaged if init_state is None else _averaged_and_state)


def _averaged_and_state(state):
    return averaged(state), state.state


def _in_precision(loss, dtype):
    """loss of what it is given in `dtype`: its numbers in float32, its state as it was."""

    def cast(tree, dtype):
        return jax.tree.map(
            lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
        )

    def cast_loss(params, key, batch, state, **given):
        given, batch = cast((given, batch), dtype)
        value, (metrics, new) = loss(cast(params, dtype), key, batch, state, **given)
        new = jax.tree.map(lambda x, old: x.astype(old.dtype), new, state)
        return *cast((value,), jnp.float32), (cast(metrics, jnp.float32), new)

    return cast_loss
