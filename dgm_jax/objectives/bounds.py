"""Bounds of log p(x) of a latent variable model, from samples of its posterior.

`infer` draws z and scores it. `elbo` and `iwae` are losses for gradient descent; `path_gradients`
has the same bounds with gradients of lower variance.
"""

import math

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..distributions import divergence_at, reparametrised
from ..protocol import Array, Inferred, Key, LatentVariable, Metrics, Params, split

PER = ("entry", "group")


def infer(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int = 1,
    parts_key: Key | None = None,
) -> Inferred:
    """z_k ~ q(z | x), k = 1..K, with log p(x | z_k), log p(z_k), log q(z_k | x) and KL(q ‖ p).

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    x: [*batch, *shape]
    num_samples: K, at least 1; otherwise `ValueError`
    key: draws z. Gradients pass through z if samples of the posterior are reparametrised
    parts_key: the key that prior, likelihood and posterior get, for dropout in training; None for
        none
    cond: one condition per x, or one for all. The likelihood gets it together with z
        [K, *batch, ...], and the batch axes broadcast

    Returns `Inferred`, in nats: z [K, *batch, ...], the three log-densities [K, *batch], and the
    dictionary `kl`, {"z": KL(q ‖ p)} for a model with one group of latents. That KL is the first
    that exists of: a closed form for each entry of z, [K, *batch, *entries], if entries are
    independent under q and p, such as for two diagonal Gaussians; a closed form for all of z,
    [K, *batch]; log q - log p at the samples, [K, *batch].

    Cost: one pass of the posterior and of the prior, K of the likelihood. Kingma and Welling
    (2014), "Auto-encoding variational Bayes".
    """
    return _inferred(model, params, key, x, cond, num_samples, parts_key)


def log_weights(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int = 1,
    parts_key: Key | None = None,
) -> Array:
    """log w_k = log p(x | z_k) + log p(z_k) - log q(z_k | x) with z_k ~ q(z | x), [K, *batch].

    In nats. The mean over k estimates the ELBO (Kingma and Welling, 2014), and log 1/K Σ_k w_k the
    tighter bound of Burda et al. (2016, equation 8), since E w_k = p(x).

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    key: draws z
    x: [*batch, *shape]
    num_samples: K, at least 1
    cond: one condition per x, or one for all
    parts_key: for dropout in the three distributions; None for none

    Cost: one pass of the posterior, K of the likelihood.
    """
    found = infer(model, params, key, x, cond, num_samples=num_samples, parts_key=parts_key)
    return _weights(found)


