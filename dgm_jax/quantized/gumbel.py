"""A VAE whose code is categories, and the gradients that train it.

The model is p(x, z) = p(z) p(x | z) with z a vector or grid of one-hot codes, and q(z | x) = ∏ of
categories. Its ELBO is E_q log p(x | z) - KL(q ‖ p) with a KL in closed form, log K - H(q) for each
code where the prior is uniform. What is hard is ∇ E_q f(z), f(z) = log p(x | z), since z is drawn:

    loss                     ∇_φ of E_q f(z), φ the parameters of q     bias
    score_function_loss      (f(z) - b) ∇ log q(z)                      none; the most noise
    leave_one_out_loss       ... b the mean of the other samples        none
    muprop_loss              (f(z) - h(z)) ∇ log q(z) + f'(q) ∇ q       none
    relaxed_loss             f at softmax((a + g) / τ), and through it  less, more noise as τ → 0
    relaxed_loss, hard       f at a code, through the relaxed draw      some
    straight_through_loss    f'(z) ∇ q                                  some

Here h(z) = f(q) + f'(q) (z - q) is the linear part of f at the probabilities q. Every loss has the
exact gradient by the parameters of the decoder at the z that it draws. `enumerated_elbo` is the
bound itself, where all codes can be listed, and its gradient is what the others estimate.

All are of one layer of codes; their parts_key is for dropout, which without it is off. Reported
bounds are of hard codes always: the model is a `LatentVariable` over one-hot z, of
`objectives.log_weights` and `metrics.importance_log_prob`.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from .. import checks, objectives
from ..arrays import straight_through
from ..combinators import conditional, latent_variable
from ..distributions import OneHot, Relaxed, StraightThroughOneHot
from ..distributions.relaxed import checked_temperature
from ..likelihoods import Conditional, as_numbers, factorised
from ..objectives.estimators import check_baseline
from ..protocol import (
    Array,
    Density,
    Key,
    LatentVariable,
    Metrics,
    Net,
    Params,
    Shape,
    State,
    again,
    split,
)

MOST_CODES = 65_536  # that are listed


@checks.spelled
def categorical_vae(
    encoder: Net,
    decoder: Net,
    likelihood: Conditional,
    shape: int | Shape,
    *,
    codes: int | Shape,
    num_categories: int,
    prior: Density | None = None,
) -> LatentVariable:
    """p(x, z) = p(z) ∏_i p(x_i; f_i(z)), q(z_j = k | x) = softmax(g_j(x))_k, of one-hot z.

    A VAE whose latents are codes z_j, each one of K = num_categories, written as one-hot vectors: z
    is [..., *codes, K].

    encoder: g, from x [..., *shape] as real numbers (as in `vae.vae`) to logits [..., *codes, K],
        or the same with the last axes joined
    decoder: f, from z to the parameters of the likelihood for each entry of x, in a layout of
        `likelihoods.factorised`. It reads n codes as one vector [..., n K], and a grid as an image
        [..., h, w, K]. It must also take what lies between one-hot vectors, since relaxed draws do
    codes: the number of codes n, or the shape of a grid (h, w)
    prior: a density of z, `uniform_codes(codes, num_categories)` by default

        model = categorical_vae(                                # the 20 x 10 of Jang et al. (2017)
            nets.mlp(784, 200, hidden=()), nets.mlp(200, 784, hidden=()),
            likelihoods.bernoulli(), 784, codes=20, num_categories=10)

    With num_categories=2 the latents are Bernoulli. Train it by a loss of this module, such as
    `relaxed_loss`; samples of q have no gradient. Parameters {"prior", "likelihood", "posterior"}.
    Jang et al. (2017), "Categorical reparameterization with Gumbel-softmax".
    """
    for name, net in (("encoder", encoder), ("decoder", decoder)):
        checks.noun(net, Net, name)
    checks.noun(likelihood, Conditional, "likelihood")
    shape = checks.one_or_more(shape, "shape")
    event = _event(codes, num_categories)
    prior = uniform_codes(codes, num_categories) if prior is None else prior
    checks.noun(prior, Density, "prior")

    def decode(params, z, *, key=None):
        vector = z.reshape(*z.shape[:-2], math.prod(event)) if len(event) == 2 else z
        return decoder.apply(params, vector, key=key)

    def encode(params, x, *, key=None):
        dtype = jnp.result_type(float, *jax.tree.leaves(params))
        return _logits(
            encoder.apply(params, as_numbers(x, shape, likelihood, dtype), key=key), event
        )

    model = latent_variable(
        prior,
        factorised(Net(decoder.init, decode), likelihood, shape, cond_shape=event),
        conditional(
            Net(encoder.init, encode),
            lambda logits: OneHot(logits, event_ndims=len(event)),
            cond_shape=shape,
        ),
    )
    _check_nets(model, shape, likelihood, event)
    return model


def uniform_codes(codes: int | Shape, num_categories: int) -> Density:
    """p(z) = K^-n of one-hot z [*codes, K]. No parameters. Ramesh et al. (2021), section 2.1."""
    event = _event(codes, num_categories)

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        return OneHot(jnp.zeros(event), event_ndims=len(event))

    return Density(lambda key: {}, dist)


def learned_codes(codes: int | Shape, num_categories: int) -> Density:
    """p(z) = ∏_j softmax(a_j)_{k_j}, where k_j is the category of code j: a learned prior of codes.

    The codes are independent, and each has its own K logits a_j; they start at 0, the uniform
    distribution. Parameters a [*codes, K]; events z [*codes, K], one-hot.

    codes: the number of codes n, or the shape of a grid (h, w); num_categories: K, at least 2. No
    conditions. The prior of a `categorical_vae`, as of Jang et al. (2017), "Categorical
    reparameterization with Gumbel-softmax".
    """
    event = _event(codes, num_categories)

    def init(key):
        checks.key(key)
        return jnp.zeros(event)

    def dist(params, cond=None, *, key=None):
        checks.condition(cond, None)
        checks.parameters(params, init)
        return OneHot(params, event_ndims=len(event))

    return Density(init, dist)


def relaxed(model: LatentVariable, temperature: float | Array) -> LatentVariable:
    """The model of `categorical_vae` with prior and posterior relaxed: a continuous z, same nets.

    `objectives.elbo(relaxed(model, 0.5), ...)`, with KL between relaxed densities by samples, is a
    bound of its own p(x), as are `iwae` and `dreg`; but not of the p(x) of hard codes.
    Maddison et al. (2017), equation 7; prior and posterior have one temperature here.
    """
    checks.noun(model, LatentVariable, "model")
    temperature = checked_temperature(temperature)

    def of(part):
        def dist(*args, **options):
            code = part(*args, **options)
            return Relaxed(_codes(code).logits, temperature, event_ndims=len(code.event_shape))

        return dist

    return model._replace(prior=of(model.prior), posterior=of(model.posterior))


# ---------------------------------------------------------------------------------- the losses
@checks.spelled
def score_function_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    *,
    num_samples: int = 1,
    baseline: float | Array = 0.0,
    beta: float | Array = 1.0,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E_q f(z) + β KL(q ‖ p) in nats, f(z) = log p(x | z); ∇ E_q f = E_q (f - b) ∇ log q + E_q ∇f.

    The negative ELBO of a `categorical_vae` for β = 1, with the score-function estimate of its
    gradient (REINFORCE) from one-hot samples z of q(z | x); the KL has a closed form. The estimate
    is unbiased for every b. Without a baseline its variance is large.

    x: [n, *shape]. num_samples: samples of z for each row. beta: β. parts_key: for dropout in the
        nets, which is off without it
    baseline: b, a number or [n], that must not depend on these samples; `running_mean_loss` and
        `linear_baseline_loss` learn one

    Returns (loss, metrics) with neg_elbo, distortion and kl as in `objectives.elbo`, for one-hot z.
    Mnih and Gregor (2014), "Neural variational inference and learning in belief networks".
    """

    return _score_function(model, params, key, x, num_samples, baseline, beta, parts_key)[0]


