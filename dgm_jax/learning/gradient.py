"""Gradient descent as an `Algorithm`: any optax optimiser, averaging, and skipping of bad steps."""

from collections.abc import Callable, Mapping
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


@checks.spelled
def gradient_descent(
    init: Callable[[Key], Params],
    loss: Callable[..., tuple[Array, Any]],
    optimizer: optax.GradientTransformation,
    *,
    init_state: Callable[[Key, Params], State] | None = None,
    weights: Mapping[str, Schedule | float] | None = None,
    ema_decay: float | None = None,
    axis_name: str | None = None,
    compute_dtype: Any = None,
) -> Algorithm:
    """θ ← θ - η ∇_θ loss(θ, key, batch), the step of any optax optimiser, as an `Algorithm`.

    init: init(key) = θ_0, such as `model.init`
    loss: loss(params, key, batch) = (scalar, metrics), metrics a dict {name: scalar}
    optimizer: one of optax, with the learning rate η
    init_state: s_0 = init_state(key, θ_0) is a state that no gradient moves, such as the running
        statistics of batch normalisation. Then loss(..., state=s) = (scalar, (metrics, new state))
    weights: {"beta": schedule, ...} gives loss(..., weights={"beta": value, ...}). A schedule is a
        function of the number of steps made (skipped ones included), as in optax, or a constant
    ema_decay: d of ema ← d_t ema + (1 - d_t) θ with d_t = min(d, (1 + t) / (10 + t)) at step t;
        None for no average. The small d_t at the beginning takes the place of a bias correction. It
        costs one copy of the parameters
    axis_name: for `jax.pmap(algorithm.step, axis_name)`. Every device draws its own random numbers,
        and gradients, metrics and the floating-point part of the state are averaged over the axis;
        other statistics than means the loss must average itself. Under `jit` with a sharded batch
        leave it out: every statistic is that of the whole batch (`dgm_jax.learning.devices`)
    compute_dtype: with jnp.bfloat16 the loss gets floating-point parameters, batches, weights and
        fixed arrays in that dtype; all else keeps its own. It is faster on hardware with bfloat16
        arithmetic, which has 8 significant bits: evaluate the final loss in float32

    `train(..., fixed=tree)` gives loss(..., fixed=tree), for arrays that training does not change,
    such as the parameters of a teacher. Returns an `Algorithm`, for `learning.train` or
    `learning.fit`. Its state is a `TrainState`: step, params, opt_state, ema and state. The metrics
    are those of the loss, "loss" (unless it has its own), "grad_norm" (‖∇‖₂ before the optimiser)
    and "skipped": a step with a NaN or infinite gradient or new state is skipped, everything but
    the count of steps stays, and the metric is 1.

    `algorithm.params` selects the average if there is one, else the last parameters (`averaged`);
    with `init_state` the pair (parameters, state). Raises `ValueError` for a wrong argument.
    """
    checks.function(init, "init")
    checks.function(loss, "loss", ("params", "key", "batch"), more=True)
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