@checks.spelled
def elbo(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int = 1,
    beta: float | Array = 1.0,
    free_bits: float | Array = 0.0,
    per: str = "entry",
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E_data [E_q log p(x | z) - β KL(q ‖ p)], in nats per example, q = q(z | x), p = p(z).

    The loss is the mean over the batch; log p(x | z) is a sum over the entries of x, and the KL
    over those of z.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    x: [batch, *shape]. key: draws z. cond: one condition per row, or one for all
    num_samples: of z for each x; their mean is taken
    beta: β. With β = 1 and no free bits it is the negative ELBO of Kingma and Welling (2014); for
        other β see Higgins et al. (2017). KL(q ‖ p) is in closed form where there is one, or else
        sampled
    free_bits: λ in nats. KL = Σ_j max(λ, mean over the batch of KL_j), so that a part j with less
        than λ has gradient 0. Kingma et al. (2016), eq. 15. Under `jax.pmap` the mean is that of
        one device
    per: what a part is: an "entry" of z, or a "group", which is a layer of a hierarchy, or all of z
        in other models. "entry" with λ > 0 needs a closed form of the KL of each entry
    parts_key: for dropout in the distributions, which is off without it

    β and λ may be traced numbers, such as weights of the step:

        def loss(params, key, x, weights):
            return objectives.elbo(model, params, key, x, beta=weights["beta"])

        schedules = {"beta": optax.linear_schedule(0.0, 1.0, 1000)}
        learning.gradient_descent(model.init, loss, optimizer, weights=schedules)

    Returns (loss, metrics). The metrics are means over the batch in nats, which do not depend on β
    and λ: neg_elbo, distortion (-E log p(x | z)), kl, and kl/name for each group if there are
    several; neg_elbo is distortion + kl. Raises `ValueError` for a posterior whose samples are not
    reparametrised; for these use `objectives.leave_one_out`.
    """
    checks.choice(per, PER, "per")
    beta, free_bits = checks.weight(beta, "beta"), checks.weight(free_bits, "free_bits")
    found = _inferred(model, params, key, x, cond, num_samples, parts_key, pathwise=True)
    sample_ndims = found.log_likelihood.ndim
    kl = {name: _by_part(kl, sample_ndims, per, free_bits) for name, kl in found.kl.items()}
    distortion = -found.log_likelihood.mean()
    loss = distortion + beta * sum(_floored(parts, free_bits).sum() for parts in kl.values())
    return loss, _told(distortion, {name: parts.sum() for name, parts in kl.items()})


def iwae(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E_data L_K, L_K = E log 1/K Σ_k w_k with w_k = p(x, z_k) / q(z_k | x), z_k ~ q(z | x).

    The importance weighted bound, in nats per example.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    x: [batch, *shape]. key: draws z. cond: one condition per row, or one for all
    num_samples: K. L_1 is the ELBO; L_K rises with K to log p(x), from which it differs by about
        Var(w) / (2 K p(x)²). The signal-to-noise ratio of the gradient of q falls as 1/√K
        (Rainforth et al., 2018); `dreg` avoids this for the same bound
    parts_key: for dropout in the three distributions; None for none

    Returns (loss, {"neg_iwae": loss}), the mean over the batch. Cost: one pass of the posterior, K
    of the likelihood. Raises `ValueError` for a posterior whose samples are not reparametrised.
    Burda et al. (2016), "Importance weighted autoencoders", equation 8.
    """
    found = _inferred(model, params, key, x, cond, num_samples, parts_key, pathwise=True)
    loss = -log_mean_weight(_weights(found)).mean()
    return loss, {"neg_iwae": loss}


# ------------------------------------------------------------------- what other bounds need too
def checked(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    num_samples: int,
    parts_key: Key | None,
) -> int:
    """The number of samples, after checking all arguments."""
    checks.noun(model, LatentVariable, "model")
    checks.parameters(params, model.init)
    checks.key(key)
    if parts_key is not None:
        checks.key(parts_key, "parts_key")
    checks.array(x, "x")
    return checks.positive_int(num_samples, "num_samples")


def check_pathwise(x: Array, posterior: distrax.Distribution) -> None:
    """Refuses an empty x, and posteriors whose samples are not reparametrised."""
    checks.rows_of(x, "x")
    if not reparametrised(posterior):
        raise checks.InputError(
            "model must have a posterior whose samples are reparametrised, for a gradient through "
            f"them; those of {posterior.name.lstrip('_')} are not. objectives.leave_one_out has "
            "gradients without, objectives.log_weights the bound."
        )


def log_mean_weight(log_w: Array) -> Array:
    """log 1/K Σ_k w_k of log w_k [K, *batch], by log-sum-exp."""
    return jax.nn.logsumexp(log_w, axis=0) - math.log(len(log_w))


# ----------------------------------------------------------------------------------- all of infer
def _inferred(model, params, key, x, cond, num_samples, parts_key, *, pathwise=False):
    num_samples = checked(model, params, key, x, num_samples, parts_key)
    if model.infer is not None:
        if pathwise:
            check_pathwise(x, model.posterior(params, x, cond))
        return model.infer(params, key, x, cond, num_samples=num_samples, parts_key=parts_key)
    posterior_key, prior_key, likelihood_key = split(parts_key, 3)
    posterior = model.posterior(params, x, cond, key=posterior_key)
    if pathwise:
        check_pathwise(x, posterior)
    return scored(model, params, posterior, key, x, cond, num_samples, prior_key, likelihood_key)


def scored(
    model: LatentVariable,
    params: Params,
    posterior: distrax.Distribution,
    key: Key,
    x: Array,
    cond: Array | None,
    num_samples: int,
    prior_key: Key | None,
    likelihood_key: Key | None,
) -> Inferred:
    """`Inferred` of num_samples samples of the given posterior, which is that of the model at x.

    prior_key, likelihood_key: the keys of the distributions.
    """
    prior = model.prior(params, cond, key=prior_key)
    z, log_q = posterior.sample_and_log_prob(seed=key, sample_shape=num_samples)
    log_prior = prior.log_prob(z)
    log_likelihood = model.likelihood(params, z, cond, key=likelihood_key).log_prob(x)
    kl = divergence_at(posterior, prior, log_q - log_prior)
    return Inferred(z, log_likelihood, log_prior, log_q, {"z": kl})


def _weights(found):
    return found.log_likelihood + found.log_prior - found.log_posterior


# ------------------------------------------------------------------------------ parts of the ELBO
def _by_part(kl, sample_ndims, per, free_bits):
    """KL_j of each part, a mean over samples and batch: [*entries], or () for the group."""
    if per == "entry" and kl.ndim == sample_ndims and not _is_zero(free_bits):
        raise checks.InputError(
            "per='entry' needs KL(q ‖ p) of each entry, in closed form for independent entries of "
            "prior and posterior; here it is one number for all of z. Give per='group'."
        )
    each = kl.mean(range(sample_ndims))
    return each.sum() if per == "group" else each


def _is_zero(value):
    return isinstance(value, float) and value == 0


def _floored(kl, free_bits):
    """max(λ, KL); a sampled KL may be negative, which is no reason for a floor where λ is 0."""
    return jnp.where((free_bits > 0) & (kl < free_bits), free_bits, kl)


def _told(distortion, kl):
    total = sum(kl.values())
    by_group = {f"kl/{name}": value for name, value in kl.items()} if len(kl) > 1 else {}
    return {"neg_elbo": distortion + total, "distortion": distortion, "kl": total, **by_group}
