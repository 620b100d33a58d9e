"""The nouns: the few types that all models are made of. A model is a function of its parameters.

    Net             θ ↦ f_θ               net.apply(params, x)
    StatefulNet     θ, s ↦ f_θ,s          net.apply(params, state, x, train=True)
    CausalNet       θ ↦ f_θ               output i sees only x_<i; in one pass, or one x_i at a time
    Flow            θ ↦ T_θ               flow.bijector(params).forward(z)
    Density         θ ↦ p_θ(x | c)        model.dist(params, cond).log_prob(x)
    LatentVariable  θ ↦ p_θ(x, z), q_θ(z | x)
    Adversarial     θ, φ ↦ G_θ, D_φ       x = G_θ(z), judged by a critic D_φ

One more says how something moves (θ under a gradient, samples under Langevin dynamics, ...):

    Algorithm  (init, step)       state, metrics = algorithm.step(state, key, batch)

One rule: a distrax object is made and used inside one traced function and never leaves it. What
crosses `jit`, `grad`, `vmap`, `scan`, a device mesh or a checkpoint is `params`, a plain tree of
arrays:

    log_prob = jax.jit(lambda params, x: model.dist(params).log_prob(x))

The model itself is used in the function as a closure and is never one of its arguments.

Some words mean the same everywhere. An event is one x, of shape `shape`; [..., *shape] has any
batch axes in front. A level is an integer in 0..K-1, such as a grey level. A pass is one evaluation
of a net on a batch. Log-probabilities and log-determinants are in nats. So do some arguments:

    params        what `init(key)` returned, or any tree of the same structure
    key           made by `jax.random.key`; in a model, for dropout and stochastic estimates of a
                  log-determinant. With None, the default, nothing is random
    cond          the condition c, [..., *cond_shape], or None
    cond_shape    the shape of one condition, (n,) for a vector; None for an unconditional model
    dim, shape    the size d of one vector x; the shape of one event x, (H, W, C) of an image
    event_ndims   the number of last axes that make one event
    num_levels    K, the number of levels
    num_latents   the size of one latent vector z
    num_classes   the number of classes of a conditional model
    num_layers    the number of layers, each with its own parameters
    num_blocks    the number of residual blocks
    num_heads     the number of attention heads
    num_outputs   k, the number of outputs of a causal net for each x_i
    hidden        the width of a hidden layer, or the widths of all
    kernel_size   the side of a convolution's kernel, in pixels
    activation    the non-linearity, a function of an array
    dropout       the fraction of hidden units that is set to 0 where a key is given
    zero_last     whether the last layer starts at zero, and with it the output of the net
    encoding      how a causal net sees levels (`nets.one_hot`, `nets.scaled`)
    axis_name     the axis of `jax.pmap` over which statistics are averaged; None under `jit`
"""

from collections.abc import Callable
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints, overload

import distrax
import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Rows = jax.Array | np.ndarray  # a data set [n, ...], on a device or on the host
Key = jax.Array  # a scalar typed key, made by jax.random.key
Params = Any  # a tree of arrays: dicts, lists, tuples
State = Any
Batch = Any
Metrics = dict[str, Array]
Shape = tuple[int, ...]


class Net(NamedTuple):
    """θ ↦ f_θ: a parametrised function.

    init: init(key) = θ, a tree of arrays
    apply: apply(params, *inputs, key=None) = f_θ(inputs), with any batch axes in front; a key turns
        dropout on

    Made by the constructors of `dgm_jax.nets`, such as `nets.mlp`, or from a flax module by
    `nets.from_linen`.
    """

    init: Callable[[Key], Params]
    apply: Callable[..., Array]  # apply(params, *inputs, key=None)


class StatefulNet(NamedTuple):
    """θ, s ↦ f_θ,s: a function with a state s that no gradient moves.

    Examples of such a state are the running statistics of batch normalisation and the singular
    vectors of spectral normalisation.

    init: init(key) = (θ, s)
    apply: apply(params, state, *inputs, train=..., key=None) = (result, state). With train=True it
        uses the statistics of the batch that it is given and returns the new state. With
        train=False it uses the state and returns it unchanged
    """

    init: Callable[[Key], tuple[Params, State]]
    apply: Callable[..., tuple[Array, State]]  # apply(params, state, *inputs, train, key=None)