@checks.spelled
def leave_one_out_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    *,
    num_samples: int = 2,
    beta: float | Array = 1.0,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-ELBO of hard codes by `objectives.leave_one_out`, in nats.

    The baseline of a draw is the mean of the others. x: [n, *shape]; num_samples: 2 or more; beta,
    parts_key: as in `objectives.elbo`. Kool et al. (2019), "Buy 4 REINFORCE samples, get a baseline
    for free!".
    """

    def estimate(q, function):
        return objectives.leave_one_out(q, params, key, function, x, num_samples=num_samples)

    return _by_estimator(model, params, x, beta, estimate, parts_key)


def running_mean_loss(
    model: LatentVariable, *, decay: float = 0.99
) -> tuple[Callable[[Key, Params], State], Callable[..., tuple[Array, tuple[Metrics, State]]]]:
    """(init_state, loss) of `score_function_loss` with the running mean of f(z) as its baseline.

        init_state, loss = running_mean_loss(model)
        learning.gradient_descent(model.init, loss, optimizer, init_state=init_state)

    The mean of all earlier steps, m ← d m + (1 - d) f, is divided by 1 - d^t at step t, so that it
    does not begin at 0.
    """
    checks.noun(model, LatentVariable, "model")
    decay = checks.rate(decay, "decay")

    def loss(params, key, x, *, state, **options):
        baseline = state["mean"] / jnp.maximum(state["weight"], 1e-6)
        value, told = score_function_loss(model, params, key, x, baseline=baseline, **options)
        f = -stop_gradient(told["distortion"])
        mean = decay * state["mean"] + (1 - decay) * f
        return value, (told, {"mean": mean, "weight": decay * state["weight"] + (1 - decay)})

    return lambda key, params: {"mean": jnp.zeros(()), "weight": jnp.zeros(())}, loss


@checks.spelled
def linear_baseline_loss(
    model: LatentVariable,
    shape: int | Shape,
    *,
    muprop: bool = False,
    decay: float = 0.99,
    rate: float = 1.0,
) -> tuple[Callable[[Key, Params], State], Callable[..., tuple[Array, tuple[Metrics, State]]]]:
    """(init_state, loss) of `score_function_loss` with a learned baseline b(x) = m + w · (x - c).

        init_state, loss = linear_baseline_loss(model, 784)
        learning.gradient_descent(model.init, loss, optimizer, init_state=init_state)

    A part of f(z) depends on x alone, for instance on how much ink a picture has, and says nothing
    about z; b removes it. m and c are running means of f and of x as in `running_mean_loss`, and w
    descends on the squared error: a step is w + rate · E[(f - b) (x - c)] / E ‖x - c‖², with means
    over the batch; it is stable for a rate below 2.

    shape: of x. decay: of the running means. muprop: use `muprop_loss` in place of
    `score_function_loss`, whose signal is f(z) - h(z). Mnih and Gregor (2014), section 2.3, and Gu
    et al. (2016), section 4, have a net for b.
    """
    checks.noun(model, LatentVariable, "model")
    shape, muprop = checks.one_or_more(shape, "shape"), checks.flag(muprop, "muprop")
    decay, rate = checks.rate(decay, "decay"), checks.positive(rate, "rate")
    estimate = _muprop if muprop else _score_function

    def init_state(key, params):
        nothing = {"mean": jnp.zeros(()), "weight": jnp.zeros(())}
        return nothing | {"centre": jnp.zeros(shape), "slope": jnp.zeros(shape)}

    def loss(params, key, x, *, state, num_samples=1, beta=1.0, parts_key=None):
        checks.event_shape(x, shape, "x")
        weight = jnp.maximum(state["weight"], 1e-6)
        rows = x.reshape(-1, *shape).astype(state["slope"].dtype)
        off = rows - state["centre"] / weight
        constant = state["mean"] / weight
        baseline = constant + (off * state["slope"]).reshape(len(rows), -1).sum(1)
        given = (num_samples, baseline.reshape(x.shape[: x.ndim - len(shape)]), beta, parts_key)
        (value, told), signal = estimate(model, params, key, x, *given)
        signal = stop_gradient(signal).reshape(-1)
        error = jnp.expand_dims(signal - baseline, range(1, rows.ndim))
        step = rate * (error * off).mean(0) / ((off**2).mean(0).sum() + 1e-6)
        moved = lambda name, new: decay * state[name] + (1 - decay) * new
        started = state["weight"] > 0  # before it f and x have no means to be apart from
        return value, (
            told,
            {
                "mean": moved("mean", signal.mean()),
                "weight": moved("weight", 1.0),
                "centre": moved("centre", rows.mean(0)),
                "slope": state["slope"] + jnp.where(started, step, 0.0),
            },
        )

    return init_state, loss


@checks.spelled
def muprop_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    *,
    num_samples: int = 1,
    baseline: float | Array = 0.0,
    beta: float | Array = 1.0,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-ELBO of hard codes, ∇ by (f(z) - h(z) - b) ∇ log q(z) + f'(q) ∇ q, without bias. In nats.

    x: [n, *shape]; num_samples, beta, parts_key: as in `objectives.elbo`.
    h(z) = f(q) + f'(q) (z - q), linear in z, has the mean f(q) and the gradient f'(q) ∇ q: what it
    takes from the noisy term is put back exactly. One more pass of the decoder, at q. baseline: b,
    as that of `score_function_loss`; f bends, so that f - h is not 0 in the mean.
    Gu et al. (2016), "MuProp: unbiased backpropagation for stochastic neural networks".
    """
    return _muprop(model, params, key, x, num_samples, baseline, beta, parts_key)[0]


