"""Adversarial variational Bayes: a VAE whose q(z | x) can be sampled but has no known density.

z = f_φ(x, ε) with noise ε ~ N(0, I) can have any distribution given x. The term of the ELBO that
needs the density of q, KL(q ‖ p) = E_q [log q(z | x) - log p(z)], is estimated by a critic T(x, z)
that discriminates pairs (x, z) with z ~ q(z | x) from pairs with z ~ p(z): its optimum is
T* = log q(z | x) - log p(z).
Mescheder, Nowozin and Geiger (2017), "Adversarial variational Bayes".

The two players of `learning.alternate` are `avb_loss`, for the parameters {"model"}, and
`avb_critic_loss`, for {"critic"}. With num_moments both use *adaptive contrast* (section 4): the
critic compares q(z | x) not with the prior, which is far from q for most x, but with the Gaussian
r(z | x) of the same mean and covariance, estimated from that many samples. Then

    log q - log p = [log q - log r] + [log r - log p],   of which only the first is learned.

The covariance is a full one. With variances alone q can put its samples on a line, where every
entry of z has a large variance and so r a large entropy, at a cost that no critic can measure.

With a T that is not optimal, E [log p(x | z)] - E T is not a bound of log p(x). Evaluate the model
by `metrics.annealed_log_prob`, which needs no q, or by importance sampling from
`gaussian_proposal`.
"""

import math

import distrax
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jax.scipy.linalg import solve_triangular

from .. import checks
from ..combinators import latent_variable
from ..distributions import standard_normal
from ..distributions.divergence import exact
from ..distributions.drawn import Drawn
from ..likelihoods import Conditional, factorised
from ..nets import mlp
from ..objectives import density_ratio_loss
from ..protocol import Array, Density, Key, LatentVariable, Metrics, Net, Params, Shape

SMALLEST = 1e-4  # added to the variances of r(z | x), so that its covariance can be inverted


@checks.spelled
def avb(
    inference: Net,
    decoder: Net,
    likelihood: Conditional,
    shape: int | Shape,
    *,
    num_latents: int,
    num_noise: int,
    prior: Density | None = None,
) -> LatentVariable:
    """p(x, z) = p(z) ∏_i p(x_i; f_i(z)), q(z | x) the law of z = g(x, ε), ε ~ N(0, I): implicit q.

    Adversarial variational Bayes: a VAE whose posterior may have any form, since g may be any net.
    It can be sampled but not scored: its `log_prob` raises `InputError`. Train it by `avb_loss` and
    `avb_critic_loss`; evaluate it with `gaussian_proposal` or `metrics.annealed_log_prob`.

    inference: g, from x [..., *shape] as real numbers and ε [..., num_noise], whose batch axes
        broadcast, to z [..., num_latents]: `implicit_net`, or a `nets.mlp` with two inputs
    decoder: f, from z to the parameters of the likelihood for each entry of x, in a layout of
        `likelihoods.factorised`
    likelihood: p(x_i; f_i), the family of one entry, such as `likelihoods.bernoulli()`
    shape: the shape of one x, or its size if it is a vector
    num_latents, num_noise: the sizes of z and ε
    prior: p(z), `standard_normal(num_latents)` by default

    Parameters {"prior", "likelihood", "posterior"}. A net whose output has another shape raises
    `InputError`. Mescheder, Nowozin and Geiger (2017), "Adversarial variational Bayes".
    """
    checks.noun(inference, Net, "inference")
    checks.noun(decoder, Net, "decoder")
    checks.noun(likelihood, Conditional, "likelihood")
    shape = checks.one_or_more(shape, "shape")
    num_latents = checks.positive_int(num_latents, "num_latents")
    num_noise = checks.positive_int(num_noise, "num_noise")
    prior = standard_normal(num_latents) if prior is None else prior
    checks.noun(prior, Density, "prior")
    _check_inference(inference, shape, num_latents, num_noise)

    def posterior(params, cond=None, *, key=None):
        checks.event_shape(cond, shape, "x")
        dtype = jnp.result_type(float, *jax.tree.leaves(params))
        return Implicit(inference, params, jnp.asarray(cond, dtype), len(shape), num_noise)

    return latent_variable(
        prior,
        factorised(decoder, likelihood, shape, cond_shape=(num_latents,)),
        Density(inference.init, posterior, cond_shape=shape),
    )