class CausalNet(NamedTuple):
    """θ ↦ f_θ: R^d → R^{d×k}, where output i depends only on the inputs before i.

    One net, run in two ways, so that a density is scored in one pass and sampled step by step.

    init: init(key) = θ
    apply: apply(params, x, cond=None, *, key=None) = f [..., d, k], all outputs at a given x
        [..., d], in one parallel pass
    unroll: unroll(params, emit, batch_shape, cond=None, *, key=None) = (x [..., d], f [..., d, k],
        units): computes x one coordinate after the other, x_i = emit(i, f_i(x_<i)), with a traced
        integer i and f_i [*batch_shape, k]. A sampler passes an `emit` that draws x_i from p(x_i;
        f_i), the inverse of a flow one that solves τ(x_i; f_i) = y_i for its element-wise map τ
    linearize: linearize(params, x, units, cond, key=None), the derivative of the net at x
        (`nets.causal.linearized.LinearCausalNet`), for the derivatives of flows; `units`, the third
        result of `unroll`, are the pre-activations of all units at x. None where a net has none
    cond_shape: of one condition; None for an unconditional net

    The lecture unrolls by d passes of `apply`, which is the definition (`nets.naive`). The nets
    here compute each hidden unit once, so that unrolling costs the arithmetic of one pass.
    """

    init: Callable[[Key], Params]
    apply: Callable[..., Array]
    unroll: Callable[..., tuple[Array, Array, Array]]
    linearize: Callable | None = None
    cond_shape: Shape | None = None


class Flow(NamedTuple):
    """θ ↦ T_θ: a parametrised bijection; `forward` maps noise z to data x.

    init: init(key) = θ
    bijector: bijector(params, cond=None, *, key=None), a distrax bijector with forward, inverse and
        their log-determinants
    adapt: adapt(params, x, cond=None) = (params, z), for a flow that initialises parameters from a
        batch x of data (`flows.actnorm`): it sets them and returns z = T⁻¹(x) for the next flow.
        None for other flows. Call it through `combinators.adapt`
    cond_shape: of one condition; None for an unconditional flow
    """

    init: Callable[[Key], Params]
    bijector: Callable[..., distrax.Bijector]  # bijector(params, cond=None, *, key=None)
    adapt: Callable[..., tuple[Params, Array]] | None = None
    cond_shape: Shape | None = None


class Density(NamedTuple):
    """θ ↦ p_θ(x | c): a parametrised, possibly conditional, distribution.

    init: init(key) = θ
    dist: dist(params, cond=None, *, key=None), a distrax distribution with log_prob(x) in nats and
        sample(seed=key, sample_shape=n). With a key dropout is on
    adapt: adapt(params, x, cond=None) = (params, z), for parameters that start from a batch x of
        data, such as those of `flows.actnorm`: it sets them and returns z, of a flow model the
        noise z of x. None without such
    cond_shape: of one condition; None for an unconditional density
    """

    init: Callable[[Key], Params]
    dist: Callable[..., distrax.Distribution]  # dist(params, cond=None, *, key=None)
    adapt: Callable[..., tuple[Params, Array]] | None = None  # as that of a Flow
    cond_shape: Shape | None = None


class Inferred(NamedTuple):
    """Samples z ~ q(z | x) and their log-densities, in nats; the first axis is that of K samples.

    z: [K, *batch, ...]; a tree of groups if z has several, such as the layers of a hierarchy
    log_likelihood: log p(x | z), [K, *batch]
    log_prior: log p(z), [K, *batch]
    log_posterior: log q(z | x), [K, *batch]
    kl: {group: its KL(q ‖ p), given the groups it depends on}. In closed form it has one number for
        each independent entry, [K, *batch, *entries]; otherwise it is log q - log p at the sample,
        [K, *batch]

    The ELBO is E[log_likelihood - Σ kl]. Made by `objectives.infer`.
    """

    z: Any  # [K, *batch, ...]
    log_likelihood: Array  # log p(x | z), [K, *batch]
    log_prior: Array  # log p(z), [K, *batch]
    log_posterior: Array  # log q(z | x), [K, *batch]
    kl: dict[str, Array]