@checks.spelled
def straight_through_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    *,
    temperature: float | Array = 1.0,
    num_samples: int = 1,
    beta: float | Array = 1.0,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-ELBO of hard codes z ~ softmax(a / τ), ∇ by f'(z) ∇ softmax(a / τ). Biased.

    A draw counts as its mean. x: [n, *shape]; num_samples, beta, parts_key: as in
    `objectives.elbo`.
    temperature: τ; 1 is q(z | x) as it is. One that falls to 1 anneals the slope 1 / τ: broad codes
        at first, and those of the model in the end. Draws, gradient and KL are of one τ.
    Bengio et al. (2013); Chung et al. (2017), "Hierarchical multiscale recurrent neural networks",
    who anneal the slope.
    """

    temperature = checked_temperature(temperature)

    def draw(q, num):
        return straight_through(q.sample(seed=key, sample_shape=num), q.probs[None])

    return _by_path(model, params, x, draw, num_samples, beta, parts_key, temperature)


@checks.spelled
def relaxed_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    *,
    temperature: float | Array,
    hard: bool = False,
    num_samples: int = 1,
    beta: float | Array = 1.0,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E f(z) + β KL(q ‖ p), z = softmax((a + g) / τ) and KL that of the categories. Biased.

    x: [n, *shape]; num_samples, beta, parts_key: as in `objectives.elbo`.
    The loss of Jang et al. (2017). At a relaxed z it is no bound: the metrics are therefore called
    relaxed_neg_elbo and relaxed_distortion. hard: f is taken at e_argmax(a + g), a code, and the
    gradient still through the relaxed z; then the metrics are those of hard codes.
    temperature: τ, a number or a weight of the step (`temperature_schedule`).
    """
    hard, temperature = checks.flag(hard, "hard"), checked_temperature(temperature)

    def draw(q, num):
        options = {"event_ndims": len(q.event_shape)}
        dist = (StraightThroughOneHot if hard else Relaxed)(q.logits, temperature, **options)
        return dist.sample(seed=key, sample_shape=num)

    loss, told = _by_path(model, params, x, draw, num_samples, beta, parts_key)
    if not hard:
        told = {name if name == "kl" else f"relaxed_{name}": value for name, value in told.items()}
    return loss, told


