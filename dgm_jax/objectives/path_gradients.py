"""The bounds of `bounds`, with the gradient of the posterior through its samples only.

log q_φ(z_φ | x) depends on φ through z and through q itself. The second part, the score of q, is 0
in expectation (or can be replaced by a term of lower variance) and is only noise: if the posterior
is exact, all of the noise. Here it is left out. The parameters are separated by paths, not by
names, so that prior, decoder and posterior may share weights: z = z(params), and then, for constant
z,

    F(params, z) = log p_params(x, z) - log q(z | x)      with stop_gradient(params) in q.
"""

import functools

import jax
from jax.lax import stop_gradient

from ..protocol import Array, Key, LatentVariable, Metrics, Params, again, split
from .bounds import check_pathwise, checked, log_mean_weight


def stl(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int = 1,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E_data E_q [log p(x, z) - log q(z | x)], with the gradient of q through its samples only.

    The "sticking the landing" gradient. The value is the sampled negative ELBO in nats per example,
    and the gradient that of the ELBO in expectation: it omits the derivative of log q(z | x) at
    constant z, which is 0 in expectation. If q is the exact posterior, the gradient with respect to
    q is 0 for every sample.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    x: [batch, *shape]. cond: one condition per row, or one for all
    key: draws z. parts_key: for dropout in the three distributions; None for none
    num_samples: the number of z for each x, of which the mean is taken

    Returns (loss, metrics): neg_elbo, distortion (-E log p(x | z)) and kl, the sampled KL(q ‖ p),
    in nats. Cost: one pass of the posterior and the prior, num_samples of the likelihood, and log q
    at given z, for which an IAF posterior inverts its map, one latent after the other. A hierarchy
    is evaluated by its separate distributions, not by its `infer`. Raises `ValueError` for a
    posterior whose samples are not reparametrised. Roeder et al. (2017), "Sticking the landing".
    """
    num_samples = checked(model, params, key, x, num_samples, parts_key)
    of_q, *of_p = split(parts_key, 3)
    z = _draw(model, params, key, x, cond, of_q, num_samples)
    log_w, told = _log_weights(model, params, z, (x, cond, of_q, of_p))
    return -log_w.mean(), told


def dreg(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E_data L_K, L_K = E log 1/K Σ_k w_k, by a doubly reparametrised gradient; in nats.

    Here w_k = p(x, z_k) / q(z_k | x) with z_k ~ q(z | x), so that L_K is the bound of `iwae`. Let F
    = log w be a function of params and z in which the parameters of q are held constant, and v_k =
    w_k / Σ_j w_j the normalised weights. Then

        ∇ L_K = E Σ_k [v_k ∂F/∂params + v_k² ∂F/∂z_k ∂z_k/∂params],

    which equals the gradient of `iwae` in expectation. Its signal-to-noise ratio for the posterior
    rises as √K, where that of `iwae` falls. For K = 1 it is the gradient of `stl`.

    model: such as `vae.vae`, with parameters params
    x: [batch, *shape]. cond: one condition per row, or one for all
    key: draws z. parts_key: for dropout in the three distributions; None for none
    num_samples: K

    Returns (loss, {"neg_iwae": loss}), the mean over the batch; it is the value of `iwae` for the
    same keys and K. Cost: the decoder forward once and backward once, as for `iwae`, and log q at
    given z, for which an IAF posterior inverts its map. Reverse mode only. Raises `ValueError` for
    a posterior whose samples are not reparametrised. Tucker et al. (2019), "Doubly reparameterized
    gradient estimators", equation 8.
    """
    num_samples = checked(model, params, key, x, num_samples, parts_key)
    of_q, *of_p = split(parts_key, 3)
    z = _draw(model, params, key, x, cond, of_q, num_samples)
    loss = -_doubly(model, params, z, (x, cond, of_q, of_p)).mean()
    return loss, {"neg_iwae": loss}


def _draw(model, params, key, x, cond, parts_key, num_samples):
    posterior = model.posterior(params, x, cond, key=parts_key)
    check_pathwise(x, posterior)
    return posterior.sample(seed=key, sample_shape=num_samples)


def _log_weights(model, params, z, seen):
    """F(params, z), [K, *batch], and what is told of it."""
    x, cond, posterior_key, (prior_key, likelihood_key) = seen
    held, held_x, held_cond = stop_gradient((params, x, cond))
    posterior = model.posterior(held, held_x, held_cond, key=again(posterior_key))
    log_q = posterior.log_prob(z)
    log_prior = model.prior(params, cond, key=again(prior_key)).log_prob(z)
    likelihood = model.likelihood(params, z, cond, key=again(likelihood_key))
    log_likelihood = likelihood.log_prob(x)
    log_w = log_likelihood + log_prior - log_q
    distortion, kl = -log_likelihood.mean(), (log_q - log_prior).mean()
    return log_w, {"neg_elbo": -log_w.mean(), "distortion": distortion, "kl": kl}


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _doubly(model, params, z, seen):
    """log 1/K Σ_k w_k, [*batch]."""
    return log_mean_weight(_log_weights(model, params, z, seen)[0])


def _doubly_forward(model, params, z, seen):
    log_w, pull, _ = jax.vjp(functools.partial(_log_weights, model), params, z, seen, has_aux=True)
    return log_mean_weight(log_w), (jax.nn.softmax(log_w, axis=0), pull)


def _doubly_backward(model, kept, cotangent):
    """v_k reaches F once; what comes of it at z_k is multiplied by v_k again."""
    weights, pull = kept
    of_params, of_z, of_seen = pull(weights * cotangent[None])

    def again_by_weight(of_z):
        return of_z * weights.reshape(*weights.shape, *[1] * (of_z.ndim - weights.ndim))

    return of_params, jax.tree.map(again_by_weight, of_z), of_seen


_doubly.defvjp(_doubly_forward, _doubly_backward)