class LatentVariable(NamedTuple):
    """θ ↦ p_θ(x, z) = p_θ(z) p_θ(x | z), with an approximate posterior q_θ(z | x).

    The three distributions have one tree of parameters, because some models share weights among
    them. `combinators.latent_variable` makes a model from three separate densities.

    init: init(key) = θ
    prior: prior(params, cond=None, *, key=None) = p(z)
    likelihood: likelihood(params, z, cond=None, *, key=None) = p(x | z), with the batch shape of z
    posterior: posterior(params, x, cond=None, *, key=None) = q(z | x), with the batch shape of x
    infer: infer(params, key, x, cond=None, *, num_samples=1, parts_key=None) = `Inferred`, which
        draws z with `key` and scores it in one pass; `parts_key` is the `key` of the distributions.
        Only models whose distributions share computation, such as hierarchies, have it; else None.
        `objectives.infer` works for all
    cond_shape: of one condition; None for an unconditional model

        z = model.prior(params).sample(seed=z_key, sample_shape=20)
        x = model.likelihood(params, z).sample(seed=x_key)  # 20 samples of p(x)
    """

    init: Callable[[Key], Params]
    prior: Callable[..., distrax.Distribution]  # prior(params, cond=None, *, key=None)
    likelihood: Callable[..., distrax.Distribution]  # likelihood(params, z, cond=None, *, key=None)
    posterior: Callable[..., distrax.Distribution]  # posterior(params, x, cond=None, *, key=None)
    infer: Callable[..., Inferred] | None = None
    cond_shape: Shape | None = None

    def __getattr__(self, name: str) -> Any:
        known = "It has prior(params), likelihood(params, z) and posterior(params, x)"
        if name == "dist":
            known = f"p(x) is an integral over z, without a closed form. {known}"
        raise AttributeError(f"A LatentVariable has no {name}. {known}.", name=name, obj=self)


class Adversarial(NamedTuple):
    """θ, φ ↦ G_θ, D_φ: samples x = G_θ(z) with z ~ p(z), and a critic D_φ(x) that judges them.

    init: init(key) = (params, state), both {"generator": ..., "critic": ...}
    prior: the density p(z), without parameters
    generator: a `StatefulNet`, apply(params, state, z[, cond], train=..., key=None) = (x, state),
        from z [batch, ...] to x [batch, ...]
    critic: a `StatefulNet`, apply(params, state, x[, cond], train=..., key=None) = (values [batch],
        state). A game (`objectives.Game`) says whether values are logits of "x is data" or those of
        a Wasserstein critic
    cond_shape: of one condition, (n,) for a vector and () for a class as an integer, which both
        nets get for each sample; None for an unconditional model

    There is no density p(x). Made by `combinators.adversarial`.
    """

    init: Callable[[Key], tuple[dict[str, Params], dict[str, State]]]
    prior: Density  # of z, without parameters
    generator: StatefulNet  # apply(params, state, z[, cond], train=..., key=None) -> (x, state)
    critic: StatefulNet  # apply(params, state, x[, cond], train=..., key=None) -> (values, state)
    cond_shape: Shape | None = None


class Algorithm(NamedTuple):
    """s ← step(s, key, batch): how a state moves, from s = init(key).

    init: init(key) = the first state, a tree of arrays
    step: step(state, key, batch) = (state, metrics), as the body of `jax.lax.scan`, with metrics a
        dict {name: scalar}; or step(..., fixed=tree) with arrays that training does not change
    params: params(state) selects the parts of the state to evaluate, to sample with and to load,
        such as the averaged parameters of `gradient_descent`; by default it is the whole state. It
        only selects and computes nothing, so that a checkpoint can record where these parts are

    Run it by `learning.fit` or `learning.train`.
    """

    init: Callable[[Key], State]
    step: Callable[..., tuple[State, Metrics]]  # step(state, key, batch), or with fixed=...
    params: Callable[[State], Params] = lambda state: state


def num_params(params: Params) -> int:
    """Σ of the sizes of all arrays in a tree: the number of parameters; 0 for an empty tree.

    params: any tree of arrays; a Python number counts as one.
    """
    return sum(getattr(leaf, "size", 1) for leaf in jax.tree.leaves(params))


