"""The nouns. A model is a function of its parameters that returns a mathematical object.

    Net             θ ↦ f_θ               net.apply(params, x)
    StatefulNet     θ, s ↦ f_θ,s          net.apply(params, state, x, train=True)
    CausalNet       θ ↦ f_θ               output i sees only x_<i; in one pass, or one x_i at a time
    Flow            θ ↦ T_θ               flow.bijector(params).forward(z)
    Density         θ ↦ p_θ(x | c)        model.dist(params, cond).log_prob(x)
    LatentVariable  θ ↦ p_θ(x, z), q_θ(z | x)

One noun says how something moves (θ under a gradient, samples under Langevin dynamics, ...):

    Algorithm  (init, step)       state, metrics = algorithm.step(state, key, batch)

The law that keeps everything simple: a distrax object is born and dies inside one traced
function. What crosses `jit`, `grad`, `vmap`, `scan`, a device mesh or a checkpoint is
`params`, a plain tree of arrays:

    log_prob = jax.jit(lambda params, x: model.dist(params).log_prob(x))

A noun itself is closed over, as `model` is here, and never passed through a transformation.

Three arguments mean the same everywhere:

- `cond` is the condition c, an array [..., *cond_shape]. A noun states the shape of one condition
  as `cond_shape`, (n,) for a vector; None where it takes none. The axes before it are batch axes.
- `key` is a key of `jax.random.key` for what is random in a model itself: dropout, an estimated
  log-det. Every function hands it on to its parts (`split`); None, the default, is deterministic.
- `params` is what `init(key)` returned, or any tree of that structure.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import jax

Array = jax.Array
Key = jax.Array  # a scalar typed key, made by jax.random.key
Params = Any  # a tree of arrays: dicts, lists, tuples
State = Any
Batch = Any
Metrics = dict[str, Array]
Shape = tuple[int, ...]


class Net(NamedTuple):
    """θ ↦ f_θ: a parametrised function."""

    init: Callable[[Key], Params]
    apply: Callable[..., Array]  # apply(params, *inputs, key=None)


class StatefulNet(NamedTuple):
    """θ, s ↦ f_θ,s: a function with a state that no gradient moves.

    Such are the running statistics of batch normalisation and the singular vectors of spectral
    normalisation. With train=True `apply` uses the batch that it is given and returns the new
    state; with train=False it uses the state and returns it as it is.
    """

    init: Callable[[Key], tuple[Params, State]]
    apply: Callable[..., tuple[Array, State]]  # apply(params, state, *inputs, train, key=None)


class CausalNet(NamedTuple):
    """θ ↦ f_θ: R^d → R^{d×k}, whose output i depends on the inputs before i only.

    One net, run two ways:

    - `apply(params, x, cond=None, *, key=None)` -> f [..., d, k]: all outputs of a given x, in one
      parallel pass.
    - `unroll(params, emit, batch_shape, cond=None, *, key=None)` -> (x [..., d], f [..., d, k],
      units): makes x one coordinate at a time, x_i = emit(i, f_i(x_<i)), where f_i is
      [*batch_shape, k] and i a traced integer. Every unit is computed once, so all of x costs the
      arithmetic of one pass. The lecture's d passes are the definition: `nets.naive`.

    A net that a flow inverts also says how it moves: `linearize(params, x, units, cond, key=None)`
    is its derivative there, in the form of `nets.causal.linearized.LinearCausalNet`; None where
    the net has no derivative by x. `units` is for `linearize` alone.
    """

    init: Callable[[Key], Params]
    apply: Callable[..., Array]
    unroll: Callable[..., tuple[Array, Array, Array]]
    linearize: Callable | None = None
    cond_shape: Shape | None = None


class Flow(NamedTuple):
    """θ ↦ T_θ: a parametrised bijection; `forward` maps noise z to data x.

    `adapt(params, x, cond=None)` -> (params, z) sets the parameters that start from data, given a
    batch x, and moves the batch to the noise side; None where there are none (`combinators.adapt`).
    """

    init: Callable[[Key], Params]
    bijector: Callable[..., distrax.Bijector]  # bijector(params, cond=None, *, key=None)
    adapt: Callable[..., tuple[Params, Array]] | None = None
    cond_shape: Shape | None = None


class Density(NamedTuple):
    """θ ↦ p_θ(x | c): a parametrised, possibly conditional, distribution."""

    init: Callable[[Key], Params]
    dist: Callable[..., distrax.Distribution]  # dist(params, cond=None, *, key=None)
    adapt: Callable[..., tuple[Params, Array]] | None = None  # as that of a Flow
    cond_shape: Shape | None = None


class LatentVariable(NamedTuple):
    """θ ↦ p_θ(x, z) = p_θ(z) p_θ(x | z), with q_θ(z | x) to infer z.

    The three share one tree of parameters, since some models share weights between them. Where
    they do not, `combinators.latent_variable` makes one of three densities.
    """

    init: Callable[[Key], Params]
    prior: Callable[..., distrax.Distribution]  # prior(params, cond=None, *, key=None)
    likelihood: Callable[..., distrax.Distribution]  # likelihood(params, z, cond=None, *, key=None)
    posterior: Callable[..., distrax.Distribution]  # posterior(params, x, cond=None, *, key=None)


class Algorithm(NamedTuple):
    """How a state moves. `step` has the shape that `jax.lax.scan` wants, the carry first.

    `params(state)` selects what is evaluated, sampled from and loaded, such as the averaged
    parameters of a `gradient_descent`. It picks parts of the state and computes nothing, so that
    a checkpoint can say where they stand; by default it is the whole state.
    """

    init: Callable[[Key], State]
    step: Callable[..., tuple[State, Metrics]]  # step(state, key, batch), or with fixed=...
    params: Callable[[State], Params] = lambda state: state


def split(key: Key | None, num: int) -> list[Key | None]:
    """A key for each of `num` parts; None for each where there is none."""
    return [None] * num if key is None else list(jax.random.split(key, num))


def again(key: Key | None) -> Key | None:
    """The same key once more, where a model draws the same twice by intent, as for both directions
    of a bijection: JAX can be told to take a key that is used twice for an error."""
    return None if key is None else jax.random.clone(key)
