"""Guidance: a denoiser that leans towards a class, which every sampler and the ODE take as it is.

By Bayes' rule ∇ log p(x_t | y) = ∇ log p(x_t) + ∇ log p(y | x_t); guidance multiplies the second
term by a scale w. At w = 1 it is the score of the class itself, and above it samples are of
p(x_t) p(y | x_t)^w at each t, which is sharper and has less variety.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Key, Metrics, Net, Params
from .denoiser import Denoiser, Prediction, dressed, noised, seen, times_of
from .losses import drawn_times
from .process import Process, beside


def classifier_guided(
    model: Denoiser, log_prob: Callable[[Array, Array, Array], Array], scale: float
) -> Denoiser:
    """ε ← ε_θ(x_t) - w σ_t ∇ log p(y | x_t), y the condition of the denoiser that is returned.

    model: without a condition. log_prob: (x_t [batch, *shape], t [batch], y [batch]) -> log p(y |
    x_t) [batch], of a classifier of *noisy* data, which has learned all t; the gradient is taken
    at x_t. One more gradient a step. Dhariwal and Nichol (2021), "Diffusion models beat GANs on
    image synthesis", algorithm 2 (here for the chain and the ODE alike).
    """
    checks.noun(model, Denoiser, "model")
    checks.function(log_prob, "log_prob")
    scale = checks.number(scale, "scale")
    if model.cond_shape is not None:
        raise checks.InputError("model must be without a condition; the classifier brings it.")

    def predict(params, x, t, cond=None, *, key=None):
        if cond is None:
            raise checks.InputError("cond must be the classes [batch] to lean towards; got None.")
        t = times_of(t, x, model.shape)
        found = model.predict(params, x, t, key=key)
        slope = jax.grad(lambda x: log_prob(x, t, cond).sum())(x)
        sigma = beside(model.process(params).sigma(t), x)
        return _with_noise(model, params, x, t, found, found.noise - scale * sigma * slope)

    return model._replace(predict=predict, cond_shape=())


def class_log_prob(
    net: Net, params: Params, process: Process
) -> Callable[[Array, Array, Array], Array]:
    """(x_t [batch, *shape], t [batch], y [batch]) -> log p(y | x_t) [batch], of logits.

    What `classifier_guided` takes. net: apply(params, x_t / r, λ_t) -> logits [batch, K], told as
    the net of a `denoiser` is, and trained by `classifier_loss`.
    """
    checks.noun(net, Net, "net")
    checks.parameters(params, net.init)
    checks.noun(process, Process, "process")
    return lambda x, t, y: _of_class(_logits(net, params, process, x, t), y)


def classifier_loss(
    net: Net, params: Params, key: Key, process: Process, x: Array, y: Array
) -> tuple[Array, Metrics]:
    """-E log p(y | x_t), t uniform between the ends of the process: of rows x and classes y.

    x: data [batch, *shape], to which noise is added here; y: integers [batch]. "error" is the share
    of rows of which another class is likelier: it falls short of that of clean data, since nothing
    is left of the class at t_1. Cost: one pass of the net.
    """
    checks.noun(net, Net, "net")
    checks.key(key)
    checks.parameters(params, net.init)
    checks.noun(process, Process, "process")
    checks.rows_of(x, "x")
    checks.floating(x, "x")
    if not jnp.ndim(x):
        raise checks.InputError("x must be rows [batch, *shape]; got one number.")
    checks.array(y, "y")
    if not jnp.issubdtype(y.dtype, jnp.integer) or y.shape != x.shape[:1]:
        raise checks.InputError(
            f"y must be the class of each of {len(x)} rows, integers; got {y.dtype} {y.shape}."
        )
    time_key, noise_key = jax.random.split(key)
    t = drawn_times(time_key, process, len(x), x.dtype)
    logits = _logits(net, params, process, noised(noise_key, process, x, t)[0], t)
    loss = -_of_class(logits, y).mean()
    return loss, {"loss": loss, "error": (logits.argmax(-1) != y).mean()}


def classifier_free(model: Denoiser, scale: float, nothing: Array) -> Denoiser:
    """ε ← ε_θ(x_t) + w (ε_θ(x_t, y) - ε_θ(x_t)): the classifier is the model's, by Bayes' rule.

    model: with a condition y that is `nothing` [*cond_shape] where nothing is told, as it was for
    some of the rows in training (`dropped`). scale: w; 0 is the model without a condition, and 1
    the one with it. Cost: one pass of twice the rows a step. Ho and Salimans (2022),
    "Classifier-free diffusion guidance" (whose w is one less).
    """
    checks.noun(model, Denoiser, "model")
    scale = checks.number(scale, "scale")
    if model.cond_shape is None:
        raise checks.InputError("model must have a condition to be guided by; it has none.")
    checks.event_shape(nothing, model.cond_shape, "nothing")

    def predict(params, x, t, cond=None, *, key=None):
        checks.condition(cond, model.cond_shape)
        t = times_of(t, x, model.shape)
        # One net of twice as many rows compiles in half the time of two.
        assert cond is not None
        conds = jnp.concatenate([cond, jnp.broadcast_to(nothing, jnp.shape(cond))])
        both = model.predict(params, *(jnp.concatenate([a, a]) for a in (x, t)), conds, key=key)
        found, without = (
            jax.tree.map(lambda a: a[rows], both) for rows in (slice(len(x)), slice(len(x), None))
        )
        noise = without.noise + scale * (found.noise - without.noise)
        return _with_noise(model, params, x, t, found, noise)

    return model._replace(predict=predict)


def dropped(key: Key, cond: Array, nothing: Array, share: float = 0.1) -> Array:
    """The conditions [batch, *cond_shape] with a share of them replaced by `nothing`."""
    checks.key(key)
    share = checks.rate(share, "share")
    checks.rows_of(cond, "cond")
    checks.numbers(cond, "cond")
    checks.numbers(nothing, "nothing")
    if jnp.shape(nothing) != jnp.shape(cond)[1:]:
        raise checks.InputError(
            f"nothing must be one condition, of shape {jnp.shape(cond)[1:]}; got "
            f"{jnp.shape(nothing)}."
        )
    keep = jax.random.uniform(key, (len(cond),)) >= share
    return jnp.where(keep.reshape(-1, *[1] * (jnp.ndim(cond) - 1)), cond, nothing)


def _logits(net, params, process, x, t):
    return net.apply(params, *seen(process, x, t))


def _of_class(logits, y):
    return jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], -1)[:, 0]


def _with_noise(model, params, x, t, found, noise) -> Prediction:
    """The prediction that has this noise."""
    process = model.process(params)
    t = times_of(t, x, model.shape)
    data = (x - beside(process.sigma(t), x) * noise) / beside(process.alpha(t), x)
    return Prediction(data, noise, dressed(model.dress, process, data, noise, t), found.fraction)
