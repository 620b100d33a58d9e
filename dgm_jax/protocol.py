"""The nouns. A model is a function of its parameters that returns a mathematical object.

    Net             θ ↦ f_θ               net.apply(params, x)
    StatefulNet     θ, s ↦ f_θ,s          net.apply(params, state, x, train=True)
    CausalNet       θ ↦ f_θ               output i sees only x_<i; in one pass, or one x_i at a time
    Flow            θ ↦ T_θ               flow.bijector(params).forward(z)
    Density         θ ↦ p_θ(x | c)        model.dist(params, cond).log_prob(x)
    LatentVariable  θ ↦ p_θ(x, z), q_θ(z | x)
    Adversarial     θ, φ ↦ G_θ, D_φ       x = G_θ(z), judged by a critic D_φ

One noun says how something moves (θ under a gradient, samples under Langevin dynamics, ...):

    Algorithm  (init, step)       state, metrics = algorithm.step(state, key, batch)

One rule keeps everything simple: a distrax object is made and used inside one traced function,
and never leaves it. What crosses `jit`, `grad`, `vmap`, `scan`, a device mesh or a checkpoint is
`params`, a plain tree of arrays:

    log_prob = jax.jit(lambda params, x: model.dist(params).log_prob(x))

A noun itself, such as `model` here, is used by the function from outside (a closure) and is never
one of its arguments.

Three arguments mean the same everywhere:

- `cond` is the condition c, an array [..., *cond_shape]. A noun states the shape of one condition
  as `cond_shape`, (n,) for a vector; None where it takes none. The axes before it are batch axes.
- `key`, made by `jax.random.key`, is for what is random in a model itself: dropout, or an estimate
  of a log-determinant. A model splits it among its parts (`split`). With None, the default, nothing
  is random.
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
    """θ, s ↦ f_θ,s: a function with a state s that no gradient moves.

    Examples of such a state are the running statistics of batch normalisation and the singular
    vectors of spectral normalisation. With train=True `apply` uses the statistics of the batch that
    it is given and returns the new state. With train=False it uses the state and returns it
    unchanged.
    """

    init: Callable[[Key], tuple[Params, State]]
    apply: Callable[..., tuple[Array, State]]  # apply(params, state, *inputs, train, key=None)


class CausalNet(NamedTuple):
    """θ ↦ f_θ: R^d → R^{d×k}, whose output i depends on the inputs before i only.

    One net, run two ways:

    - `apply(params, x, cond=None, *, key=None)` -> f [..., d, k]: all outputs at a given x, in one
      parallel pass.
    - `unroll(params, emit, batch_shape, cond=None, *, key=None)` -> (x [..., d], f [..., d, k],
      units): makes x one coordinate after the other, x_i = emit(i, f_i(x_<i)). The caller says by
      `emit` what x_i is: a sampler draws it from p(x_i; f_i), and the inverse of a flow solves
      τ(x_i; f_i) = y_i. f_i is [*batch_shape, k], and i a traced integer.

    The lecture unrolls by d passes of `apply`, and that is the definition (`nets.naive`). The nets
    here compute each hidden unit once, so that all of x costs the arithmetic of one pass.

    Only flows need the rest. `linearize(params, x, units, cond, key=None)` is the derivative of the
    net at x (`nets.causal.linearized.LinearCausalNet`), None where the net has no derivative by x.
    `units`, the third result of `unroll`, is what the net knew at x; nothing else reads it.
    """

    init: Callable[[Key], Params]
    apply: Callable[..., Array]
    unroll: Callable[..., tuple[Array, Array, Array]]
    linearize: Callable | None = None
    cond_shape: Shape | None = None


class Flow(NamedTuple):
    """θ ↦ T_θ: a parametrised bijection; `forward` maps noise z to data x.

    Some flows have parameters whose first values are computed from a batch of data (`actnorm`).
    `adapt(params, x, cond=None)` -> (params, z) sets them from the batch x, and returns z = T⁻¹(x)
    for the next flow. It is None where there are no such parameters. Call `combinators.adapt`.
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


