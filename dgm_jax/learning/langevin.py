"""Langevin dynamics as an `Algorithm`: samples that follow a score."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import checks
from ..arrays import in_a_row
from ..protocol import Algorithm, Array, Key
from .descent import Schedule, check_carried, extras


class LangevinState(NamedTuple):
    """The state of `langevin`.

    step: the number of steps made, an int32 scalar
    x: the samples, a tree of arrays such as [num_chains, ...]
    """

    step: Array  # number of steps made; int32
    x: Any  # the samples

    def __repr__(self):
        shapes = [jnp.shape(x) for x in jax.tree.leaves(self.x)]
        return f"LangevinState: step {self.step}, samples {', '.join(map(str, shapes))}"


def langevin(
    init: Callable[[Key], Any],
    score: Callable[..., Any],
    step_size: Schedule | float,
    *,
    temperature: float = 1.0,
    weights: Mapping[str, Schedule | float] | None = None,
) -> Algorithm:
    """x ← x + η_t score(x) + √(2 η_t T) ξ, with ξ ~ N(0, I) and x_0 = init(key), as an `Algorithm`.

    The unadjusted Langevin algorithm. With score(x) = ∇ log p(x) and small η, the samples converge
    to the density p^{1/T} up to an error of order η. For N(μ, s²) the stationary variance is T s² /
    (1 - η / 2s²).

    init: init(key) = x_0, a tree of floating-point arrays, such as many chains [num_chains, ...]
    score: score(x), a tree of the same structure and shapes
    step_size: η, a number or a schedule of the number of steps made
    temperature: T ≥ 0; with 0 it is gradient ascent
    weights: {"sigma": schedule or number, ...}, such as the noise levels of annealed dynamics,
        which the score gets as weights={"sigma": value, ...}; None for none

    The score gets further keyword arguments if they are given: batch=..., the batch of `train` or
    `fit` (stochastic gradient Langevin dynamics), and fixed=..., that of `train` or `fit`, such as
    the parameters of a learned score.

    The metrics are "score_norm" (‖score(x)‖₂) and "step_size". Returns an `Algorithm`, for
    `learning.train` or `learning.fit`. The state is a `LangevinState` (step and x), of which
    `algorithm.params` selects x. No step is skipped: a score that is not finite ends `train`.
    Raises `ValueError` for a wrong argument. Roberts and Tweedie (1996), "Exponential convergence
    of Langevin distributions and their discrete approximations".
    """
    checks.function(init, "init")
    checks.function(score, "score")
    check_carried(None, weights)
    if not callable(step_size):
        step_size = checks.positive(step_size, "step_size")
    temperature = checks.not_negative(temperature, "temperature")

    def start(key):
        return LangevinState(jnp.zeros((), jnp.int32), init(key))

    def step(state, key, batch, fixed=None):
        given = extras(weights, state.step, fixed) | ({} if batch is None else {"batch": batch})
        eta = jnp.asarray(step_size(state.step) if callable(step_size) else step_size, float)
        gradient = score(state.x, **given)
        _check_score(state.x, gradient)
        scale = jnp.sqrt(2 * eta * temperature)

        def moved(x, slope, noise):
            return x + eta.astype(x.dtype) * slope + scale.astype(x.dtype) * noise

        x = jax.tree.map(moved, state.x, gradient, _normal_like(state.x, key))
        metrics = {"score_norm": optax.tree.norm(gradient), "step_size": eta}
        return LangevinState(state.step + 1, x), metrics

    return Algorithm(start, step, lambda state: state.x)


def _check_score(x, gradient):
    """A score of another shape would be broadcast, and move all samples alike."""
    shapes, got = (jax.tree.map(jnp.shape, tree) for tree in (x, gradient))
    if got != shapes:
        raise checks.InputError(f"score must have the shapes of x, {shapes}; got {got}.")
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(x)):
        raise checks.InputError("init must give floating samples; got integers. Try float32.")


def _normal_like(tree, key):
    """N(0, I), with the shapes and dtypes of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        in_a_row(jax.random.normal, k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves)
    )
