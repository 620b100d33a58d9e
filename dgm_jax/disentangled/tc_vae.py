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

    model, cond, parts_key: those of `beta_vae_loss`, and so are the metrics
    x: [batch, *shape], at least two rows
    alpha, beta, gamma: the weights, numbers, or weights that depend on the step. With 1 for all it
        is exactly the negative ELBO; other weights add the noise of the estimates
    num_data: N, the number of rows of the data set
    estimate: how q(z) is estimated from a batch: "stratified" (unbiased for q(z)), "plain" or
        "weighted" (`objectives.elbo_terms`)

    Returns (loss, metrics), in nats per example. Cost: one pass of the model, and batch² Gaussians.
    Chen et al. (2018), "Isolating sources of disentanglement in VAEs", equation 4.
    """
    alpha, beta = checks.weight(alpha, "alpha"), checks.weight(beta, "beta")
    gamma = checks.weight(gamma, "gamma")
    terms = elbo_terms(
        model, params, key, x, cond, num_data=num_data, estimate=estimate, parts_key=parts_key
    )
    more = (alpha - gamma) * terms.mutual_information + (beta - gamma) * terms.total_correlation
    return terms.distortion + gamma * terms.kl + more, told(terms)
