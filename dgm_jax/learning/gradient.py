"""Gradient descent as an `Algorithm`: any `optax` optimiser, an average of iterates, a guard."""

import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..protocol import Algorithm, Array, Key, Metrics, Params, State

Schedule = Callable[[Array], Array]  # step ↦ a number, such as optax.linear_schedule(0, 1, 1000)


class TrainState(NamedTuple):
    step: Array  # number of steps made, skipped ones included; int32
    params: Params
    opt_state: optax.OptState
    ema: Params | None  # the average of the iterates, None where it is off
    state: State = None  # what no gradient moves, such as running statistics; None without


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

    A step whose gradient is NaN or infinite is skipped: params, opt_state, ema and state stay as
    they were, and its metric "skipped" is 1. (`optax.apply_if_finite` gives in after some such
    steps; this never does, and `train` stops instead.)

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
    check_optimizer(optimizer, ema_decay)
    check_carried(init_state, weights)
    loss = in_full(loss, init_state is not None)
    if compute_dtype is not None:
        if not jnp.issubdtype(compute_dtype, jnp.floating):
            raise checks.InputError(
                f"compute_dtype must be floating, such as jnp.bfloat16; got {compute_dtype!r}."
            )
        loss = _in_precision(loss, compute_dtype)

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


def averaged(state: TrainState) -> Params:
    """The parameters to evaluate and to sample with: the average if there is one, else the last."""
    return state.params if state.ema is None else state.ema


def _averaged_and_state(state):
    return averaged(state), state.state


# ------------------------------------------------------- what every algorithm with gradients needs
def first(params: Params, optimizer: optax.GradientTransformation, ema_decay) -> TrainState:
    """The state before the first step, with nothing in `state`."""
    ema = None if ema_decay is None else params
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), ema)


def descend(
    state: TrainState,
    loss: Callable[[Params], tuple[Array, tuple[Metrics, State]]],
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float | None,
    axis_name: str | None,
) -> tuple[TrainState, Metrics]:
    """One step down loss(params) = (scalar, (metrics, new state)), or none if ∇ is not finite."""
    (value, (metrics, carried)), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
    metrics = {"loss": value, **metrics}
    if jax.tree.structure(carried) != jax.tree.structure(state.state):
        raise ValueError(
            "loss must return a state like that of init_state, "
            f"{jax.tree.structure(state.state)}; got {jax.tree.structure(carried)}."
        )
    if axis_name is not None:
        grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
        carried = _mean_of_floating(carried, axis_name)
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(grad_norm)

    updates, opt_state = _updates(optimizer, grads, state)
    params = optax.apply_updates(state.params, updates)
    ema = None if ema_decay is None else _average(state.ema, params, ema_decay, state.step)
    new = TrainState(state.step, params, opt_state, ema, carried)
    new = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, state)
    metrics = {**metrics, "grad_norm": grad_norm, "skipped": 1 - finite.astype(jnp.int32)}
    return new._replace(step=state.step + 1), metrics


def initial(init, init_state, key: Key) -> tuple[Params, State]:
    """(θ_0, s_0); s_0 is None where there is no `init_state`, and `init` then has the whole key."""
    if init_state is None:
        return init(key), None
    params_key, state_key = jax.random.split(key)
    params = init(params_key)
    return params, init_state(state_key, params)


def in_full(loss, stateful: bool) -> Callable:
    """loss as a function (params, key, batch, state, **given) ↦ (scalar, (metrics, state))."""

    def stateless(params, key, batch, state, **given):
        value, metrics = loss(params, key, batch, **given)
        return value, (metrics, state)

    def carrying(params, key, batch, state, **given):
        value, aux = loss(params, key, batch, state=state, **given)
        if not (isinstance(aux, tuple) and len(aux) == 2):
            raise ValueError(
                "with init_state the loss must return (scalar, (metrics, state)); "
                f"got {type(aux).__name__} beside the scalar."
            )
        return value, aux

    return carrying if stateful else stateless


def extras(weights, step: Array, fixed) -> dict[str, Any]:
    """What a loss is given by keyword at this step: weights, and what stays fixed."""
    given = {} if fixed is None else {"fixed": fixed}
    if weights is not None:
        values = {name: w(step) if callable(w) else w for name, w in weights.items()}
        given["weights"] = {name: jnp.asarray(value, float) for name, value in values.items()}
    return given


def own_key(key: Key, axis_name: str | None) -> Key:
    """A key for each device of the axis; `key` itself where there is none."""
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def check_optimizer(optimizer, ema_decay) -> None:
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise checks.InputError(
            f"optimizer must be one of optax, as optax.adam(1e-3); got {optimizer!r}."
        )
    numeric = isinstance(ema_decay, (int, float))
    if ema_decay is not None and not (numeric and 0 < ema_decay < 1):
        raise checks.InputError(
            f"ema_decay must lie between 0 and 1, such as 0.999; got {ema_decay!r}."
        )


def check_carried(init_state, weights) -> None:
    if init_state is not None:
        checks.function(init_state, "init_state")
    if weights is not None and not isinstance(weights, dict):
        raise checks.InputError(f"weights must be a dict of schedules or numbers; got {weights!r}.")
    for name, weight in (weights or {}).items():
        if not callable(weight) and not isinstance(weight, (int, float)):
            raise checks.InputError(
                f"weights[{name!r}] must be a schedule or a number; got {weight!r}."
            )


def _updates(optimizer, grads, state):
    """The optimiser's updates. optax takes anything for a learning rate, and fails here."""
    try:
        return optimizer.update(grads, state.opt_state, state.params)
    except TypeError as error:
        if not _raised_in(error, "optax"):  # a schedule or a mask of the user's
            raise
        raise checks.InputError(
            f"optimizer fails at a step ({error}); a learning rate is a number or a schedule."
        ) from error


def _raised_in(error, package):
    """Whether the last function called that is not jax's own is one of `package`."""
    called = (
        frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)
    )
    packages = [name.partition(".")[0] for name in called]
    return [name for name in packages if name not in ("jax", "numpy")][-1] == package


def _mean_of_floating(tree, axis_name):
    """Counts and keys stay: they are the same on every device."""

    def mean(x):
        return jax.lax.pmean(x, axis_name) if jnp.issubdtype(x.dtype, jnp.inexact) else x

    return jax.tree.map(mean, tree)


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


def _average(ema: Params, params: Params, decay: float, step: Array) -> Params:
    t = step.astype(jnp.float32)
    rate = 1 - jnp.minimum(decay, (1 + t) / (10 + t))
    return jax.tree.map(lambda a, p: a + rate.astype(a.dtype) * (p - a), ema, params)
