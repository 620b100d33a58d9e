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

    x: [batch, *shape]. alpha, beta, gamma: the weights, numbers or weights of the step. With β > 1
    = α = γ only the total correlation of the entries of z is penalised, not the information that
    codes have about the data. The three parts sum to the KL in closed form, so that α = β = γ = 1
    is exactly the negative ELBO; other weights add the noise of the estimates. num_data: N, the
    rows of the data set. estimate: of q(z), as in `elbo_terms`. parts_key and metrics as in
    `beta_vae_loss`. Chen et al. (2018), "Isolating sources of disentanglement in VAEs", equation 4.
    """
    alpha, beta = checks.weight(alpha, "alpha"), checks.weight(beta, "beta")
    gamma = checks.weight(gamma, "gamma")
    terms = elbo_terms(
        model, params, key, x, cond, num_data=num_data, estimate=estimate, parts_key=parts_key
    )
    more = (alpha - gamma) * terms.mutual_information + (beta - gamma) * terms.total_correlation
    return terms.distortion + gamma * terms.kl + more, told(terms)