@checks.spelled
def implicit_net(
    in_dim: int,
    num_latents: int,
    *,
    num_noise: int,
    num_basis: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    noise_hidden: tuple[int, ...] = (64,),
) -> Net:
    """z = b(x) + Σ_k a_k(x) ⊙ v_k(ε) / √K: K random functions v_k of noise ε, weighted by x.

    A net for `avb`: apply(params, x, ε) -> z [..., num_latents] is a sample of an implicit
    posterior q(z | x) for ε ~ N(0, I). One MLP computes b and a_k from x [..., in_dim], another v_k
    from ε [..., num_noise]; all have num_latents entries. So many samples for one x cost one pass
    of the first net, and moments of q(z | x) for a whole batch need few passes of the second, whose
    ε can be the same for all x.

    in_dim: the size of x, a vector
    num_latents, num_noise: the sizes of z and ε
    num_basis: K
    hidden, noise_hidden: the widths of the hidden layers of the first and of the second MLP

    Mescheder, Nowozin and Geiger (2017), "Adversarial variational Bayes", supplement, with v_k that
    may depend on one another.
    """
    dim = checks.positive_int(in_dim, "in_dim")
    num = checks.positive_int(num_latents, "num_latents")
    basis = checks.positive_int(num_basis, "num_basis")
    of_x = mlp(dim, (basis + 1) * num, hidden=hidden)
    of_noise = mlp(
        checks.positive_int(num_noise, "num_noise"),
        basis * num,
        hidden=checks.widths(noise_hidden, "noise_hidden"),
    )

    def init(key):
        x_key, noise_key = jax.random.split(key)
        return {"x": of_x.init(x_key), "noise": of_noise.init(noise_key)}

    def apply(params, x, noise, key=None):
        f = of_x.apply(params["x"], x).reshape(*x.shape[:-1], basis + 1, num)
        v = of_noise.apply(params["noise"], noise).reshape(*noise.shape[:-1], basis, num)
        return f[..., 0, :] + (f[..., 1:, :] * v).sum(-2) / math.sqrt(basis)

    return Net(init, apply)


@exact
class Implicit(Drawn):
    """The law of z = g(x, ε), ε ~ N(0, I), for each x: the posterior of an `avb`.

    net, params: g(x, ε), and its parameters
    x: [*batch, *shape], with event_ndims axes of one x
    num_noise: the size of ε

    It has samples, with a gradient, and moments that are estimated from samples. Its `log_prob` is
    not known and raises `InputError`.
    """

    def __init__(self, net: Net, params: Params, x: Array, event_ndims: int, num_noise: int):
        super().__init__()
        self._net, self._params, self._x, self._num_noise = net, params, x, num_noise
        self._batch = x.shape[: x.ndim - event_ndims]

    def moments(self, key: Key, num_draws: int) -> tuple[Array, Array]:
        """Mean [*batch, n] and Cholesky factor of the covariance [*batch, n, n], of num_draws ε.

        The same samples of ε are used for all x. To the diagonal of the covariance 1e-4 is added,
        or 1e-4 of the mean variance if that is above 1.
        """
        shape = (num_draws, *[1] * len(self._batch), self._num_noise)
        z = self._net.apply(self._params, self._x[None], jax.random.normal(key, shape))
        mean = z.mean(0)
        covariance = jnp.einsum("k...i,k...j->...ij", z - mean, z - mean) / (num_draws - 1)
        # relative where z is large: in float32 an absolute one would be lost beside the variances
        variance = jnp.trace(covariance, axis1=-2, axis2=-1)[..., None, None] / z.shape[-1]
        least = SMALLEST * jnp.maximum(variance, 1)
        return mean, jnp.linalg.cholesky(covariance + least * jnp.eye(z.shape[-1]))

    def _sample_n(self, key, n):
        noise = jax.random.normal(key, (n, *self._batch, self._num_noise), self._x.dtype)
        return self._net.apply(self._params, self._x[None], noise)

    def log_prob(self, value: Array) -> Array:
        raise checks.InputError(
            "log_prob of an implicit q(z | x) is not known. Judge the model by "
            "metrics.annealed_log_prob, or draw from gans.gaussian_proposal(model)."
        )

    @property
    def batch_shape(self) -> Shape:
        return self._batch

    @property
    def event_shape(self) -> Shape:
        draw = jax.eval_shape(lambda: self._sample_n(jax.random.key(0), 1))
        return draw.shape[1 + len(self._batch) :]