@overload
def split(key: Key, num: int) -> list[Key]: ...
@overload
def split(key: None, num: int) -> list[None]: ...
def split(key: Key | None, num: int) -> list[Key] | list[None]:
    """One key for each of `num` parts of a model, or None for each if `key` is None.

    key: made by `jax.random.key`, or None for no randomness. Returns a list of length num.
    """
    return [None] * num if key is None else list(jax.random.split(key, num))


@overload
def again(key: Key) -> Key: ...
@overload
def again(key: None) -> None: ...
def again(key: Key | None) -> Key | None:
    """A copy of the key, for a second draw that must equal the first.

    For example, both directions of a bijection need the same dropout. The copy marks the reuse as
    intended; with `jax_debug_key_reuse` JAX reports keys that are used twice.
    """
    return None if key is None else jax.random.clone(key)


def described(noun: Any) -> str:
    """'Density: Pushforward, event shape (5,), 1,234 parameters': a type of functions, in one line.

    The `__repr__` of the types of this module, since the addresses of functions say nothing. What
    has parameters is described by tracing alone, without computing them. The rest, such as a `Game`
    or an `Algorithm`, is described by the constructors that made it and by its numbers: 'Law:
    affine, num_params 2'.

    noun: an object of such a type. Returns a string; if `init` fails, that says so.
    """
    if isinstance(noun, Algorithm):
        facts = _origins(noun.step)
    elif hasattr(noun, "init"):
        facts = _traced(noun)
    else:
        numbers = {k: v for k, v in noun._asdict().items() if type(v) in (int, float, str, tuple)}
        shown = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in numbers.items()}
        facts = _origins(*noun) + [f"{field} {value}" for field, value in shown.items()]
    return f"{type(noun).__name__}: {', '.join(facts)}"


def _origins(*values):
    """The public functions in which those of the values that are functions were defined."""
    names = [getattr(value, "__qualname__", "").split(".")[0] for value in values]
    return [name for name in dict.fromkeys(names) if name.isidentifier() and name[0] != "_"]


def _traced(noun):
    """What the distributions of a noun are, its condition, and how many parameters it has."""
    facts: list[str] = []
    _, returned = get_args(get_type_hints(type(noun))["init"])

    def look():
        params = noun.init(jax.random.key(0))
        if get_origin(returned) is tuple:  # (params, state)
            params, _ = params
        try:
            facts.extend(_families(noun, params))
        except Exception:  # a condition of another kind than floating numbers, for example
            facts.clear()
        if getattr(noun, "shape", None) is not None:
            facts.append(f"event shape {noun.shape}")
        if getattr(noun, "cond_shape", None) is not None:
            facts.append(f"condition {noun.cond_shape}")
        facts.append(f"{num_params(params):,} parameters")

    try:
        jax.eval_shape(look)
    except Exception:  # an error while another one is shown would hide that
        facts.append("not described, since init fails")
    return facts


def _families(noun, params):
    """What the distributions and bijections of a noun are, and of which events."""
    if not isinstance(noun, (Density, Flow, LatentVariable)):
        return []
    cond = None if noun.cond_shape is None else jnp.zeros(noun.cond_shape)
    if isinstance(noun, Flow):
        return [type(noun.bijector(params, cond)).__name__]
    if isinstance(noun, Density):
        return [family(noun.dist(params, cond))]
    prior = noun.prior(params, cond)
    likelihood = noun.likelihood(params, prior.sample(seed=jax.random.key(1)), cond)
    return [f"z {family(prior)}", f"x {family(likelihood)}"]


def family(dist: distrax.Distribution) -> str:
    """'Pushforward, event shape (5,)': a distribution in words.

    dist: of distrax. Returns the name of its class and the shape of its events as a string.
    """
    return f"{type(dist).__name__.lstrip('_')}, event shape {dist.event_shape}"


for _noun in (Net, StatefulNet, CausalNet, Flow, Density, LatentVariable, Adversarial, Algorithm):
    # The type checker allows no method to be set from outside.
    _noun.__repr__ = described  # ty: ignore[invalid-assignment]
