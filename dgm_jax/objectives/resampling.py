"""The posterior that the importance weighted bound implies."""

import distrax

from .. import checks
from ..distributions import ImportanceResampled
from ..protocol import Array, Key, LatentVariable, Params


@checks.spelled
def importance_resampled(
    model: LatentVariable,
    params: Params,
    x: Array,
    cond: Array | None = None,
    *,
    num_samples: int,
    num_draws: int = 100,
    key: Key | None = None,
) -> distrax.Distribution:
    """q*(z | x) for K = num_samples: one of z_1, ..., z_K ~ q(z | x), chosen with w_k / Σ_j w_j.

    x: [batch, *shape]. The weights are those of `log_weights`. L_K of `iwae` is at most the ELBO
    with q*, which is at most log p(x): samples of q* represent an importance weighted autoencoder
    better than those of q. Returns a distribution of z with the batch shape of x,
    `distributions.ImportanceResampled`, for use inside one traced function. Its log_prob is an
    estimate by num_draws draws with `key`. Cremer, Morris and Duvenaud (2017), "Reinterpreting
    importance-weighted autoencoders".
    """
    checks.noun(model, LatentVariable, "model")
    checks.parameters(params, model.init)
    checks.array(x, "x")
    prior = model.prior(params, cond)

    def log_joint(z):
        return model.likelihood(params, z, cond).log_prob(x) + prior.log_prob(z)

    return ImportanceResampled(
        model.posterior(params, x, cond),
        log_joint,
        num_samples=num_samples,
        num_draws=num_draws,
        key=key,
    )
