"""Models made of models, as on the blackboard.

A combinator passes a condition to those of its parts that take one, and a separate key to each
part. Its `cond_shape` is that of the parts, which must agree.
"""

from collections.abc import Callable, Sequence

import distrax
import jax
import jax.numpy as jnp

from . import checks
from .arrays import in_a_row, within_cell
from .bijectors import FactorOut, Scan
from .distributions import Pushforward, Quantized
from .nets import stateless
from .protocol import (
    Adversarial,
    Array,
    Density,
    Flow,
    LatentVariable,
    Net,
    Params,
    Shape,
    StatefulNet,
    again,
    split,
)


def compose(*flows: Flow) -> Flow:
    """compose(f, g, ...) = f ∘ g ∘ ...: z ↦ f(g(z)), where the last flow is nearest to the noise.

    flows: one or more, each with as input the events of the next one's output. The log-determinant
        is the sum of theirs. They may take a condition of one common cond_shape, or none; flows
        that differ in it raise InputError
    Parameters: a list of trees, one for each flow. Each flow gets a key of its own. Cost: that of
    all flows, in both directions. To stack layers of one form, `repeat` compiles faster. Returns a
    `Flow`, init(key) -> params and bijector(params, cond=None, key=None), whose `forward` maps z to
    x, for `combinators.pushforward`.
    """
    if not flows:
        raise checks.InputError("compose needs at least one flow; got none.")
    if type(flows[0]) in (list, tuple):
        raise checks.InputError("compose takes flows one by one; of a list: compose(*flows).")
    for i, flow in enumerate(flows):
        checks.noun(flow, Flow, f"flow {i} of compose")
    cond_shape = _common_cond_shape(flows)

    def init(key):
        checks.key(key)
        return [flow.init(k) for flow, k in zip(flows, jax.random.split(key, len(flows)))]

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        listed = isinstance(params, (list, tuple))
        if not listed or len(params) != len(flows):
            got = len(params) if listed else checks.shown(params)
            raise checks.InputError(
                f"params must be a list of {len(flows)}, one for each flow; got {got}."
            )
        layers = zip(flows, params, split(key, len(flows)))
        return distrax.Chain([f.bijector(p, _of(f, cond), key=k) for f, p, k in layers])

    def adapt(params, x, cond=None):
        adapted = []
        for flow, p in zip(flows, params, strict=True):  # the first is nearest to the data
            p, x = _adapted(flow, p, x, cond)
            adapted.append(p)
        return adapted, x

    return Flow(init, bijector, adapt if any(flow.adapt for flow in flows) else None, cond_shape)


def repeat(flow: Flow, num_layers: int, *, unroll: bool = False, recompute: bool = False) -> Flow:
    """T_K ∘ ... ∘ T_1: K = num_layers copies of `flow`, each with its own parameters.

        flow = repeat(compose(flows.actnorm(2), flows.coupling(2, hidden=(64,))), 8)

    flow: any flow; its condition, if it takes one, is the same for all layers
    num_layers: K
    unroll: if False, the layers run in one `jax.lax.scan`, so that compile time does not depend on
        K. If True they are written out, which compiles K times the code, and makes gradients faster
        where a layer does little; parameters and results are the same
    recompute: a gradient keeps only the inputs of the layers and computes what is inside of them
        once more: less memory. It has no effect with unroll=True
    Parameters: those of `flow`, stacked along a new first axis [K, ...]. Returns a `Flow`,
    init(key) -> params and bijector(params, cond=None, key=None), whose `forward` maps z to x, for
    `combinators.pushforward`.
    """
    checks.noun(flow, Flow, "flow")
    num_layers = checks.positive_int(num_layers, "num_layers")
    unroll, recompute = checks.flag(unroll, "unroll"), checks.flag(recompute, "recompute")

    def init(key):
        checks.key(key)
        return jax.vmap(flow.init)(jax.random.split(key, num_layers))

    def layer(params_and_key, cond):
        params, key = params_and_key
        return flow.bijector(params, cond, key=again(key))

    def bijector(params, cond=None, *, key=None):
        checks.condition(cond, flow.cond_shape)
        keys = None if key is None else jax.random.split(key, num_layers)
        options = {"unroll": unroll, "recompute": recompute}
        return Scan(layer, (params, keys), num_layers, cond, **options)

    def adapt(params, x, cond=None):
        def body(x, p):
            p, z = _adapted(flow, p, x, cond)
            return z.astype(x.dtype), p

        x = jnp.asarray(x, jnp.result_type(x, *jax.tree.leaves(params)))
        z, params = jax.lax.scan(body, x, params, num_layers, reverse=True, unroll=unroll)
        return params, z

    return Flow(init, bijector, adapt if flow.adapt else None, flow.cond_shape)


