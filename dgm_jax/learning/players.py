"""Players that learn in turns: each has its own loss and moves only its own parameters."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .. import checks
from ..protocol import Algorithm, Array, Batch, Key, Params, State, described, num_params
from .descent import (
    Schedule,
    TrainState,
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


class Player(NamedTuple):
    """One player of `alternate`: a loss, and how its own parameters are moved.

    loss: loss(params, key, batch) = (scalar, metrics), with the parameters of all players, {name:
        params}; its gradient is taken for those of this player only
    optimizer: one of optax
    num_updates: the number of its updates in each step
    ema_decay: d of a moving average of its parameters, ema ← d_t ema + (1 - d_t) θ with d_t =
        min(d, (1 + t) / (10 + t)) at its update t; None for none
    """

    loss: Callable[..., tuple[Array, Any]]
    optimizer: optax.GradientTransformation
    num_updates: int = 1
    ema_decay: float | None = None

    __repr__ = described


class PlayersState(NamedTuple):
    """The state of `alternate`.

    step: the number of steps made, each with a turn of every player, an int32 scalar
    players: {name: `TrainState`}; the `step` of a player counts its own updates
    state: what no gradient moves, shared by all players; None without `init_state`
    """

    step: Array  # number of steps made, each with a turn of every player; int32
    players: dict[str, TrainState]  # the `step` of a player counts its own updates
    state: State = None  # what no gradient moves, shared by all; None without

    def __repr__(self):
        sizes = (f"{name} {num_params(own.params):,}" for name, own in self.players.items())
        return f"PlayersState: step {self.step}, parameters: {', '.join(sizes)}"


@checks.spelled
def alternate(
    players: dict[str, Player],
    init: Callable[[Key], dict[str, Params]],
    *,
    init_state: Callable[[Key, dict[str, Params]], State] | None = None,
    weights: Mapping[str, Schedule | float] | None = None,
    axis_name: str | None = None,
) -> Algorithm:
    """θ_i ← θ_i - η_i ∇_{θ_i} L_i(θ_1, ..., θ_n), for i = 1, ..., n in turn, as an `Algorithm`.

    For two-player games (Goodfellow et al., 2014, algorithm 1: first the critic, with
    num_updates=k), and for any model that is trained beside another. In a step the players move in
    the order of `players`, each num_updates times, and see the latest parameters of the others.

    players: {name: Player(loss, optimizer, num_updates, ema_decay)}, in the order of their turns:
        L_i is loss(params, key, batch) = (scalar, metrics) with params the dict {name: params} of
        all players and metrics a dict of scalars; the optimizer, one of optax, makes its step, and
        ema_decay is the decay of an average of its parameters, or None
    init: init(key) = {name: params}, with one entry for each player
    init_state: init_state(key, params) = s, a state that no gradient moves, such as running
        statistics, shared by all. Then L_i is loss(params, key, batch, state=s) = (scalar,
        (metrics, new s)), and each update passes its new s on; None for none
    weights: {name: a number, or a function of the step}, such as the weight of a penalty that
        rises; each loss gets their values at this step as another argument, weights={name: value}
    axis_name: of `jax.pmap`, over which gradients and metrics are averaged; None under `jit`

    Each of the k = Σ num_updates updates of a step gets its own key and its own rows of the batch:
    update j gets rows j, j + k, j + 2k, ... In this order the rows of a sharded batch stay on their
    device if the rows of each device divide by k. Raises `ValueError`, before anything is compiled,
    if the rows of the batch do not divide by k. An update with a NaN or infinite gradient is
    skipped.

    Returns an `Algorithm`, for `learning.train` or `learning.fit`. The metrics are "player/loss",
    "player/grad_norm" and those of its loss, averaged over the updates of the step, and
    "player/skipped", the number of skipped updates. `algorithm.params` selects {name: averaged
    parameters, or the last ones without an average}, with `init_state` the pair of these and the
    state. On accelerators the updates of a player are a `lax.scan`; on CPUs they are unrolled,
    which makes a step a few percent faster and compiles about as long.
    """
    _check_players(players)
    checks.function(init, "init")
    check_carried(init_state, weights)
    check_axis_name(axis_name)
    total = sum(player.num_updates for player in players.values())

    def start(key):
        params, state = initial(init, init_state, key)
        if not isinstance(params, dict) or params.keys() != players.keys():
            got = sorted(params) if isinstance(params, dict) else type(params).__name__
            raise checks.InputError(
                f"init must return a dict with an entry for each of {sorted(players)}; got {got}."
            )
        each = {
            name: first(params[name], player.optimizer, player.ema_decay)
            for name, player in players.items()
        }
        return PlayersState(jnp.zeros((), jnp.int32), each, state)

    def step(state, key, batch, fixed=None):
        given = extras(weights, state.step, fixed)
        keys = jax.random.split(own_key(key, axis_name), total)
        parts = _dealt(batch, players)
        metrics, done = {}, 0
        for name, player in players.items():
            turn = slice(done, done + player.num_updates)
            update = _update(name, player, init_state is not None, given, axis_name)
            mine = jax.tree.map(lambda part: part[turn], parts)
            state, found = _turn(update, state, (keys[turn], mine), player.num_updates)
            metrics |= {f"{name}/{metric}": _joined(metric, x) for metric, x in found.items()}
            done = turn.stop
        return state._replace(step=state.step + 1), metrics

    return Algorithm(start, step, _averages if init_state is None else _averages_and_state)


def _turn(update, state, given, num):
    """`lax.scan` of the updates of a turn; written out on CPUs, and where it would be no loop."""
    if num > 1 and jax.default_backend() != "cpu":
        return jax.lax.scan(update, state, given)
    found = []
    for i in range(num):
        state, metrics = update(state, jax.tree.map(lambda x: x[i], given))
        found.append(metrics)
    return state, jax.tree.map(lambda *x: jnp.stack(x), *found)


def _update(name, player, stateful, given, axis_name):
    """update(state, (key, batch)) of one player, as `lax.scan` wants it."""
    loss = in_full(player.loss, stateful)

    def update(state, key_and_batch):
        key, batch = key_and_batch
        others = {other: one.params for other, one in state.players.items()}
        mine, metrics = descend(
            state.players[name]._replace(state=state.state),
            lambda own: loss(others | {name: own}, key, batch, state.state, **given),
            player.optimizer,
            ema_decay=player.ema_decay,
            axis_name=axis_name,
        )
        moved = state.players | {name: mine._replace(state=None)}
        return state._replace(players=moved, state=mine.state), metrics

    return update


def _dealt(batch: Batch, players) -> Batch:
    """Each leaf [rows, ...] as [k, rows / k, ...], where part j has the rows j, j + k, ..."""
    total = sum(player.num_updates for player in players.values())
    turns = ", ".join(f"{name} {player.num_updates}" for name, player in players.items())

    def deal(x):
        checks.divisible(x, total, f"{total} updates a step ({turns})")
        rows, *shape = np.shape(x)
        return jnp.moveaxis(jnp.reshape(x, (rows // total, total, *shape)), 1, 0)

    return jax.tree.map(deal, batch)


def _joined(metric, values):
    return values.sum() if metric == "skipped" else values.mean(0)


def _averages(state):
    return {name: averaged(one) for name, one in state.players.items()}


def _averages_and_state(state):
    return _averages(state), state.state


def _check_players(players):
    if not isinstance(players, dict) or not players:
        raise checks.InputError(
            f"players must be a dict {{name: Player(...)}}; got {checks.shown(players)}."
        )
    for name, player in players.items():
        if not isinstance(name, str) or "/" in name:
            raise checks.InputError(
                f"the name of a player must be a string without '/'; got {name!r}."
            )
        checks.noun(player, Player, f"players[{name!r}]")
        checks.function(player.loss, f"the loss of {name!r}")
        checks.positive_int(player.num_updates, f"num_updates of {name!r}")
        checked_decay(player.optimizer, player.ema_decay)
