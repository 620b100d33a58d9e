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
from .denoiser import Denoiser, Prediction, noised, seen, target_of, times_of
from .losses import drawn_times
from .process import Process, beside


def classifier_guided(
    model: Denoiser, log_prob: Callable[[Array, Array, Array], Array], scale: float
) -> Denoiser:
    """ε ← ε_θ(x_t) - w σ_t ∇ log p(y | x_t): a denoiser guided towards a class y by a classifier.

    The score of p(x_t) p(y | x_t)^w, up to a constant: w = 1 is the class-conditional model by
    Bayes' rule, and a larger w gives more typical and less varied samples. Returns a `Denoiser`, as
    `denoiser` makes it, with these predictions: the argument `model` of any sampler. Its condition
    is y, integers [batch].

    model: a denoiser without a condition; one with a condition raises `InputError`
    log_prob: (x_t [batch, *shape], t [batch], y [batch]) -> log p(y | x_t) [batch], of a classifier
        that was trained on noisy data at all t, as `class_log_prob` makes
    scale: w; 0 is the unguided model

    Cost: a prediction takes one pass of the net, and the gradient of log_prob in x_t. Dhariwal and
    Nichol (2021), "Diffusion models beat GANs on image synthesis", algorithm 2.
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
    """log p(y | x_t) = log softmax(net(x_t / r, λ_t))_y of a trained classifier, as a function.

    The function takes x_t [batch, *shape], times t [batch] and classes y, integers [batch], and
    returns [batch] in nats: the `log_prob` of `classifier_guided`.

    net: apply(params, x [batch, *shape], λ [batch]) -> logits [batch, K] of K classes. As the net
        of a `denoiser` it is given x_t / r, r = √(α_t² + σ_t²), and the log-SNR λ_t = log(α_t² /
        σ_t²) clipped to [-20, 20]
    params: its parameters, trained by `classifier_loss`
    process: α and σ of x_t = α_t x + σ_t ε, those of the denoiser to be guided
    """
    checks.noun(net, Net, "net")
    checks.parameters(params, net.init)
    checks.noun(process, Process, "process")
    return lambda x, t, y: _of_class(_logits(net, params, process, x, t), y)


def classifier_loss(
    net: Net, params: Params, key: Key, process: Process, x: Array, y: Array
) -> tuple[Array, Metrics]:
    """-E log p(y | x_t), x_t = α_t x + σ_t ε: cross-entropy of a classifier of noisy data, in nats.

    t is uniform between the ends t_0 (nearly clean) and t_1 (noise) of the process; each row has
    one t and one ε ~ N(0, I). The loss is the mean over the rows.

    net: apply(params, x [batch, *shape], λ [batch]) -> logits [batch, K] of K classes. Its inputs
        are x_t / r, with r = √(α_t² + σ_t²), and the log-SNR λ_t = log(α_t² / σ_t²), clipped to
        [-20, 20], as for the net of a `denoiser`
    params: those of the net
    key: draws times and noise
    process: α and σ, those of the denoiser to be guided
    x: clean data, real numbers [batch, *shape]; noise is added here
    y: their classes, integers [batch] in 0..K-1

    Returns (loss, {"loss", "error"}). "error" is the fraction of rows where another class has a
    larger logit; it is larger than for clean data, since nothing is left of the class near t_1.
    Cost: one pass of the net. Dhariwal and Nichol (2021), "Diffusion models beat GANs on image
    synthesis", section 4.
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
    """ε ← ε_θ(x_t) + w (ε_θ(x_t, y) - ε_θ(x_t)): guidance by the model's own two predictions.

    By Bayes' rule the difference is -σ_t ∇ log p(y | x_t) of an implicit classifier. Returns a
    `Denoiser`, as `denoiser` makes it, with the same condition and these predictions: the argument
    `model` of any sampler.

    model: a denoiser with a condition y; one without raises `InputError`
    scale: w. 0 is the unconditional and 1 the conditional model; above 1 samples are more typical
        of y and less varied. Ho and Salimans call w - 1 the strength
    nothing: the condition [*cond_shape] that stands for "no condition", such as zeros; in training
        it replaces the condition of some rows (`dropped`)

    Cost: a prediction is one pass of the net on twice as many rows. Ho and Salimans (2022),
    "Classifier-free diffusion guidance".
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
    """c_i ← `nothing` with probability `share`, for each row i by itself; else c_i is kept.

    In training it teaches a conditional denoiser the unconditional model too, for
    `classifier_free`.

    key: draws which rows
    cond: the conditions c [batch, *cond_shape]; the result has the same shape
    nothing: the condition [*cond_shape] that stands for "no condition"; another shape raises
        `InputError`
    share: a probability in [0, 1)

    Ho and Salimans (2022), "Classifier-free diffusion guidance", algorithm 1.
    """
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
    return Prediction(data, noise, target_of(model.target, process, data, noise, t), found.fraction)