# --------------------------------------------------------------------------------- the two players
def avb_loss(
    model: LatentVariable,
    critic: Net,
    params: Params,
    key: Key,
    x: Array,
    *,
    num_moments: int = 0,
) -> tuple[Array, Metrics]:
    """E_x E_q [T(x, z) + log r(z | x) - log p(z) - log p(x | z)], in nats: the loss of an `avb`.

    T is a critic that estimates log q(z | x) - log r(z | x); if it is optimal, this is the negative
    ELBO, and otherwise no bound. r is a Gaussian with the mean and the covariance of q(z | x)
    ("adaptive contrast"), or with num_moments=0 the prior, so that the terms in r and p cancel. The
    gradient for the parameters of q passes through z only, since E ∇T* = 0 (proposition 2).

    model: an `avb`
    critic: T, apply(params, x, z) -> [batch, 1]; with num_moments it is given L⁻¹(z - μ), with the
        mean μ and the covariance L Lᵀ of r, instead of z
    params: {"model", "critic"}; it is the loss of "model" alone, as a player of
        `learning.alternate`
    key: draws z, and the samples for r
    x: data [batch, *shape]
    num_moments: the number of samples from which r is computed, without gradient; more than
        num_latents, else `InputError`, and better ten times as many. 0 is r = p

    Returns (loss, {"distortion", "ratio_kl"}), means over the batch in nats: -E log p(x | z), and
    the estimate of E KL(q(z | x) ‖ p(z)), whose sum is the loss. Mescheder, Nowozin and Geiger
    (2017), "Adversarial variational Bayes", section 4.
    """
    num_moments = _checked(model, critic, params, key, x, num_moments)
    posterior = model.posterior(params["model"], x)
    z, seen, log_r = _drawn(model, params, posterior, key, num_moments)
    ratio = _values(critic, params, x, seen)
    if num_moments:
        ratio = ratio + log_r - model.prior(params["model"]).log_prob(z)
    distortion = -model.likelihood(params["model"], z).log_prob(x).mean()
    told = {"distortion": distortion, "ratio_kl": ratio.mean()}
    return distortion + ratio.mean(), told


def avb_critic_loss(
    model: LatentVariable,
    critic: Net,
    params: Params,
    key: Key,
    x: Array,
    *,
    num_moments: int = 0,
) -> tuple[Array, Metrics]:
    """-E log σ(T(x, z)) - E log σ(-T(x, z')), z ~ q(z | x), z' ~ p(z): the critic's loss in `avb`.

    σ is the logistic function. The optimum is T* = log q(z | x) - log p(z), which `avb_loss` needs.
    With num_moments T sees L⁻¹(z - μ) instead of z, with the mean μ and the covariance L Lᵀ of q(z
    | x), and z' ~ N(0, I) ("adaptive contrast"); then T* = log q(z | x) - log N(z; μ, L Lᵀ).

    model: an `avb`, which gets no gradient here
    critic: T, apply(params, x, z) -> logits [batch, 1]
    params: {"model", "critic"}; it is the loss of "critic" alone, as a player of
        `learning.alternate`
    key: draws z and z'
    x: data [batch, *shape]
    num_moments: the number of samples of q(z | x) from which μ and L are computed; more than
        num_latents, else `InputError`. 0 for T of z itself. The same as in `avb_loss`

    Returns (loss, {"accuracy", "ratio_kl"}), means over the batch: "accuracy" is the fraction of z
    and z' on the right side of T = 0, and "ratio_kl" E_q T, the estimate of KL(q ‖ p), or of KL(q ‖
    N(μ, L Lᵀ)) with num_moments, in nats. Mescheder, Nowozin and Geiger (2017), "Adversarial
    variational Bayes", equation 3.
    """
    num_moments = _checked(model, critic, params, key, x, num_moments)
    q_key, p_key = jax.random.split(key)
    held = stop_gradient(params["model"])
    _, seen, _ = _drawn(model, {"model": held}, model.posterior(held, x), q_key, num_moments)
    seen = stop_gradient(seen)
    if num_moments:
        other = jax.random.normal(p_key, seen.shape, seen.dtype)
    else:
        other = model.prior(held).sample(seed=p_key, sample_shape=(len(x),))
    return density_ratio_loss(_values(critic, params, x, seen), _values(critic, params, x, other))


