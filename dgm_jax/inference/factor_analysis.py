"""Factor analysis: PPCA with a separate noise variance for each entry of x.

    z ~ N(0, I_q),  x | z ~ N(W z + μ, Ψ),  Ψ = diag(σ_1², ..., σ_d²)

Unlike PPCA it is equivariant to the units of x: rescaling x_i rescales row i of W and σ_i, and
leaves z unchanged. The maximum has no closed form; EM converges to a local one. Parameters
{"weights": W [d, q], "mean": μ [d], "log_scale": log σ [d]}. Rubin and Thayer (1982), "EM
algorithms for ML factor analysis".
"""

from .. import checks
from ..protocol import Algorithm, Density, LatentVariable
from .ppca import linear_gaussian, linear_gaussian_density, linear_gaussian_em


def factor_analysis(dim: int, *, num_latents: int) -> LatentVariable:
    """p(z) p(x | z) with the exact q(z | x) = N(G⁻¹ Wᵀ Ψ⁻¹ (x - μ), G⁻¹), G = I + Wᵀ Ψ⁻¹ W.

    For vectors x [..., dim]; num_latents: q. Its ELBO equals log p(x), for every sample. Costs: as
    for `ppca`. Rubin and Thayer (1982), "EM algorithms for ML factor analysis".
    """
    return linear_gaussian(dim, num_latents, (dim,))


def factor_analysis_density(dim: int, *, num_latents: int) -> Density:
    """p(x) = N(x; μ, W Wᵀ + Ψ), with the parameters of `factor_analysis`. Cost: O(d³) per call.

    Rubin and Thayer (1982), "EM algorithms for ML factor analysis".
    """
    return linear_gaussian_density(dim, num_latents, (dim,))


@checks.spelled
def factor_analysis_em(
    dim: int, *, num_latents: int, floor: float = 1e-6, axis_name: str | None = None
) -> Algorithm:
    """EM for `factor_analysis`. Metrics, cost and axis_name are those of `ppca_em`.

    dim, num_latents: d and q. floor: lower bound of each σ_i². Without one, the likelihood grows
    without bound if an entry is constant, or fully explained by a latent (a Heywood case). It is in
    the squared units of x. Rubin and Thayer (1982), "EM algorithms for ML factor analysis".
    """
    return linear_gaussian_em(dim, num_latents, (dim,), floor, axis_name)
