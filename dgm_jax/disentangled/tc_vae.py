"""The β-TCVAE: separate weights for the three parts of the KL."""

from .. import checks
from ..objectives import elbo_terms
from ..protocol import Array, Key, LatentVariable, Metrics, Params
from .terms import told


@checks.spelled
def tc_vae_loss(
    model: LatentVariable,
    params: Params,
    key: Key,
    x: Array,
    cond: Array | None = None,
    *,
    beta: float | Array,
    alpha: float | Array = 1.0,
    gamma: float | Array = 1.0,
    num_data: int,
    estimate: str = "stratified",
    parts_key: Key | None = None,
) -> tuple[Array, Metrics]:
    """-E log p(x | z) + α I(n; z) + β KL(q(z) ‖ ∏_j q(z_j)) + γ KL(∏_j q(z_j) ‖ p(z)), in nats.

    The KL of the ELBO in three parts, each with a weight: the mutual information of a row n and its
    code z, the total correlation of the entries of z, and the divergence of each entry from its
    prior. q(z) = 1/N Σ_n q(z | x_n) is the aggregate posterior. With β > 1 = α = γ only the
    dependence of the entries is penalised, not the information that codes have about the data.

    model: with one z per row, and a Gaussian posterior with independent entries, such as `vae.vae`;
        another raises `InputError`
    params: those of the model; key: draws z
    x: [batch, *shape], at least two rows; cond: one condition per row, or None
    alpha, beta, gamma: α, β and γ, numbers, or weights that depend on the step. With 1 for all it
        is exactly the negative ELBO; other weights add the noise of the estimates
    num_data: N, the number of rows of the data set
    estimate: how q(z_n) is estimated from a batch of B rows: "stratified", 1/N q(z_n | x_n) +
        (N - 1)/N · mean over m ≠ n of q(z_n | x_m), which is unbiased; "plain", the mean over all
        m; "weighted", the plain one divided by N
    parts_key: key of dropout in the distributions; None for no dropout

    Returns (loss, metrics), a scalar and a dict of scalars, in nats per example: "neg_elbo";
    "distortion", the first term; "kl"; and its parts without weights, "mutual_information",
    "total_correlation" and "dimension_kl". Cost: one pass of the model, and batch² Gaussians. Chen
    et al. (2018), "Isolating sources of disentanglement in VAEs", equation 4.
    """
    alpha, beta = checks.weight(alpha, "alpha"), checks.weight(beta, "beta")
    gamma = checks.weight(gamma, "gamma")
    terms = elbo_terms(
        model, params, key, x, cond, num_data=num_data, estimate=estimate, parts_key=parts_key
    )
    more = (alpha - gamma) * terms.mutual_information + (beta - gamma) * terms.total_correlation
    return terms.distortion + gamma * terms.kl + more, told(terms)