def temperature_schedule(
    rate: float, *, least: float = 0.5, every: int = 1
) -> Callable[[Array], Array]:
    """τ_t = max(least, e^(-rate t)), held for `every` steps: a weight of `gradient_descent`.

        schedules = {"temperature": temperature_schedule(1e-4)}

    Jang et al. (2017), section 4: rates 1e-5 and 1e-4, every 500 or 1000 steps.
    """
    rate, least = checks.not_negative(rate, "rate"), checks.positive(least, "least")
    every = checks.positive_int(every, "every")
    return lambda step: jnp.maximum(least, jnp.exp(-rate * (step // every * every)))


# -------------------------------------------------------------------------------- what is exact
def all_codes(codes: int | Shape, num_categories: int) -> np.ndarray:
    """All K^n values of n one-hot codes, [K^n, *codes, K] in float32, for exact sums over z.

    codes: the number of codes n, or the shape of a grid, n = h w; num_categories: K, at least 2.
    The last code changes fastest. Raises `InputError` if K^n is above 65,536 (`MOST_CODES`).
    """
    event = _event(codes, num_categories)
    num = math.prod(event[:-1])
    if num * math.log(num_categories) > math.log(MOST_CODES) + 1e-9:
        raise checks.InputError(
            f"codes={codes} of {num_categories} categories are {num_categories}^{num} codes, above "
            f"the {MOST_CODES:,} that are listed; objectives.elbo has the bound by samples."
        )
    states = np.indices((num_categories,) * num).reshape(num, -1).T
    return np.eye(num_categories, dtype=np.float32)[states].reshape(-1, *event)


def enumerated_elbo(model: LatentVariable, params: Params, x: Array) -> Array:
    """Σ_z q(z | x) [log p(x | z) + log p(z) - log q(z | x)] over all codes, [*batch], in nats.

    The exact ELBO of x [*batch, ...], and its exact gradient, where z is n variables with K values
    each: K^n codes, each of which costs a pass of the decoder. `InputError` where there are too
    many (`all_codes`), and for a z that is not of categories.
    """
    q, log_joint = _enumerated(model, params, x)
    log_q = q.log_prob(_column(all_codes_of(q), x, q))
    impossible = log_q == -jnp.inf
    gain = jnp.where(impossible, 0, log_joint - jnp.where(impossible, 0, log_q))
    return (jnp.exp(log_q) * gain).sum(0)


def enumerated_log_prob(model: LatentVariable, params: Params, x: Array) -> Array:
    """log p(x) = log Σ_z p(z) p(x | z) over all codes, [*batch], in nats."""
    return jax.nn.logsumexp(_enumerated(model, params, x)[1], 0)


def all_codes_of(q: OneHot) -> np.ndarray:
    """`all_codes` of the events of q."""
    *codes, num_categories = q.event_shape
    return all_codes(tuple(codes), num_categories)


def _enumerated(model, params, x):
    """q(z | x), and log p(x, z) of all codes, [K^n, *batch]."""
    checks.noun(model, LatentVariable, "model")
    checks.parameters(params, model.init)
    q = _codes(model.posterior(params, x))
    z = _column(all_codes_of(q), x, q)
    return q, model.prior(params).log_prob(z) + model.likelihood(params, z).log_prob(x)


def _column(z, x, q):
    """[K^n, *event] with axes of 1 for the batch of q."""
    return jnp.expand_dims(jnp.asarray(z), range(1, 1 + len(q.batch_shape)))


# ---------------------------------------------------------------------------- parts of the losses
def _parts(model, params, x, parts_key, temperature=None):
    """q(z | x), at a temperature if there is one, KL(q ‖ p) [*batch], and f(z) = log p(x | z)."""
    checks.noun(model, LatentVariable, "model")
    checks.parameters(params, model.init)
    checks.rows_of(x, "x")
    if parts_key is not None:
        checks.key(parts_key, "parts_key")
    posterior_key, prior_key, likelihood_key = split(parts_key, 3)
    q = _codes(model.posterior(params, x, key=posterior_key))
    if temperature is not None:
        q = OneHot(q.logits / temperature, event_ndims=len(q.event_shape))

    def f(z):
        return model.likelihood(params, z, key=again(likelihood_key)).log_prob(x)

    return q, q.kl_divergence(model.prior(params, key=prior_key)), f


def _codes(dist):
    if not isinstance(dist, OneHot):
        raise checks.InputError(
            f"model must be of one-hot codes, as categorical_vae makes it; got "
            f"{dist.name.lstrip('_')}."
        )
    return dist


def _by_estimator(model, params, x, beta, estimate, parts_key):
    """By an estimator of `objectives`, of f(z) under the density q(z | x)."""
    q, kl, f = _parts(model, params, x, parts_key)
    return _loss(estimate(Density(model.init, lambda *_: q), f), kl, beta)


def _score_function(model, params, key, x, num_samples, baseline, beta, parts_key):
    """(loss, metrics), and f(z) [*batch], the mean over samples."""
    signal = []

    def estimate(q, function):
        options = {"num_samples": num_samples, "baseline": baseline}
        signal.append(objectives.score_function(q, params, key, function, x, **options))
        return signal[0]

    return _by_estimator(model, params, x, beta, estimate, parts_key), signal[0]


def _muprop(model, params, key, x, num_samples, baseline, beta, parts_key):
    """(loss, metrics), and f(z) - h(z) [*batch], the mean over samples."""
    num_samples = checks.positive_int(num_samples, "num_samples")
    q, kl, f = _parts(model, params, x, parts_key)
    check_baseline(baseline, q.batch_shape)
    z = stop_gradient(q.sample(seed=key, sample_shape=num_samples))
    log_q, log_p = q.log_prob(z), f(z)
    mean = stop_gradient(q.probs)
    of_mean, slope = stop_gradient(_value_and_slope(f, mean))
    axes = tuple(range(-len(q.event_shape), 0))
    linear = of_mean[None] + (slope[None] * (z - mean[None])).sum(axes)
    through = (slope * q.probs).sum(axes)
    signal = stop_gradient(log_p - linear)
    bonus = stop_gradient(signal - baseline) * (log_q - stop_gradient(log_q))
    value = log_p + bonus + (through - stop_gradient(through))[None]
    return _loss(value, kl, beta), signal.mean(0)


def _by_path(model, params, x, draw, num_samples, beta, parts_key, temperature=None):
    """Through z = draw(q, K), whatever gradient that has."""
    num_samples = checks.positive_int(num_samples, "num_samples")
    q, kl, f = _parts(model, params, x, parts_key, temperature)
    return _loss(f(draw(q, num_samples)), kl, beta)


def _loss(log_likelihood, kl, beta):
    beta = checks.weight(beta, "beta")
    distortion, kl = -log_likelihood.mean(), kl.mean()
    told = {"neg_elbo": distortion + kl, "distortion": distortion, "kl": kl}
    return distortion + beta * kl, told


def _value_and_slope(f, z):
    """f(z) [*batch] and its derivative by z, [*batch, *event]."""
    value, pull = jax.vjp(f, z)
    return value, pull(jnp.ones_like(value))[0]


# --------------------------------------------------------------------- what does not fit together
def _event(codes, num_categories):
    codes = checks.one_or_more(codes, "codes")
    return (*codes, checks.positive_int(num_categories, "num_categories", least=2))


def _logits(f, event):
    """What an encoder says, as logits [..., *event]: the last axes may be joined."""
    for tail in (event, (*event[:-2], event[-2] * event[-1]), (math.prod(event),)):
        if f.shape[max(f.ndim - len(tail), 0) :] == tail:
            return f.reshape(*f.shape[: f.ndim - len(tail)], *event)
    raise checks.InputError(
        f"encoder must give logits [..., {', '.join(map(str, event))}], of each category of each "
        f"code, or with axes joined; got {f.shape}."
    )


def _check_nets(model, shape, likelihood, event):
    """Traces both nets and the prior at one x, so that what does not fit is told here."""
    levels = likelihood.encoding is not None
    x = jax.ShapeDtypeStruct(shape, jnp.int32 if levels else jnp.result_type(float))
    params = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)))
    z = jax.ShapeDtypeStruct(event, jnp.result_type(float))
    _traced(f"encoder does not fit x of shape {shape}", model.posterior, params, x)
    _traced(
        f"decoder does not fit codes {event} and x of shape {shape}", model.likelihood, params, z
    )
    found = _traced("prior is refused", lambda params: model.prior(params), params)
    if found != event:
        raise checks.InputError(
            f"prior must be a density of one-hot codes {event}; got events of shape {found}."
        )


def _traced(what, part, *args):
    """The event_shape of a part; where it cannot be made, why, in one line."""
    found = []
    try:
        jax.eval_shape(lambda *args: found.append(part(*args).event_shape), *args)
    except Exception as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise checks.InputError(f"{what}: {said}") from error
    return tuple(found[0])