class Inferred(NamedTuple):
    """z ~ q(z | x) and what a latent variable model says of it; K samples are the first axis.

    Where z has several groups, as the layers of a hierarchy, `z` is a tree of them. `kl` names each
    group: KL(q ‖ p) of it in nats, given the groups that it depends on. It is in closed form where
    there is one, one number for each entry if the entries are independent, [K, *batch, *entries];
    else log q - log p at the sample, [K, *batch]. So E[log_likelihood - Σ kl] is the ELBO.
    """

    z: Any  # [K, *batch, ...]
    log_likelihood: Array  # log p(x | z), [K, *batch]
    log_prior: Array  # log p(z), [K, *batch]
    log_posterior: Array  # log q(z | x), [K, *batch]
    kl: dict[str, Array]


class LatentVariable(NamedTuple):
    """θ ↦ p_θ(x, z) = p_θ(z) p_θ(x | z), with q_θ(z | x) to infer z.

    The three distributions have one tree of parameters, because in some models they share weights.
    Where they do not, `combinators.latent_variable` makes this noun of three densities.

    A hierarchy computes much of the prior and the likelihood on its way to z. `infer(params, key,
    x, cond=None, *, num_samples=1, parts_key=None)` -> `Inferred` then draws z by `key` and scores
    it in one pass; `parts_key` is the `key` of the distributions. None, where nothing is shared:
    call `objectives.infer`, which serves both.
    """

    init: Callable[[Key], Params]
    prior: Callable[..., distrax.Distribution]  # prior(params, cond=None, *, key=None)
    likelihood: Callable[..., distrax.Distribution]  # likelihood(params, z, cond=None, *, key=None)
    posterior: Callable[..., distrax.Distribution]  # posterior(params, x, cond=None, *, key=None)
    infer: Callable[..., Inferred] | None = None
    cond_shape: Shape | None = None


class Adversarial(NamedTuple):
    """θ, φ ↦ G_θ, D_φ: samples x = G_θ(z) with z ~ p(z), and a critic D_φ(x) that judges them.

    `init(key)` = (params, state), both {"generator": ..., "critic": ...}. A generator maps z
    [batch, ...] to x [batch, ...], and a critic x to values [batch]: logits of "x is data" or
    the numbers of a Wasserstein critic; which of them, a game says (`objectives.Game`). A
    conditional model hands its condition to both after z and x, one for each sample; there
    cond_shape is (n,) for a vector and () for a class as an integer. There is no p(x) to
    compute. `combinators.adversarial` makes this noun of its parts.
    """

    init: Callable[[Key], tuple[dict[str, Params], dict[str, State]]]
    prior: Density  # of z, without parameters
    generator: StatefulNet  # apply(params, state, z[, cond], train=..., key=None) -> (x, state)
    critic: StatefulNet  # apply(params, state, x[, cond], train=..., key=None) -> (values, state)
    cond_shape: Shape | None = None


class Algorithm(NamedTuple):
    """s ← step(s, key, batch): how a state moves, from s = init(key).

    `step` returns (state, metrics), as the body of `jax.lax.scan` does. `params(state)` selects the
    parts of the state to evaluate, to sample with and to load, such as the averaged parameters of
    `gradient_descent`; by default all of it. It computes nothing, so that a checkpoint can record
    where in the state these parts are.
    """

    init: Callable[[Key], State]
    step: Callable[..., tuple[State, Metrics]]  # step(state, key, batch), or with fixed=...
    params: Callable[[State], Params] = lambda state: state


def split(key: Key | None, num: int) -> list[Key | None]:
    """One key for each of `num` parts, or None for each where `key` is None."""
    return [None] * num if key is None else list(jax.random.split(key, num))


def again(key: Key | None) -> Key | None:
    """A copy of the key, for a second draw that must equal the first.

    Both directions of a bijection, for example, need the same dropout. The copy marks the reuse as
    intended: JAX can be configured to report a key that is used twice (`jax_debug_key_reuse`).
    """
    return None if key is None else jax.random.clone(key)
