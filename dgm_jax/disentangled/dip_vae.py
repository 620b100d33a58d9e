"""The DIP-VAE: the covariance of codes over the data is drawn towards that of the prior, I."""

import jax.numpy as jnp

from .. import checks
from ..objectives import elbo_terms
from ..protocol import Array, Key, LatentVariable, Metrics, Params
from .terms import told

KINDS = ("I", "II")


@checks.spelled
def dip_vae_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    kind: str,
    off_diagonal: float | Array,
    diagonal: float | Array | None = None,
    num_data: int,
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-ELBO + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii - 1)², C a covariance of codes over the batch.

    The penalty draws the covariance of the aggregate posterior towards I, that of the prior.

    model: with one z per row, and a Gaussian posterior with independent entries, such as `vae.vae`;
        another raises `InputError`
    params: those of the model; key: draws z
    x: [batch, *shape], at least two rows; cond: one condition per row, or None
    kind: "I", C = Cov_x(μ(x)) of the means of q(z | x); "II", C = Cov_x(μ(x)) + E_x diag σ(x)², the
        covariance of q(z) itself, with the standard deviations σ(x)
    off_diagonal, diagonal: λ_od and λ_d, numbers, or weights that depend on the step. By default
        λ_d is 10 λ_od for "I" and λ_od for "II", as in the paper
    num_data: N, the number of rows of the data set, used by the metrics only
    parts_key: key of dropout in the distributions; None for no dropout

    The ELBO is a mean over rows, the penalty one number for the batch. Returns (loss, metrics), a
    scalar and a dict of scalars, in nats per example: "penalty", the two weighted sums together;
    "neg_elbo", its terms "distortion", -E log p(x | z), and "kl", and the estimates of the three
    parts of the KL, "mutual_information", "total_correlation" and "dimension_kl". Kumar, Sattigeri
    and Balakrishnan (2018), "Variational inference of disentangled latent concepts from unlabeled
    observations", equations 6 and 7.
    """
    checks.choice(kind, KINDS, "kind")
    off_diagonal = checks.weight(off_diagonal, "off_diagonal")
    if diagonal is None:
        diagonal = 10 * off_diagonal if kind == "I" else off_diagonal
    diagonal = checks.weight(diagonal, "diagonal")
    terms = elbo_terms(model, params, key, x, cond, num_data=num_data, parts_key=parts_key)
    apart, own = dip_penalty(terms.mean, terms.scale if kind == "II" else None)
    penalty = off_diagonal * apart + diagonal * own
    return terms.distortion + terms.kl + penalty, told(terms) | {"penalty": penalty}


def dip_penalty(mean: Array, scale: Array | None = None) -> tuple[Array, Array]:
    """(Σ_{i≠j} C_ij², Σ_i (C_ii - 1)²) for codes with means μ and standard deviations σ [batch, n].

    mean: μ(x) of each row x of a batch, [B, n]
    scale: σ(x), [B, n]. Without it C = Cov_x μ(x), for DIP-VAE-I; with it C = Cov_x μ(x) +
        E_x diag σ(x)², for DIP-VAE-II

    Cov divides by B, and E is the mean over rows. Returns two scalars without weights, both 0 if
    C = I. The squares of these estimates are biased upwards, by about C_ii C_jj / B for i ≠ j and
    twice that for i = j. Cost: O(B n²).
    """
    checks.floating(mean, "mean", (None, None))
    checks.rows_of(mean, "mean")
    centred = mean - mean.mean(0)
    covariance = jnp.dot(centred.T, centred, precision="highest") / len(mean)
    if scale is not None:
        checks.floating(scale, "scale", mean.shape)
        covariance = covariance + jnp.diag(jnp.square(scale).mean(0))
    own = jnp.diagonal(covariance)
    apart = covariance - jnp.diag(own)
    return jnp.square(apart).sum(), jnp.square(own - 1).sum()
