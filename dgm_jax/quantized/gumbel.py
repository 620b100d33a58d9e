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

    encoder: g, from x [..., *shape] as real numbers (bits as 0 and 1, grey levels scaled to
        [-1, 1]) to logits [..., *codes, K], or the same with the last axes joined
    likelihood: p(x_i; f_i), the family of one entry, such as `likelihoods.bernoulli()`
    shape: the shape of one x, or its size if it is a vector
    decoder: f, from z to the parameters of the likelihood for each entry of x, in a layout of
        `likelihoods.factorised`. It reads n codes as one vector [..., n K], and a grid as an image
        [..., h, w, K]. It must also take what lies between one-hot vectors, since relaxed draws do
    codes: the number of codes n, or the shape of a grid (h, w)
    num_categories: K, at least 2
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
    """p(z) = K^-n of n one-hot codes z [*codes, K]: the uniform prior of a `categorical_vae`.

    codes: the number of codes n, or the shape of a grid (h, w), n = h w
    num_categories: K, at least 2

    No parameters and no condition. Ramesh et al. (2021), "Zero-shot text-to-image generation",
    section 2.1.
    """
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
    """p(z) and q(z | x) of a `categorical_vae` as Concrete distributions: z = softmax((a + g) / τ).

    a are the logits of a code, and g independent Gumbel noise; z is continuous, on the simplex, and
    its samples have a gradient. The nets, the parameters and p(x | z) are those of the model.

    model: made by `categorical_vae`; one with other latents raises `InputError` when it is used
    temperature: τ > 0, of prior and posterior; z becomes one-hot for τ → 0

    Returns a `LatentVariable`, for `objectives.elbo`, `iwae` or `dreg`; KL(q ‖ p) is estimated by
    samples. The bound is one of the relaxed model's own p(x), not of that of one-hot codes.
    Maddison et al. (2017), "The concrete distribution", equation 7.
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
    is unbiased for every b. Without a baseline its variance is large. The loss is the mean over
    rows.

    model: made by `categorical_vae`
    params: those of the model
    key: draws z
    x: [n, *shape]
    num_samples: samples of z for each row
    beta: β, at least 0
    parts_key: for dropout in the nets, which is off without it
    baseline: b, a number or [n], that must not depend on these samples; `running_mean_loss` and
        `linear_baseline_loss` learn one

    Returns (loss, metrics): neg_elbo, distortion (-E log p(x | z)) and kl, the terms without the
    weight β, means over rows in nats. Cost: one pass of the encoder, num_samples of the decoder.
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
    """-E_q f(z) + β KL(q ‖ p), f(z) = log p(x | z); ∇ by (f(z_k) - mean_{j≠k} f(z_j)) ∇ log q(z_k).

    The negative ELBO of a `categorical_vae` for β = 1, in nats, with the score-function estimate
    from K one-hot samples per row, where the mean of the other samples is the baseline: it is
    unbiased. The KL has a closed form; f and KL are sums over the entries of a row, and the loss is
    the mean over rows.

    model: made by `categorical_vae`
    params: those of the model
    key: draws z
    x: [n, *shape]
    num_samples: K, at least 2
    beta: β, at least 0
    parts_key: for dropout in the nets, which is off without it

    Returns (loss, metrics): neg_elbo, distortion (-E log p(x | z)) and kl, the terms without the
    weight β, means over rows in nats. Cost: one pass of the encoder, K of the decoder. Kool et al.
    (2019), "Buy 4 REINFORCE samples, get a baseline for free!".
    """

    def estimate(q, function):
        return objectives.leave_one_out(q, params, key, function, x, num_samples=num_samples)

    return _by_estimator(model, params, x, beta, estimate, parts_key)


def running_mean_loss(
    model: LatentVariable, *, decay: float = 0.99
) -> tuple[Callable[[Key, Params], State], Callable[..., tuple[Array, tuple[Metrics, State]]]]:
    """-E_q f(z) + β KL(q ‖ p), f(z) = log p(x | z); ∇ E_q f = E_q (f - b) ∇ log q + E_q ∇f.

    The loss of `score_function_loss`, the negative ELBO for β = 1, in nats and averaged over rows,
    with a running mean of f over the training steps as the baseline b. After s steps, b = m / (1 -
    d^s), where each step sets m ← d m + (1 - d) f̄, f̄ the mean of f over its batch. m starts at 0,
    for which the division corrects; in the first step b = 0. As b uses earlier steps only, the
    gradient is unbiased.

    model: made by `categorical_vae`
    decay: d in [0, 1)

    Returns (init_state, loss), since m is a state that training carries from step to step:

        init_state, loss = running_mean_loss(model)
        learning.gradient_descent(model.init, loss, optimizer, init_state=init_state)

    init_state: init_state(key, params) is the first state {"mean", "weight"}, the scalars m and 1 -
        d^s, both 0; it depends on neither argument
    loss: loss(params, key, x, *, state, num_samples=1, beta=1.0, parts_key=None) -> (loss,
        (metrics, state)), with the state after the step. x is [n, *shape]; key draws num_samples of
        z for each row; beta is β ≥ 0; parts_key is for dropout in the nets, off without it. The
        metrics are neg_elbo, distortion (-E f) and kl, without the weight β: means over rows, in
        nats

    Cost of a step: one pass of the encoder, num_samples of the decoder. Mnih and Gregor (2014),
    "Neural variational inference and learning in belief networks", section 2.3.
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
    """∇ by (f(z) - b(x)) ∇ log q(z | x), f(z) = log p(x | z), b(x) = m + w · (x - c), learned.

    The loss is that of `score_function_loss`, -E_q f(z) + β KL(q ‖ p) in nats, averaged over rows.
    A part of f(z) depends on x alone, such as on how many pixels are black, and b removes it; the
    gradient stays unbiased. m and c are running means of f and x over earlier steps, corrected for
    their start at 0. w descends on the squared error (f - b)²: w ← w + rate · E[(x - c) (f - b)] /
    E ‖x - c‖², with means over the batch. Returns the pair (init_state, loss), two functions:
    init_state(key, params) is the first state, all zeros, and loss is one for
    `learning.gradient_descent`, which passes the state from step to step:

        init_state, loss = linear_baseline_loss(model, 784)
        learning.gradient_descent(model.init, loss, optimizer, init_state=init_state)

    `loss(params, key, x, *, state, num_samples=1, beta=1.0, parts_key=None)` -> (loss, (metrics,
    state)): x [n, *shape], num_samples of z for each row, β, and a key for dropout. The metrics are
    neg_elbo, distortion (-E f(z)) and kl, the terms without the weight β. The state is {"mean",
    "weight", "centre", "slope"}: at step t the running means of f and of x before division by the
    second, 1 - decay^t, and w.

    model: made by `categorical_vae`
    shape: that of one x
    muprop: True for the gradient of `muprop_loss`, where b is for f(z) - h(z), h the linear
        approximation of f at the mean of z
    decay: of the running means, in [0, 1)
    rate: of w; stable below 2

    Mnih and Gregor (2014), "Neural variational inference and learning in belief networks", section
    2.3, and Gu et al. (2016), "MuProp", section 4, have a net for b.
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
    """-E_q f(z) + β KL(q ‖ p), f = log p(x | z); ∇ by (f(z) - h(z) - b) ∇ log q(z) + f'(q̄) ∇ q̄.

    q̄ are the probabilities of q(z | x), the mean of z, and h(z) = f(q̄) + f'(q̄) (z - q̄) is the
    linear approximation of f there. The mean of h(z) ∇ log q(z) is f'(q̄) ∇ q̄: what h takes from
    the noisy term the second one adds exactly, so the estimate is unbiased. For β = 1 it is the
    negative ELBO of a `categorical_vae` with one-hot samples, in nats per row, averaged over rows.

    model: made by `categorical_vae`
    params: those of the model
    key: draws z
    x: [n, *shape]
    num_samples: samples of z for each row
    baseline: b, a number or [n], which must not depend on these samples. It is useful because f - h
        has a mean that is not 0 if f is curved
    beta: β, at least 0
    parts_key: for dropout in the nets, which is off without it

    Returns (loss, metrics): neg_elbo, distortion (-E log p(x | z)) and kl, the terms without the
    weight β, means over rows in nats. Cost: one pass of the encoder, num_samples of the decoder,
    and one more of it at q̄ with its gradient. Gu et al. (2016), "MuProp: unbiased backpropagation
    for stochastic neural networks".
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
    """-E_q f(z) + β KL(q ‖ p), f = log p(x | z), q = softmax(a / τ); ∇ by f'(z) ∇ q. Biased.

    z is a one-hot sample of q, and a are the logits of the encoder. The gradient treats z as if it
    were its mean, the probabilities q. The loss is a mean over the rows of x, in nats per example;
    for β = 1 and τ = 1 it is the negative ELBO.

    model: with one-hot codes z and independent categorical q(z | x), such as a `categorical_vae`;
        others raise `InputError`
    params: those of the model
    key: draws z
    x: [n, *shape]
    temperature: τ > 0, of samples, gradient and KL; 1 is q(z | x) itself. A schedule that falls to
        1 ("slope annealing") starts with broad distributions
    num_samples: samples of z for each row
    beta: β, at least 0
    parts_key: for dropout in the nets, which is off without it

    Returns (loss, metrics): neg_elbo, distortion (-E log p(x | z)) and kl, at τ and whatever β.
    Bengio et al. (2013), "Estimating or propagating gradients through stochastic neurons"; Chung et
    al. (2017), "Hierarchical multiscale recurrent neural networks", for the annealed slope.
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
    """-E_g f(z) + β KL(q ‖ p), z = softmax((a + g) / τ), f = log p(x | z): Gumbel-softmax. Biased.

    a are the logits of the encoder and g Gumbel noise, so that the gradient passes through z. The
    KL is that of the categorical q and p, in closed form, in nats. As z is not one-hot, the loss is
    no bound of log p(x); small τ lowers the bias and increases the variance of the gradient. The
    loss is the mean over rows.

    model: made by `categorical_vae`
    params: those of the model
    key: draws g
    x: [n, *shape]
    temperature: τ > 0, a number or a weight that depends on the step (`temperature_schedule`)
    hard: f at the one-hot code argmax(a + g), with the gradient of z (straight-through
        Gumbel-softmax)
    num_samples: samples of z for each row
    beta: β, at least 0
    parts_key: for dropout in the nets, which is off without it

    Returns (loss, metrics): relaxed_distortion (-E f(z)), kl, and relaxed_neg_elbo, their sum
    without the weight β, means over rows in nats; with `hard` they are of one-hot codes and are
    called neg_elbo and distortion. Jang et al. (2017), "Categorical reparameterization with
    Gumbel-softmax".
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
    """τ_t = max(least, e^(-rate s)), s = t rounded down to a multiple of `every`: a schedule.

    Returns the function that maps t, the number of training steps so far, to τ_t. It is a weight
    for `learning.gradient_descent(..., weights=schedules)`, whose loss passes it on as
    `temperature=weights["temperature"]`:

        schedules = {"temperature": temperature_schedule(1e-4)}

    rate: at least 0, per step; least: the final τ, above 0; every: for how many steps τ stays
        constant

    Jang et al. (2017), "Categorical reparameterization with Gumbel-softmax", section 4: rates 1e-5
    and 1e-4, every 500 or 1000 steps.
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

    The exact ELBO of a `categorical_vae`, with its exact gradient, where z is n codes of K values
    each.

    model: a `categorical_vae`
    params: {"prior", "likelihood", "posterior"}
    x: data [*batch, *shape]

    Cost: K^n passes of the decoder for each x. K^n above 65,536, and latents that are not one-hot,
    raise `InputError`.
    """
    q, log_joint = _enumerated(model, params, x)
    log_q = q.log_prob(_column(all_codes_of(q), x, q))
    impossible = log_q == -jnp.inf
    gain = jnp.where(impossible, 0, log_joint - jnp.where(impossible, 0, log_q))
    return (jnp.exp(log_q) * gain).sum(0)


def enumerated_log_prob(model: LatentVariable, params: Params, x: Array) -> Array:
    """log p(x) = log Σ_z p(z) p(x | z) over all K^n codes, [*batch], in nats: the exact likelihood.

    model: a `categorical_vae` of n codes with K values each
    params: {"prior", "likelihood", "posterior"}
    x: data [*batch, *shape]

    Cost: K^n passes of the decoder for each x. K^n above 65,536, and latents that are not one-hot,
    raise `InputError`.
    """
    return jax.nn.logsumexp(_enumerated(model, params, x)[1], 0)


def all_codes_of(q: OneHot) -> np.ndarray:
    """All values of one-hot z, [K^n, *codes, K], for the shape of events of q: `all_codes`.

    q: a distribution of one-hot codes, such as a posterior of `categorical_vae`. More than 65,536
        raise `InputError`.
    """
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
