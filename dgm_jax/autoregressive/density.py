"""A causal net and a conditional distribution make a density: p(x) = ∏_i p(x_i | x_<i)."""

from collections.abc import Callable
from typing import NamedTuple

import distrax
from jax.tree_util import Partial

from .. import checks
from ..arrays import compiled_once
from ..distributions import Autoregressive
from ..distributions.autoregressive import check_outputs
from ..likelihoods import Conditional
from ..protocol import Array, CausalNet, Density


def density(
    net: CausalNet,
    conditional: Conditional,
    shape: int | tuple[int, ...],
    *,
    family: type[Autoregressive] = Autoregressive,
) -> Density:
    """log p(x | c) = Σ_i log p(x_i; f_i(x_<i, c)), in nats, for events x of one shape.

        net = nets.made(784, hidden=(500,), num_outputs=1, encoding=nets.one_hot(2))
        model = density(net, likelihoods.bernoulli(), (28, 28))     # x [..., 28, 28]

    A causal net and a likelihood make a density. Lecture: the chain rule of probability.

    net: f, a causal net such as `nets.made`: x [..., d] -> [..., d, conditional.num_params], row i
        a function of x_<i alone; its parameters are those of the density
    conditional: the family p(x_i; f_i), such as `likelihoods.bernoulli()`
    shape: that of one x; x_i is entry i of x.ravel(), which the net has as [..., d]
    family: the class of `dist(params, cond)`, a subclass of `distributions.Autoregressive`, such
        as one that has closed forms (the entropy and mean of a `table`)

    The condition c is [..., *net.cond_shape]; its batch shape is that of the density. `dist(params,
    cond)` is a `distributions.Autoregressive`: besides `log_prob` and `sample` it has
    `conditionals(x)`, all p(x_i | x_<i) in one pass, and `complete(x, given, seed=key)`, which
    keeps x where the booleans `given` are True and samples the rest; for discrete x also
    `sharpened(temperature=T, top_k=k)`, the distribution with each conditional's logits divided by
    T and its k most likely levels only. Cost: `log_prob` one pass of the net; `sample` one unroll
    of it, the arithmetic of one pass.
    """
    checks.noun(net, CausalNet, "net")
    checks.noun(conditional, Conditional, "conditional")
    shape = checks.one_or_more(shape, "shape")
    if not (isinstance(family, type) and issubclass(family, Autoregressive)):
        raise checks.InputError(
            f"family must be a class like distributions.Autoregressive; got {checks.shown(family)}."
        )
    # A sample outside of `jit` would compile its loop at every call; inside nothing changes.
    net = net._replace(unroll=compiled_once(net.unroll, static_argnums=(2,)))
    num_outputs = conditional.num_params
    to_dist = Partial(_OfItsOutputs(num_outputs, conditional.dist))

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, net.cond_shape)
        checks.parameters(params, net.init)
        return family(net, params, to_dist, shape, cond, num_outputs=num_outputs, key=key)

    return Density(net.init, dist, cond_shape=net.cond_shape)


class _OfItsOutputs(NamedTuple):
    """f ↦ dist(f), of as many outputs as it takes; equal, for `jit`, where both fields are."""

    num_outputs: int
    dist: Callable[[Array], distrax.Distribution]

    def __call__(self, f):
        check_outputs(f, self.num_outputs)
        return self.dist(f)


def outputs_of(conditional: Conditional, *, channels: int = 1) -> dict:
    """The options of a causal net for p(x_i; f_i): {"num_outputs", "encoding"[, "head"]}.

    - "num_outputs": how many parameters f_i one entry x_i has, `conditional.num_params`
    - "encoding": how the net sees the preceding levels; None for real numbers
    - "head": how f_i depends on the preceding channels of its pixel. It is there only if channels
      > 1 and the conditional has a `head`; the default of the nets is a linear one

    A causal net takes them as keyword arguments, as in `nets.pixelcnn(shape, **outputs_of(...))`.
    Only nets of images take a "head".

    conditional: the family of one entry, such as `bernoulli()`. One of several channels together,
        such as `discretized_logistic(256, channels=3)`, raises InputError
    channels: the number of channels of a pixel of x, 1 for vectors
    """
    checks.noun(conditional, Conditional, "conditional")
    if conditional.channels > 1:
        raise checks.InputError(
            f"conditional must be that of one entry, not of {conditional.channels} channels; build "
            "it without channels: a causal net of images shares components among them by itself."
        )
    options = {"num_outputs": conditional.num_params, "encoding": conditional.encoding}
    if conditional.head is not None and channels > 1:
        options["head"] = conditional.head(channels)
    return options