def invert(flow: Flow) -> Flow:
    """T⁻¹ with the parameters of T: forward and inverse change places, and so do their costs.

    flow: T. For example, `flows.maf` is `invert` of `flows.iaf`.

    `adapt` is refused (InputError) for T⁻¹ if T has parameters that are initialised from data
    (`flows.actnorm`), because the forward side of T would receive data. Compose such a layer
    outside of `invert`. Returns a `Flow`, init(key) -> params and bijector(params, cond=None,
    key=None), whose `forward` maps z to x, for `combinators.pushforward`.
    """
    checks.noun(flow, Flow, "flow")

    def adapt(params, x, cond=None):
        raise checks.InputError(
            "adapt meets an inverted flow with data-dependent parameters (actnorm), which only "
            "has data at the other side; compose the actnorm outside of invert."
        )

    def bijector(params, cond=None, *, key=None):
        return distrax.Inverse(flow.bijector(params, cond, key=key))

    return flow._replace(bijector=bijector, adapt=adapt if flow.adapt else None)


def factor_out(rest: Flow, shape: tuple[int, int, int]) -> Flow:
    """x [H, W, C] = [T(z_rest), z_out]: half of the channels is noise, T makes the other half.

    rest: the flow T from vectors [H·W·C/2] to images [H, W, C/2]
    shape: (H, W, C) of x; an odd C raises InputError

    Returns a flow from vectors z = [z_rest, z_out] [H·W·C] to images x, with the parameters, the
    condition and the log-determinant of T. z_out is independent of the rest; for a prior of z_out
    that depends on the other half, as in Glow, add a coupling:
    compose(flows.channel_coupling(shape, ...), factor_out(rest, shape)). Dinh et al. (2017),
    "Density estimation using Real NVP", section 3.6.
    """
    checks.noun(rest, Flow, "rest")
    shape = checks.image_shape(shape)
    if shape[2] % 2:
        raise checks.InputError(f"shape must have an even number of channels; got {shape}.")

    def bijector(params, cond=None, *, key=None):
        return FactorOut(rest.bijector(params, cond, key=key), shape)

    def adapt(params, x, cond=None):
        checks.event_of(x, shape)
        kept, out = jnp.split(x, 2, -1)
        params, z_rest = _adapted(rest, params, kept, cond)
        return params, jnp.concatenate([z_rest, out.reshape(*out.shape[:-3], -1)], -1)

    return rest._replace(bijector=bijector, adapt=adapt if rest.adapt else None)


