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
    """q*(z | x): one of z_1, ..., z_K ~ q(z | x), chosen with probability w_k / Σ_j w_j.

    w_k = p(x, z_k) / q(z_k | x). It is the posterior that the importance weighted bound L_K = E log
    1/K Σ_k w_k (`iwae`) implies: L_K is at most the ELBO with q*, which is at most log p(x). So
    samples of q* represent an importance weighted autoencoder better than those of q.

    model: a `LatentVariable`, such as `vae.vae` makes; params: its parameters
    x: [batch, *shape]. cond: one condition per row, or one for all
    num_samples: K
    num_draws: how many draws of K - 1 other z its log_prob averages, since the density of q* is an
        expectation over them
    key: of these draws, for log_prob only; None for a fixed key

    Returns a distribution of z with the batch shape of x, `distributions.ImportanceResampled`, for
    use inside one traced function. Its samples are not reparametrised, and its log_prob is below
    log q* in expectation. Cost: a sample is K samples of q and K likelihoods; log_prob takes
    num_draws (K - 1) of each. Cremer, Morris and Duvenaud (2017), "Reinterpreting
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
