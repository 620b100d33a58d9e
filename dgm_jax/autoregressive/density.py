"""A causal net and a likelihood together are a density: p(x) = ∏_i p(x_i | x_<i)."""

from collections.abc import Callable

import jax
from jax.tree_util import Partial

from .. import checks
from ..distributions import Autoregressive
from ..likelihoods import Conditional
from ..protocol import CausalNet, Density, Shape


def density(
    net: CausalNet,
    conditional: Conditional,
    shape: int | tuple[int, ...],
    *,
    cond_shape: Shape | None = None,
) -> Density:
    """p(x | c) = ∏_i p(x_i | x_<i, c) for events x of one shape: x_i is entry i of x.ravel().

    `dist(params, cond)` shows `.conditionals(x)`, all of them in one pass, and
    `.complete(x, given, seed=key)`; of discrete x there is
    `.sharpened(temperature=..., top_k=...)` too.
    Costs: density one pass of the net, sample one unroll of it.
    """
    checks.noun(net, CausalNet, "net")
    checks.noun(conditional, Conditional, "conditional")
    # A sample outside of `jit` would compile its loop at every call; inside nothing changes.
    net = net._replace(unroll=jax.jit(net.unroll, static_argnums=2, inline=True))
    to_dist, num_outputs = Partial(conditional.dist), conditional.num_params

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        checks.parameters(params, net.init)
        return Autoregressive(net, params, to_dist, shape, cond, num_outputs=num_outputs)

    return Density(net.init, dist)


def density_of(
    make: Callable[..., CausalNet],
    shape: int | tuple[int, ...],
    conditional: Conditional,
    *,
    cond_shape: Shape | None = None,
    **options,
) -> Density:
    """The `density` of the net make(shape, ...) with the outputs and inputs of a conditional."""
    net = make(shape, **outputs_of(conditional, options), cond_shape=cond_shape, **options)
    return density(net, conditional, shape, cond_shape=cond_shape)


def outputs_of(conditional: Conditional, options: dict) -> dict:
    """What a net is told by its conditional, and by nobody else."""
    checks.noun(conditional, Conditional, "conditional")
    for name in ("num_outputs", "encoding", "head"):
        if name in options:
            raise ValueError(
                f"{name} comes from the conditional; got {name}={options[name]!r} as well."
            )
    return {"num_outputs": conditional.num_params, "encoding": conditional.encoding}
