"""The posterior that the importance weighted bound has in truth."""

import distrax

from .. import checks
from ..distributions import ImportanceResampled
from ..protocol import Array, Key, LatentVariable, Params


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
    """q*(z | x) of K = num_samples: one of z_1, ..., z_K ~ q(z | x), chosen with w_k / Σ_j w_j.

    The weights are those of `log_weights`. L_K of `iwae` is at most the ELBO of q*, which is at
    most log p(x): an importance weighted autoencoder is better seen by samples of q* than of q.
    A distribution of z with the batch shape of x, `distributions.ImportanceResampled`: made and
    used inside one traced function. Its log_prob is an estimate by num_draws, from `key`.
    Cremer, Morris and Duvenaud (2017).
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
