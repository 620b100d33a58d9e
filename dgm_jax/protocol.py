"""The nouns. A model is a function of its parameters that returns a mathematical object.

    Net        θ ↦ f_θ            net.apply(params, x)
    CausalNet  θ ↦ f_θ            output i sees only x_<i ; run in parallel or one x_i at a time
    Flow       θ ↦ T_θ            flow.bijector(params).forward(z)
    Density    θ ↦ p_θ(x | c)     model.dist(params, cond).log_prob(x)

One noun says how something moves (θ under a gradient, samples under Langevin, ...):

    Algorithm  (init, step)       state, metrics = algorithm.step(state, key, batch)

The law that keeps everything simple: a distrax object is born and dies inside one traced
function. What crosses `jit`, `grad`, `vmap`, `scan`, a device mesh or a checkpoint is
`params`, a plain tree of arrays:

    log_prob = jax.jit(lambda params, x: model.dist(params).log_prob(x))

A noun itself is closed over, as `model` is here, and never passed through a transformation.
"""

import functools
import inspect
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


class Net(NamedTuple):
    """θ ↦ f_θ: a parametrised function."""

    init: Callable[[Key], Params]
    apply: Callable[..., Array]  # apply(params, *inputs, key=None); key=None is deterministic


class CausalNet(NamedTuple):
    """θ ↦ f_θ: R^d → R^{d×k}, whose output i depends on the inputs before i only.

    One net, run three ways:

    - `apply(params, x, cond=None)` -> f [..., d, k]: all outputs of a given x, one parallel pass.
    - `unroll(params, emit, batch_shape, cond=None)` -> (x [..., d], f [..., d, k], units): makes x
      one coordinate at a time, x_i = emit(i, f_i(x_<i)), where f_i is [*batch_shape, k] and i a
      traced integer. Every unit is computed once, so all of x costs the arithmetic of one pass.
      `units` is one array, of the net's own form, with the sums of its units, the outputs included.
    - `linearize(params, x, units, cond=None)` -> `LinearCausalNet`: its derivative there.

    The lecture's d passes are the definition of all unrolls: `nets.naive`.
    """

    init: Callable[[Key], Params]
    apply: Callable[..., Array]
    unroll: Callable[..., tuple[Array, Array, Array]]
    linearize: Callable[..., "LinearCausalNet"]


class LinearCausalNet(NamedTuple):
    """The derivative of a causal net, unit by unit: u̇ = spread(ẋ, u̇) + added(θ̇, ċ).

    A sum moves because what it reads moves (`spread`), and because its own weights do (`added`).
    Both maps are linear, and spread is strictly triangular: u̇ can be unrolled, each unit once.

    - `outputs(u̇)` -> ḟ [..., d, k], which is part of u̇.
    - `unroll(emit, right)` -> (ẋ [..., d], u̇): u̇ = spread(ẋ, u̇) + right, ẋ_i = emit(i, ḟ_i).
    - `unroll_back(emit, right)` -> (ū, v [..., d]): the same for the transpose, from the last
      coordinate to the first: (v, ū) = spreadᵀ(ū) + (0, right), plus emit(i, v_i) in f̄_i. With the
      cotangents of all sums at hand, those of the weights are products with what the sums read.
    """

    added: Callable[[Params, Array | None], Array]
    spread: Callable[[Array, Array], Array]
    outputs: Callable[[Array], Array]
    unroll: Callable[[Callable, Array], tuple[Array, Array]]
    unroll_back: Callable[[Callable, Array], tuple[Array, Array]]


class Flow(NamedTuple):
    """θ ↦ T_θ: a parametrised bijection; `forward` maps noise z to data x.

    `adapt(params, x, cond=None)` -> (params, z) sets the parameters that start from data, given a
    batch x, and moves the batch to the noise side; None where there are none (`combinators.adapt`).
    """

    init: Callable[[Key], Params]
    bijector: Callable[..., distrax.Bijector]  # bijector(params, cond=None), key=None if it draws
    adapt: Callable[..., tuple[Params, Array]] | None = None


class Density(NamedTuple):
    """θ ↦ p_θ(x | c): a parametrised, possibly conditional, distribution."""

    init: Callable[[Key], Params]
    dist: Callable[..., distrax.Distribution]  # dist(params, cond=None), key=None if it draws
    adapt: Callable[..., tuple[Params, Array]] | None = None  # as that of a Flow


class Algorithm(NamedTuple):
    """How a state moves. `step` has the shape `jax.lax.scan` wants, the carry first."""

    init: Callable[[Key], State]
    step: Callable[[State, Key, Batch], tuple[State, Metrics]]


def given_key(build: Callable, key: Key | None) -> Callable:
    """`build`, a `bijector` or a `dist`, with `key` if what it builds draws: if it names `key`.

    Few do: the log-det of a continuous flow is an unbiased estimate with a key, exact without.
    """
    if key is None or "key" not in inspect.signature(build).parameters:
        return build
    return functools.partial(build, key=key)