def gaussian_proposal(
    model: LatentVariable, *, num_moments: int = 200, widen: float = 1.2
) -> LatentVariable:
    """q(z | x) = N(μ(x), w² Σ(x)), with mean μ and covariance Σ of the posterior of an `avb`.

    The model with a posterior that has a density, for `metrics.importance_log_prob`, and as the
    start of `metrics.annealed_log_prob`. Prior and likelihood stay the same.

    model: an `avb`
    num_moments: the number of samples, drawn with a fixed key, from which μ and Σ are estimated;
        more than num_latents, else `InputError`
    widen: w. Above 1 the tails are wider than those of the posterior, so that importance weights
        p(x, z) / q(z | x) vary less

    Mescheder, Nowozin and Geiger (2017), "Adversarial variational Bayes", section 4, with variances
    alone.
    """
    checks.noun(model, LatentVariable, "model")
    num_moments = checks.positive_int(num_moments, "num_moments", least=2)
    widen = checks.positive(widen, "widen")

    def posterior(params, x, cond=None, *, key=None):
        found = model.posterior(params, x, cond)
        found = checks.instance(found, Implicit, "the posterior of model")
        _enough(num_moments, found)
        mean, factor = found.moments(jax.random.key(0), num_moments)
        return distrax.MultivariateNormalTri(mean, widen * factor)

    return model._replace(posterior=posterior)


def _drawn(model, params, posterior, key, num_moments):
    """z ~ q(z | x), what the critic sees of it, and log r(z | x)."""
    draw_key, moments_key = jax.random.split(key)
    z = posterior.sample(seed=draw_key)
    if not num_moments:
        return z, z, None
    _enough(num_moments, posterior)
    mean, factor = stop_gradient(posterior.moments(moments_key, num_moments))
    seen = solve_triangular(factor, (z - mean)[..., None], lower=True)[..., 0]
    return z, seen, distrax.MultivariateNormalTri(mean, factor).log_prob(z)


def _enough(num_moments, posterior):
    """A covariance of no more samples than numbers in z is singular."""
    (num,) = posterior.event_shape
    if num_moments <= num:
        raise checks.InputError(
            f"num_moments must exceed the {num} numbers of z, for a covariance that can be "
            f"inverted; got {num_moments}. Ten times as many give a good one."
        )


def _values(critic, params, x, z):
    values = critic.apply(params["critic"], jnp.asarray(x, z.dtype), z)
    checks.floating(values, "the value of critic", (len(z), 1))
    return values[:, 0]


# ------------------------------------------------------ what does not fit, before it is compiled
def _checked(model, critic, params, key, x, num_moments):
    checks.noun(model, LatentVariable, "model")
    checks.noun(critic, Net, "critic")
    checks.joint_parameters(params, {"model": model.init, "critic": critic.init})
    checks.key(key)
    checks.rows_of(x, "x")
    return checks.positive_int(num_moments, "num_moments", least=0)


def _check_inference(inference, shape, num_latents, num_noise):
    def draw(key):
        init_key, noise_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (3, num_noise))
        return inference.apply(inference.init(init_key), jnp.zeros((1, *shape)), noise)

    try:
        got = jax.eval_shape(draw, jax.eval_shape(lambda: jax.random.key(0))).shape
    except Exception as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise checks.InputError(
            f"inference does not take x of shape {shape} and num_noise={num_noise} numbers: {said}"
        ) from error
    if got != (3, num_latents):
        raise checks.InputError(
            f"inference must give num_latents={num_latents} numbers, [..., {num_latents}]; for "
            f"x [1, ...] and noise [3, {num_noise}] it gave {got}."
        )