def fixed(bijector: distrax.Bijector) -> Flow:
    """T_θ = T: a distrax bijector without parameters as a `Flow`, with params {}.

    bijector: T, z ↦ x, such as `bijectors.Permutation(order)` or a preprocessing of the data.
        Anything else raises InputError. The flow takes no condition, and is given to `compose` or
        `pushforward`
    """
    if not isinstance(bijector, distrax.Bijector):
        raise checks.InputError(
            f"bijector must be a distrax bijector; got {type(bijector).__name__}. "
            "A Flow needs no fixing, a constructor must be called."
        )

    def of_nothing(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return bijector

    return Flow(lambda key: {}, of_nothing)


def pushforward(flow: Flow, base: Density) -> Density:
    """p_θ(x | c), the distribution of x = T_θ(z; c) with z ~ base: a flow as a density.

        model = pushforward(flows.maf(5), distributions.standard_normal(5))
        params = model.init(key)
        model.dist(params).log_prob(x)                         # x [..., 5] -> [...], in nats
        model.dist(params).sample(seed=key, sample_shape=10)   # [10, 5]

    log p(x) = log p_z(T⁻¹(x)) + log|det J_{T⁻¹}(x)|, in nats, with one inverse of T; a sample is
    one forward of it.

    flow: T_θ
    base: the density of z, such as `distributions.standard_normal(dim)`

    The flow, the base, or both may be conditional, on conditions of one shape. A batch of
    conditions [*batch, *cond_shape] gives a batch of distributions with independent noise.

    Parameters {"base", "flow"}. Lecture: change of variables.
    """
    checks.noun(flow, Flow, "flow")
    checks.noun(base, Density, "base")
    cond_shape = _common_cond_shape((flow, base))

    def init(key):
        checks.key(key)
        base_key, flow_key = jax.random.split(key)
        return {"base": base.init(base_key), "flow": flow.init(flow_key)}

    def dist(params, cond=None, *, key=None):
        checks.parameters(params, init)
        batch_shape = checks.condition(cond, cond_shape)
        base_key, flow_key = split(key, 2)
        bijector = flow.bijector(params["flow"], _of(flow, cond), key=flow_key)
        noise = base.dist(params["base"], _of(base, cond), key=base_key)
        return Pushforward(noise, bijector, batch_shape=batch_shape)

    def adapt(params, x, cond=None):
        flow_params, z = _adapted(flow, params["flow"], x, cond)
        if base.adapt is None:
            return {"base": params["base"], "flow": flow_params}, z
        base_params, z = base.adapt(params["base"], z, _of(base, cond))
        return {"base": base_params, "flow": flow_params}, z

    return Density(init, dist, adapt if flow.adapt or base.adapt else None, cond_shape)


def preprocessed(model: Density, preprocessing: distrax.Bijector) -> Density:
    """p(x | c) = p_θ(g(x) | c) |det ∂g/∂x|: a model of y = g(x) as a density of x itself.

    The parameters are those of the model: after training on y, it scores and samples x, with
    log-densities in the units of x.

    model: p_θ(y | c)
    preprocessing: g, a fixed bijector, such as `data.standardize` with the mean and standard
        deviation of the training set
    """
    checks.noun(model, Density, "model")
    checks.instance(preprocessing, distrax.Bijector, "preprocessing")

    def dist(params, cond=None, *, key=None):
        return Pushforward(model.dist(params, cond, key=key), distrax.Inverse(preprocessing))

    def adapt(params, x, cond=None):
        assert model.adapt is not None
        return model.adapt(params, preprocessing.forward(x), cond)

    return model._replace(dist=dist, adapt=adapt if model.adapt else None)


def quantized(model: Density, num_levels: int, noise: Density | None = None) -> Density:
    """P(x | c) = ∫ p_θ(x + u | c) du over u ∈ [0, 1)^D, for levels x in 0..num_levels-1.

    A density of real numbers as a distribution of levels, such as grey levels. `log_prob(x)` is a
    lower bound in nats, E_u[log p(x + u) - log q(u | x)], estimated with one draw of u from the key
    of `dist`, or from a fixed key without one. Samples are those of p_θ, rounded down.

    model: p_θ, a density of real numbers whose unit is one level; samples outside of [0,
        num_levels) are clipped
    num_levels: the number of levels, at least 2
    noise: q(u | x), such as `flows.variational_noise`. None, the default, is uniform noise, for
        which the second term is 0

    Parameters: those of the model, or with `noise` {"model", "noise"}, as in
    `objectives.dequantized_log_prob`. Theis et al. (2016), "A note on the evaluation of generative
    models", section 3.1.
    """
    checks.noun(model, Density, "model")
    num_levels = checks.positive_int(num_levels, "num_levels", least=2)
    if noise is not None:
        checks.noun(noise, Density, "noise")

    def both(key):
        assert noise is not None
        checks.key(key)
        model_key, noise_key = jax.random.split(key)
        return {"model": model.init(model_key), "noise": noise.init(noise_key)}

    def dist(params, cond=None, *, key=None):
        key, model_key, noise_key = split(key, 3)
        of_model, of_noise = params, None
        if noise is not None:
            of_model = params["model"]
            of_noise = lambda x: noise.dist(params["noise"], x, key=noise_key)
        numbers = model.dist(of_model, cond, key=model_key)
        return Quantized(numbers, num_levels, of_noise, key=key)

    def adapt(params, x, cond=None):
        u = in_a_row(jax.random.uniform, jax.random.key(0), jnp.shape(x))
        y = within_cell(jnp.asarray(x, u.dtype), u)
        assert model.adapt is not None
        if noise is None:
            return model.adapt(params, y, cond)
        adapted, z = model.adapt(params["model"], y, cond)
        return params | {"model": adapted}, z

    return Density(
        model.init if noise is None else both,
        dist,
        adapt if model.adapt else None,
        model.cond_shape,
    )


def conditional(
    net: Net, to_dist: Callable[[Array], distrax.Distribution], *, cond_shape: Shape
) -> Density:
    """p_θ(x | c) = to_dist(f_θ(c)): the output of a net, read as a distribution.

        to_dist = lambda f: distrax.MultivariateNormalDiag(f[..., :2], jnp.exp(f[..., 2:]))
        encoder = conditional(nets.mlp(784, 4, hidden=(200,)), to_dist, cond_shape=(784,))

    Encoders and decoders of a variational autoencoder have this form; here the output of the net is
    read as mean and log-scale of a Gaussian in two dimensions.

    net: f_θ, c [..., *cond_shape] -> any output, with the batch axes [...] in front
    to_dist: output -> a distrax distribution with batch shape [...]
    cond_shape: the shape of one condition c, required
    Returns a `Density` whose parameters are those of the net; the key of `dist` is for its dropout.
    """
    checks.noun(net, Net, "net")
    checks.function(to_dist, "to_dist")
    cond_shape = _required(cond_shape)

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        return to_dist(net.apply(params, cond, key=key))

    return Density(net.init, dist, cond_shape=cond_shape)


def encoded(net: Net, density: Density, *, cond_shape: Shape) -> Density:
    """p_θ(x | f_θ(c)): a density conditioned on features of c. Parameters {"net", "density"}.

    For example, an inverse autoregressive flow as an approximate posterior, whose layers see the
    features of one encoder (Kingma et al., 2016), is encoded(encoder, pushforward(iaf(...,
    cond_shape=(n,)), head), cond_shape=shape).

    net: f_θ, maps c [..., *cond_shape] to the condition [..., *density.cond_shape] of `density`.
        Net and density are trained together
    density: conditional, else InputError
    cond_shape: the shape of one c, required
    Cost: one pass of the net and that of the density.
    """
    checks.noun(net, Net, "net")
    checks.noun(density, Density, "density")
    cond_shape = _required(cond_shape)
    if density.cond_shape is None:
        raise checks.InputError(
            "density must be conditional, to see what the net says; build it with cond_shape=(n,), "
            "n the outputs of the net."
        )

    def init(key):
        checks.key(key)
        net_key, density_key = jax.random.split(key)
        return {"net": net.init(net_key), "density": density.init(density_key)}

    def dist(params, cond=None, *, key=None):
        checks.parameters(params, init)
        checks.condition(cond, cond_shape)
        net_key, density_key = split(key, 2)
        seen = net.apply(params["net"], cond, key=net_key)
        return density.dist(params["density"], seen, key=density_key)

    def adapt(params, x, cond=None):
        seen = net.apply(params["net"], cond)
        assert density.adapt is not None
        density_params, z = density.adapt(params["density"], x, seen)
        return {"net": params["net"], "density": density_params}, z

    return Density(init, dist, adapt if density.adapt else None, cond_shape)


def latent_variable(
    prior: Density, likelihood: Density, posterior: Density, *, cond_shape: Shape | None = None
) -> LatentVariable:
    """p_θ(x, z) = p(z) p(x | z) and q(z | x), from three densities with separate parameters.

        prior = distributions.standard_normal(8)
        likelihood = conditional(decoder, to_x, cond_shape=(8,))      # p(x | z), z [..., 8]
        posterior = conditional(encoder, to_z, cond_shape=(784,))     # q(z | x), x [..., 784]
        model = latent_variable(prior, likelihood, posterior)

    prior: p(z)
    likelihood: p(x | z), a density of x whose condition is z: its cond_shape is the shape of z
    posterior: q(z | x), a density of z whose condition is x: its cond_shape is the shape of x. Both
        are made by `conditional` or `encoded`
    cond_shape: None, or (n,) for a conditional model p(z | c) p(x | z, c), q(z | x, c), c [..., n].
        Likelihood and posterior then receive c concatenated to z and to x along the last axis (at
        every position), so that the last size of their cond_shape is n larger. A prior without
        cond_shape does not depend on c

    Parameters {"prior", "likelihood", "posterior"}. Densities whose conditions do not fit raise
    InputError. Kingma and Welling (2014), "Auto-encoding variational Bayes"; Sohn et al. (2015),
    "Learning structured output representation", with c.
    """
    parts = {"prior": prior, "likelihood": likelihood, "posterior": posterior}
    for name, part in parts.items():
        checks.noun(part, Density, name)
    cond_shape = checks.cond_shape(cond_shape)
    _check_joint_condition(parts, cond_shape)

    def init(key):
        checks.key(key)
        keys = jax.random.split(key, len(parts))
        return {name: part.init(k) for (name, part), k in zip(parts.items(), keys)}

    def of_prior(params, cond=None, *, key=None):
        checks.condition(cond, cond_shape)
        return prior.dist(params["prior"], _of(prior, cond), key=key)

    def given(name, params, value, cond, key):
        checks.condition(cond, cond_shape)
        _check_seen(value, "z" if name == "likelihood" else "x", parts[name], cond_shape)
        seen = value if cond is None else _joined(value, cond, parts[name].cond_shape)
        return parts[name].dist(params[name], seen, key=key)

    def of_likelihood(params, z, cond=None, *, key=None):
        return given("likelihood", params, z, cond, key)

    def of_posterior(params, x, cond=None, *, key=None):
        return given("posterior", params, x, cond, key)

    return LatentVariable(init, of_prior, of_likelihood, of_posterior, cond_shape=cond_shape)


def adversarial(
    prior: Density,
    generator: Net | StatefulNet,
    critic: Net | StatefulNet,
    *,
    cond_shape: Shape | None = None,
) -> Adversarial:
    """x = G_θ(z), z ~ p(z), and a critic D_φ(x): the two players of a GAN.

    prior: p(z), a density without parameters, such as `distributions.standard_normal(n)`, since no
        player would train any; else InputError
    generator: a net z [batch, ...] -> x [batch, ...]
    critic: a net x -> values [batch], without a last axis of 1. Both may be a `Net`, or a
        `StatefulNet` such as one with batch norm; a plain `Net` counts as one with the state {}
    cond_shape: if given, both nets receive one condition per sample after z and x: (n,) for vectors
        [batch, n], () for classes as integers [batch]
    Parameters and state: {"generator", "critic"} each, from init(key) = (params, state). The loss
    is chosen later, by a game of `objectives`. Goodfellow et al. (2014), "Generative adversarial
    nets"; Mirza and Osindero (2014), "Conditional generative adversarial nets".
    """
    checks.noun(prior, Density, "prior")
    if jax.tree.leaves(jax.eval_shape(prior.init, jax.random.key(0))):
        raise checks.InputError(
            "prior must have no parameters, which no player would move; let the generator make of "
            "distributions.standard_normal(n) what it needs."
        )
    nets = {
        "generator": _with_state(generator, "generator"),
        "critic": _with_state(critic, "critic"),
    }
    if not (isinstance(cond_shape, tuple) and cond_shape == ()):  # that of classes
        cond_shape = checks.cond_shape(cond_shape)
    if prior.cond_shape is not None and tuple(prior.cond_shape) != cond_shape:
        raise checks.InputError(
            f"prior must have the model's cond_shape={cond_shape}, or none; got {prior.cond_shape}."
        )

    def init(key):
        checks.key(key)
        keys = jax.random.split(key, len(nets))
        made = {name: net.init(k) for (name, net), k in zip(nets.items(), keys)}
        return tuple({name: each[i] for name, each in made.items()} for i in (0, 1))

    return Adversarial(init, prior, **nets, cond_shape=cond_shape)


def _with_state(net, name):
    """A `StatefulNet`, of a `Net` the one without a state. Both have the same two fields."""
    checks.noun(net, Net, name)
    return net if isinstance(net, StatefulNet) else stateless(net)


def adapt(model: Flow | Density, params: Params, x: Array, cond: Array | None = None) -> Params:
    """params, with the data-dependent ones (`flows.actnorm`) set from the batch x [n, ...].

    Call it once before training, with a batch like those of training, under `jit`:

        params = jax.jit(functools.partial(adapt, model))(model.init(key), x)

    model, params: a flow or a density, and its parameters
    x: a batch of data, [n, *event]. A batch sharded over devices gives the statistics of the whole
        batch. NaN raises InputError; under `jit`, where it cannot be seen, the parameters become
        NaN
    cond: its conditions [n, *cond_shape], or None

    Returns parameters like params. A second call with the same batch changes nothing beyond
    rounding. A model without such parameters is returned unchanged. Dropout is off. Cost: about one
    inverse pass. Salimans and Kingma (2016), "Weight normalization", section 3.
    """
    checks.noun(model, Density if hasattr(model, "dist") else Flow, "model")
    checks.parameters(params, model.init)
    checks.array(x, "x")
    if checks.readable(x):
        checks.finite_rows(x, "x")
    checks.condition(cond, model.cond_shape)
    return params if model.adapt is None else model.adapt(params, jnp.asarray(x), cond)[0]


def _adapted(flow, params, x, cond):
    """(params, z); a part without data-dependent parameters only moves the batch."""
    if flow.adapt is not None:
        return flow.adapt(params, x, _of(flow, cond))
    return params, flow.bijector(params, _of(flow, cond)).inverse(x)


def _of(part: Flow | Density, cond):
    """The condition, for a part that takes one."""
    return None if part.cond_shape is None else cond


def _common_cond_shape(parts: Sequence[Flow | Density]) -> Shape | None:
    shapes = {tuple(part.cond_shape) for part in parts if part.cond_shape is not None}
    if len(shapes) > 1:
        raise checks.InputError(
            f"the parts must take conditions of one cond_shape; got {sorted(shapes)}. Let "
            "`encoded` make of a condition what a part is to see."
        )
    return shapes.pop() if shapes else None


def _required(cond_shape):
    if cond_shape is None:
        raise checks.InputError(
            "cond_shape must be the shape of one condition, such as (10,); got None."
        )
    return checks.cond_shape(cond_shape)


def _check_joint_condition(parts, cond_shape):
    for name in ("likelihood", "posterior"):
        if parts[name].cond_shape is None:
            of = "z" if name == "likelihood" else "x"
            raise checks.InputError(f"{name} must be a density under the condition {of}; got none.")
    if cond_shape is not None and len(cond_shape) != 1:
        raise checks.InputError(
            f"cond_shape must be that of a vector, (n,), to be joined; got {cond_shape}."
        )
    prior_shape = parts["prior"].cond_shape
    if prior_shape is not None and tuple(prior_shape) != tuple(cond_shape or ()):
        raise checks.InputError(
            f"prior must have the model's cond_shape={cond_shape}, or none; got {prior_shape}."
        )


def _check_seen(value, name, part, cond_shape):
    *front, last = part.cond_shape
    checks.event_shape(value, (*front, last - (0 if cond_shape is None else cond_shape[0])), name)


def _joined(value, cond, seen_shape):
    """value [..., *event] and cond [..., n] on the last axis, cond the same at every position."""
    event_ndims = len(seen_shape)
    cond = cond.reshape(*cond.shape[:-1], *[1] * (event_ndims - 1), cond.shape[-1])
    batch = jnp.broadcast_shapes(value.shape[:-event_ndims], cond.shape[:-event_ndims])
    shape = (*batch, *value.shape[value.ndim - event_ndims : -1])
    return jnp.concatenate([jnp.broadcast_to(a, (*shape, a.shape[-1])) for a in (value, cond)], -1)
