"""One step of gradient descent, shared by `gradient_descent` and `alternate`."""

import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from .. import checks
from ..protocol import Array, Key, Metrics, Params, State, num_params
from .packing import joined

Schedule = Callable[[Array], ArrayLike]  # of the step, as optax.linear_schedule(0, 1, 1000)


class TrainState(NamedTuple):
    """The state of `gradient_descent`: all that a step changes.

    step: the number of steps made, skipped ones included, an int32 scalar
    params: the parameters θ after the last step
    opt_state: the state of the optimiser
    ema: the moving average of θ, None without `ema_decay`
    state: what no gradient moves, such as running statistics; None without `init_state`
    """

    step: Array  # number of steps made, skipped ones included; int32
    params: Params
    opt_state: optax.OptState
    ema: Params | None  # the average of the iterates, None where it is off
    state: State = None  # what no gradient moves, such as running statistics; None without

    def __repr__(self):
        average = "" if self.ema is None else ", with their moving average"
        return f"TrainState: step {self.step}, {num_params(self.params):,} parameters{average}"


def averaged(state: TrainState) -> Params:
    """The moving average of θ if there is one, else θ: what to evaluate and to sample with.

    state: a `TrainState`; another type raises `ValueError`. Nothing is computed.
    """
    checks.noun(state, TrainState, "state")
    return state.params if state.ema is None else state.ema


def first(
    params: Params, optimizer: optax.GradientTransformation, ema_decay: float | None
) -> TrainState:
    """The training state before the first step; its `state` field is still empty."""
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
    """One step down the gradient of loss(params) = (scalar, (metrics, new state)).

    optimizer, ema_decay: those of `gradient_descent`. If the gradient or the new state is not
    finite, only the step counter moves. axis_name: the axis of `jax.pmap` to average over, or None.
    """
    (value, (metrics, carried)), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
    metrics = {"loss": value, **metrics}
    _check_like(carried, state.state)
    if axis_name is not None:
        grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
        carried = _mean_of_floating(carried, axis_name)
    grad_norm = _norm(grads)
    finite = jnp.isfinite(grad_norm) & all_finite(carried)

    def moved():
        updates, opt_state = _updates(optimizer, grads, state)
        params = optax.apply_updates(state.params, updates)
        ema = None if ema_decay is None else _average(state.ema, params, ema_decay, state.step)
        return TrainState(state.step, params, opt_state, ema, carried)

    new = _either(finite, moved, state)
    metrics = {**metrics, "grad_norm": grad_norm, "skipped": 1 - finite.astype(jnp.int32)}
    return new._replace(step=state.step + 1), metrics


def _check_like(carried, before):
    """`InputError` where a loss returns another state than one like that of `init_state`."""
    if jax.tree.structure(carried) != jax.tree.structure(before):
        raise checks.InputError(
            "loss must return a state like that of init_state, "
            f"{jax.tree.structure(before)}; got {jax.tree.structure(carried)}."
        )
    for new, old in zip(jax.tree.leaves(carried), jax.tree.leaves(before)):
        got, wanted = ((jnp.result_type(x).name, jnp.shape(x)) for x in (new, old))
        if got != wanted:
            raise checks.InputError(
                f"loss must return a state like that of init_state, with {wanted[0]} of shape "
                f"{wanted[1]}; got {got[0]} of shape {got[1]} there."
            )


def _either(finite, moved, state):
    """moved() where finite, else `state`.

    A branch, so that the optimiser writes over the state that it has read. A choice between the
    two, number by number, would hold both in memory, and takes a CPU a fifth of the step of a
    small net. Under `vmap` it is that choice all the same.
    """
    strong = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), tree)
    return jax.lax.cond(finite, lambda: strong(moved()), lambda: strong(state))


def initial(
    init: Callable[[Key], Params], init_state: Callable[[Key, Params], State] | None, key: Key
) -> tuple[Params, State]:
    """(θ_0, s_0). Without `init_state`, s_0 is None and `init` gets the whole key."""
    if init_state is None:
        return init(key), None
    params_key, state_key = jax.random.split(key)
    params = init(params_key)
    return params, init_state(state_key, params)


def in_full(loss: Callable[..., tuple[Array, Any]], stateful: bool) -> Callable:
    """The loss as a function (params, key, batch, state, **given) ↦ (scalar, (metrics, new state)).

    With stateful=False the loss has no state, and the given one is returned unchanged.
    """

    def stateless(params, key, batch, state, **given):
        value, metrics = scalar_and_aux(loss(params, key, batch, **given))
        check_metrics(metrics, "loss")
        return value, (metrics, state)

    def carrying(params, key, batch, state, **given):
        value, aux = scalar_and_aux(loss(params, key, batch, state=state, **given))
        if not (isinstance(aux, tuple) and len(aux) == 2):
            raise checks.InputError(
                "with init_state the loss must return (scalar, (metrics, state)); "
                f"got {type(aux).__name__} beside the scalar."
            )
        check_metrics(aux[0], "loss")
        return value, aux

    return carrying if stateful else stateless


