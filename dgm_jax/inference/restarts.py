"""Dead components and restarts, for EM and variational inference."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..protocol import Algorithm, Array, Density, Key, Params


class FittedMixture(NamedTuple):
    """The result of `fit_gaussian_mixture`, `fit_bernoulli_mixture` and `fit_variational_mixture`.

    model: the density, with model.dist(params)
    params: of the best restart, after its last step
    history: the objective (log-likelihood, log-posterior or ELBO) in nats per row, before each step
        of the best restart, [num_steps]
    restarts: the last value of the objective in each restart, [num_restarts]
    num_steps: steps of the best restart
    num_reseeded: how often in it a component had fewer than min_rows rows and was replaced by a
        half of the heaviest one
    posterior: q of the parameters, a `Conjugate`, in variational inference; else None
    """

    model: Density
    params: Params  # of the best restart, after its last step
    history: np.ndarray  # the objective, in nats per row, before each step of the best restart
    restarts: np.ndarray  # its last value in each restart
    num_steps: int
    num_reseeded: int  # components that died and were reseeded
    posterior: Params | None = None  # of the parameters, in variational inference

    def __repr__(self):
        return (
            f"FittedMixture: {self.history[-1]:.5g} nats a row after {self.num_steps} steps, best "
            f"of {len(self.restarts)} restarts, {self.num_reseeded} components reseeded"
        )


class Run(NamedTuple):
    """One restart, as arrays."""

    state: Params
    history: Array  # [num_steps], NaN after the last
    num_steps: Array
    num_reseeded: Array

    @property
    def last(self) -> Array:
        return self.history[jnp.maximum(self.num_steps - 1, 0)]


def until_still(
    algorithm: Algorithm, key: Key, x: Array, *, monitor: str, num_steps: int, tolerance: float
) -> Run:
    """Steps of `algorithm` on all rows until `monitor` rises by less than the tolerance.

    At most num_steps steps; a step that reseeds a component is not the last one.
    """
    init_key, step_key = jax.random.split(key)
    state = algorithm.init(init_key)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.result_type(float)
    history = jnp.full(num_steps, jnp.nan, dtype)

    def going(carry):
        run, gain = carry
        return (run.num_steps < num_steps) & (gain >= tolerance)

    def step(carry):
        run, _ = carry
        t = run.num_steps
        state, metrics = algorithm.step(run.state, jax.random.fold_in(step_key, t), x)
        value = metrics[monitor]
        died = jnp.asarray(metrics.get("reseeded", 0), jnp.int32)
        before = run.history[jnp.maximum(t - 1, 0)]
        gain = jnp.where((t == 0) | (died > 0), jnp.inf, value - before)
        history = run.history.at[t].set(value)
        return Run(state, history, t + 1, run.num_reseeded + died), gain.astype(dtype)

    zero = jnp.zeros((), jnp.int32)
    start = Run(state, history, zero, zero), jnp.asarray(jnp.inf, dtype)
    return jax.lax.while_loop(going, step, start)[0]


def best_of(run: Callable[[Key], Run], key: Key, num_restarts: int) -> tuple[Run, Array]:
    """The best of num_restarts runs, side by side under `vmap`, and the final value of each."""
    if num_restarts == 1:
        one = run(key)
        return one, one.last[None]
    many = jax.vmap(run)(jax.random.split(key, num_restarts))
    ends = jax.vmap(lambda run: run.last)(many)
    best = jnp.argmax(jnp.where(jnp.isnan(ends), -jnp.inf, ends))
    return jax.tree.map(lambda a: a[best], many), ends


def fitted(model: Density, params: Params, best: Run, ends: Array) -> FittedMixture:
    """The `FittedMixture` of a run, on the host."""
    num_steps = int(best.num_steps)
    return FittedMixture(
        model,
        params,
        np.asarray(best.history)[:num_steps],
        np.asarray(ends),
        num_steps,
        int(best.num_reseeded),
    )


# ------------------------------------------------------------------------- components that die
class Reseeded(NamedTuple):
    """The origin of each component; the dead ones become halves of the heaviest."""

    source: Array  # the component that each is a copy of, its own number where it lives, [K]
    weights: Array  # [K]
    side: Array  # how far a copy is moved along a direction, 0 where nothing was split, [K]


def reseeded(weights: Array, dead: Array) -> Reseeded:
    """Replaces the i-th dead component by a half of the i-th heaviest live one.

    The halves are moved apart in opposite directions, since EM would never separate equal ones.
    This is a function of statistics, and so does not depend on how the rows are sharded.
    """
    alive = jnp.maximum((~dead).sum(), 1)
    heaviest = jnp.argsort(jnp.where(dead, -jnp.inf, weights), descending=True)
    rank = jnp.cumsum(dead) - 1
    source = jnp.where(dead, heaviest[rank % alive], jnp.arange(len(weights)))
    shares = jnp.zeros(len(weights), jnp.int32).at[source].add(1)[source]
    side = jnp.where(dead, 1 + rank // alive, jnp.where(shares > 1, -1, 0))
    return Reseeded(source, weights[source] / shares, side.astype(weights.dtype))


def direction(dim: int, dtype: jnp.dtype) -> Array:
    """A unit vector of signs [d], unlikely to be orthogonal to any structure of the data."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], dim)
    return jnp.asarray(signs / np.sqrt(dim), dtype)
