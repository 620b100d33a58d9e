"""Models made of models, as on the blackboard."""

from collections.abc import Callable
from functools import partial

import distrax
import jax
import jax.numpy as jnp

from . import checks
from .bijectors import FactorOut, Scan
from .distributions import Pushforward
from .protocol import Array, Density, Flow, Net, Params


def compose(*flows: Flow) -> Flow:
    """compose(f, g) = f ∘ g: the last is nearest to the noise. Parameters: a list, one each."""
    if not flows:
        raise ValueError("compose needs at least one flow; got none.")
    for i, flow in enumerate(flows):
        checks.noun(flow, Flow, f"flow {i} of compose")

    def init(key):
        checks.key(key)
        return [flow.init(k) for flow, k in zip(flows, jax.random.split(key, len(flows)))]

    def bijector(params, cond=None, *, key=None):
        if len(params) != len(flows):
            raise ValueError(
                f"params must be a list of {len(flows)}, one for each flow; got {len(params)}."
            )
        keys = [None] * len(flows) if key is None else jax.random.split(key, len(flows))
        layers = zip(flows, params, keys)
        return distrax.Chain([flow.bijector(p, cond, key=k) for flow, p, k in layers])

    def adapt(params, x, cond=None):
        adapted = []
        for flow, p in zip(flows, params, strict=True):  # the first is nearest to the data
            p, x = _adapted(flow, p, x, cond)
            adapted.append(p)
        return adapted, x

    return Flow(init, bijector, adapt if any(flow.adapt for flow in flows) else None)


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

    def bijector(params, cond=None, *, key=None):
        if key is None:
            return scan(params, cond, compiled=partial(compiled, params, cond))

        def layer(params_and_key):  # a clone: a gradient runs the scan again with the same keys
            p, layer_key = params_and_key
            return flow.bijector(p, cond, key=jax.random.clone(layer_key))

        keys = jax.random.split(key, num_layers)
        return Scan(layer, (params, keys), num_layers, unroll=unroll)

    def scan(params, cond, **options):
        return Scan(lambda p: flow.bijector(p, cond), params, num_layers, unroll=unroll, **options)

    @partial(jax.jit, static_argnums=2, inline=True)
    def compiled(params, cond, method, x):
        return getattr(scan(params, cond), method)(x)  # without `compiled`: jit may be disabled

    def adapt(params, x, cond=None):
        def body(x, p):
            p, z = _adapted(flow, p, x, cond)
            return z.astype(x.dtype), p

        x = jnp.asarray(x, jnp.result_type(x, *jax.tree.leaves(params)))
        z, params = jax.lax.scan(body, x, params, num_layers, reverse=True, unroll=unroll)
        return params, z

    return Flow(init, bijector, adapt if flow.adapt else None)


def invert(flow: Flow) -> Flow:
    """T⁻¹, with the same parameters: forward and inverse change places, and so do their costs.

    Data-dependent parameters of T are set from batches at its forward side, which here is noise:
    `adapt` refuses. Keep such a part (`flows.actnorm`) out of `invert`, and compose them.
    """
    checks.noun(flow, Flow, "flow")

    def adapt(params, x, cond=None):
        raise ValueError(
            "adapt meets an inverted flow with data-dependent parameters (actnorm), which only "
            "has data at the other side; compose the actnorm outside of invert."
        )

    def bijector(params, cond=None, *, key=None):
        return distrax.Inverse(flow.bijector(params, cond, key=key))

    return Flow(flow.init, bijector, adapt if flow.adapt else None)


def factor_out(rest: Flow, shape: tuple[int, int, int]) -> Flow:
    """x [H, W, C] = [T(z_rest), z_out]: half of the channels is noise already, T makes the other.

    rest: a flow from vectors [H·W·C/2] to images [H, W, C/2]; here z = [z_rest, z_out] is a vector
    too. A prior of z_out given what is kept, as in Glow, is one more coupling after it:
    compose(flows.channel_coupling(shape, ...), factor_out(rest, shape)).
    Dinh et al. (2017), section 3.6.
    """
    checks.noun(rest, Flow, "rest")

    def bijector(params, cond=None, *, key=None):
        return FactorOut(rest.bijector(params, cond, key=key), shape)

    def adapt(params, x, cond=None):
        kept, out = jnp.split(x, 2, -1)
        params, z_rest = rest.adapt(params, kept, cond)
        return params, jnp.concatenate([z_rest, out.reshape(*out.shape[:-3], -1)], -1)

    return Flow(rest.init, bijector, adapt if rest.adapt else None)


def fixed(bijector: distrax.Bijector) -> Flow:
    """A bijector without parameters, such as a preprocessing of the data, as a flow."""
    if not isinstance(bijector, distrax.Bijector):
        raise ValueError(
            f"bijector must be a distrax bijector; got {type(bijector).__name__}. "
            "A Flow needs no fixing, a constructor must be called."
        )
    return Flow(lambda key: {}, lambda params, cond=None, *, key=None: bijector)


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

    def dist(params, cond=None, *, key=None):
        checks.parameters(params, init)
        bijector = flow.bijector(params["flow"], cond, key=key)
        return Pushforward(base.dist(params["base"], cond), bijector)

    def adapt(params, x, cond=None):
        flow_params, z = _adapted(flow, params["flow"], x, cond)
        if base.adapt is None:
            return {"base": params["base"], "flow": flow_params}, z
        base_params, z = base.adapt(params["base"], z, cond)
        return {"base": base_params, "flow": flow_params}, z

    return Density(init, dist, adapt if flow.adapt or base.adapt else None)


def conditional(net: Net, to_dist: Callable[[Array], distrax.Distribution]) -> Density:
    """p_θ(x | c) = to_dist(f_θ(c))."""
    checks.noun(net, Net, "net")
    checks.function(to_dist, "to_dist")

    def dist(params, cond=None, *, key=None):
        if cond is None:
            raise ValueError("cond is missing: a conditional density needs dist(params, cond).")
        return to_dist(net.apply(params, cond))

    return Density(net.init, dist)


def adapt(model: Flow | Density, params: Params, x: Array, cond: Array | None = None) -> Params:
    """The parameters with those that start from data set from the batch x [n, ...].

    Call it once, before training, on a batch like those of training, under `jit` and on any layout:

        params = jax.jit(functools.partial(adapt, model))(model.init(key), x)

    The statistics are those of the whole batch also where it is spread over devices. A batch with
    NaN is refused; under `jit`, which cannot see it, they are NaN. A second call with the same
    batch changes nothing beyond rounding, and a model without such parameters is returned as it is.
    Cost: about one inverse. Salimans and Kingma (2016), section 3.
    """
    if not hasattr(model, "adapt"):
        checks.noun(model, Flow, "model")
    if model.adapt is None:
        return params
    if checks.readable(x):
        checks.finite_rows(x, "x")
    return model.adapt(params, x, cond)[0]


def _adapted(flow, params, x, cond):
    """(params, z); a part without data-dependent parameters only moves the batch."""
    if flow.adapt is not None:
        return flow.adapt(params, x, cond)
    return params, flow.bijector(params, cond).inverse(x)