def scalar_and_aux(found: Any) -> tuple[Array, Any]:
    """What a loss returned, checked to be a pair that begins with a scalar."""
    value, aux = pair(found, "loss", "scalar")
    if jnp.shape(value) != ():
        raise checks.InputError(
            f"loss must return a scalar; got shape {jnp.shape(value)}. Average it over the batch."
        )
    return value, aux


def pair(found: Any, function: str, first: str) -> tuple[Any, Any]:
    """What `function` returned (`found`), checked to be a pair (first, metrics)."""
    if not (isinstance(found, (tuple, list)) and len(found) == 2):
        got = "one array" if hasattr(found, "dtype") else type(found).__name__
        raise checks.InputError(
            f"{function} must return a pair ({first}, metrics); got {got}. Without metrics return "
            f"({first}, {{}})."
        )
    return tuple(found)


def check_metrics(metrics: Any, function: str) -> None:
    """`InputError` unless the metrics of `function` are a dict without reserved names."""
    if not isinstance(metrics, dict):
        raise checks.InputError(
            f"{function} must give metrics as a dict {{name: scalar}}; got "
            f"{type(metrics).__name__}."
        )
    for name in metrics:
        if not isinstance(name, str) or name == "step":
            raise checks.InputError(
                f"{function} gave a metric of name {name!r}; rename it: a name is a string, and "
                "'step' is the number of the step in every row."
            )


def given(fixed: Any) -> dict[str, Any]:
    """{"fixed": fixed} if there is any, else {}: a step or loss need not take that argument."""
    return {} if fixed is None else {"fixed": fixed}


def extras(
    weights: Mapping[str, Schedule | float] | None, step: Array | None, fixed: Any
) -> dict[str, Any]:
    """The keyword arguments of a loss at this step: the values of its weights, and `fixed`."""
    extra = given(fixed)
    if weights is not None and step is not None:
        values = {name: w(step) if callable(w) else w for name, w in weights.items()}
        extra["weights"] = {name: jnp.asarray(value, float) for name, value in values.items()}
    return extra


def own_key(key: Key, axis_name: str | None) -> Key:
    """A different key on each device of the axis; `key` itself without an axis."""
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def checked_decay(optimizer: Any, ema_decay: Any, name: str = "optimizer") -> float | None:
    """ema_decay in (0, 1) or None; also checks that `optimizer` is an optax transformation."""
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise checks.InputError(
            f"{name} must be one of optax, as optax.adam(1e-3); got {checks.shown(optimizer)}."
        )
    if ema_decay is None:
        return None
    ema_decay = checks.number(ema_decay, "ema_decay")
    if not 0 < ema_decay < 1:
        raise checks.InputError(
            f"ema_decay must lie between 0 and 1, such as 0.999; got {ema_decay!r}."
        )
    return ema_decay


def check_axis_name(axis_name: Any) -> None:
    """`InputError` unless axis_name is the name of an axis of `jax.pmap`, or None."""
    if axis_name is not None:
        checks.text(axis_name, "axis_name")


def check_carried(init_state: Any, weights: Any) -> None:
    """`InputError` unless `init_state` is a function and `weights` are schedules, or None."""
    if init_state is not None:
        checks.function(init_state, "init_state")
    if weights is not None and not isinstance(weights, dict):
        raise checks.InputError(
            f"weights must be a dict of schedules or numbers; got {checks.shown(weights)}."
        )
    for name, weight in (weights or {}).items():
        checks.text(name, "each name of weights")
        if callable(weight):
            continue
        try:
            checks.number(weight, "weight")
        except checks.InputError:
            raise checks.InputError(
                f"weights[{name!r}] must be a schedule or a finite number; got "
                f"{checks.shown(weight)}."
            ) from None


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


def floating(tree: Any) -> list[Array]:
    """The arrays of a tree that may hold NaN or infinity: no whole numbers and no keys."""
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]


def all_finite(tree: Any) -> Array:
    """Whether no floating-point number of the tree is NaN or infinite."""
    finite = [jnp.isfinite(x).all() for x in floating(tree)]
    return jnp.stack(finite).all() if finite else jnp.asarray(True)


def _norm(tree):
    """‖·‖₂ of all numbers together. Small arrays are summed as one: one by one they are many small
    operations, each of which takes a CPU as long as a thousand numbers, and milliseconds to
    compile."""
    return jnp.sqrt(sum(_sum_of_squares(x) for x in joined(tree)))


def _sum_of_squares(x):
    """Σ x² of all entries. XLA's CPU backend sums the gradient of a matrix, which it stores
    transposed, three times as slowly as other arrays; the result of a `where` is no such array."""
    chosen = jnp.where(jnp.ones(x.shape, bool), jnp.abs(x), 0)
    return jnp.square(chosen).sum()


def _mean_of_floating(tree, axis_name):
    """Counts and keys stay: they are the same on every device."""

    def mean(x):
        return jax.lax.pmean(x, axis_name) if jnp.issubdtype(x.dtype, jnp.inexact) else x

    return jax.tree.map(mean, tree)


def _average(ema: Params, params: Params, decay: float, step: Array) -> Params:
    t = step.astype(jnp.float32)
    rate = 1 - jnp.minimum(decay, (1 + t) / (10 + t))
    return jax.tree.map(lambda a, p: a + rate.astype(a.dtype) * (p - a), ema, params)
