"""Models made of models, as on the blackboard."""

from collections.abc import Callable

import distrax
import jax

from . import checks
from .bijectors import Scan
from .distributions import Pushforward
from .protocol import Array, Density, Flow, Net


def compose(*flows: Flow) -> Flow:
    """compose(f, g) = f ∘ g: the last is nearest to the noise. Parameters: a list, one each."""
    if not flows:
        raise ValueError("compose needs at least one flow; got none.")
    for i, flow in enumerate(flows):
        checks.noun(flow, Flow, f"flow {i} of compose")

    def init(key):
        checks.key(key)
        return [flow.init(k) for flow, k in zip(flows, jax.random.split(key, len(flows)))]

    def bijector(params, cond=None):
        if len(params) != len(flows):
            raise ValueError(
                f"params must be a list of {len(flows)}, one for each flow; got {len(params)}."
            )
        return distrax.Chain([flow.bijector(p, cond) for flow, p in zip(flows, params)])

    return Flow(init, bijector)


def repeat(flow: Flow, num_layers: int, *, unroll: bool = False) -> Flow:
    """T_K ∘ ... ∘ T_1: K layers of one form, with parameters of their own, stacked.

    One `jax.lax.scan`, so compile time does not depend on K. unroll=True writes the layers out,
    with the same parameters and values (`bijectors.Scan` has the trade).
    """
    checks.noun(flow, Flow, "flow")
    checks.positive_int(num_layers, "num_layers")

    def init(key):
        checks.key(key)
        return jax.vmap(flow.init)(jax.random.split(key, num_layers))

    def bijector(params, cond=None):
        return Scan(lambda p: flow.bijector(p, cond), params, num_layers, unroll=unroll)

    return Flow(init, bijector)


def invert(flow: Flow) -> Flow:
    """T⁻¹, with the same parameters: forward and inverse change places, and so do their costs."""
    checks.noun(flow, Flow, "flow")
    return Flow(
        flow.init, lambda params, cond=None: distrax.Inverse(flow.bijector(params, cond))
    )


def fixed(bijector: distrax.Bijector) -> Flow:
    """A bijector without parameters, such as a preprocessing of the data, as a flow."""
    if not isinstance(bijector, distrax.Bijector):
        raise ValueError(
            f"bijector must be a distrax bijector; got {type(bijector).__name__}. "
            "A Flow needs no fixing, a constructor must be called."
        )
    return Flow(lambda key: {}, lambda params, cond=None: bijector)


def pushforward(flow: Flow, base: Density) -> Density:
    """p_θ(x | c), the law of x = T_θ(z; c) for z from the base. Parameters {"base", "flow"}.

    log p(x) = log p_z(T⁻¹(x)) + log|det J_{T⁻¹}(x)|, in nats.
    """
    checks.noun(flow, Flow, "flow")
    checks.noun(base, Density, "base")

    def init(key):
        checks.key(key)
        base_key, flow_key = jax.random.split(key)
        return {"base": base.init(base_key), "flow": flow.init(flow_key)}

    def dist(params, cond=None):
        return Pushforward(base.dist(params["base"], cond), flow.bijector(params["flow"], cond))

    return Density(init, dist)


def conditional(net: Net, to_dist: Callable[[Array], distrax.Distribution]) -> Density:
    """p_θ(x | c) = to_dist(f_θ(c))."""
    checks.noun(net, Net, "net")
    checks.function(to_dist, "to_dist")

    def dist(params, cond=None):
        if cond is None:
            raise ValueError("cond is missing: a conditional density needs dist(params, cond).")
        return to_dist(net.apply(params, cond))

    return Density(net.init, dist)
