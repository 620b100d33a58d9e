"""Factor analysis: PPCA with a noise of its own for each entry of x.

    z ~ N(0, I_q),  x | z ~ N(W z + μ, Ψ),  Ψ = diag(σ_1², ..., σ_d²)

Unlike PPCA it does not care about the unit of an entry: x_i in other units has another row of W and
another σ_i, and the same z. There is no closed form of the maximum; EM climbs to one.
Parameters {"weights": W [d, q], "mean": μ [d], "log_scale": log σ [d]}.
Rubin and Thayer (1982), "EM algorithms for ML factor analysis".
"""

from ..protocol import Algorithm, Density, LatentVariable
from .ppca import linear_gaussian, linear_gaussian_density, linear_gaussian_em


def factor_analysis(dim: int, *, num_latents: int) -> LatentVariable:
    """p(z) p(x | z) with the exact q(z | x) = N(G⁻¹ Wᵀ Ψ⁻¹ (x - μ), G⁻¹), G = I + Wᵀ Ψ⁻¹ W.

    For vectors x [..., dim]. Its ELBO is log p(x), for every sample. Costs are those of `ppca`.
    """
    return linear_gaussian(dim, num_latents, (dim,))


def factor_analysis_density(dim: int, *, num_latents: int) -> Density:
    """p(x) = N(x; μ, W Wᵀ + Ψ), of the parameters of `factor_analysis`. Cost: O(d³) once a call."""
    return linear_gaussian_density(dim, num_latents, (dim,))


def factor_analysis_em(
    dim: int, *, num_latents: int, floor: float = 1e-6, axis_name: str | None = None
) -> Algorithm:
    """EM of `factor_analysis`. Metrics, cost and axis_name are those of `ppca_em`.

    floor: of each σ_i². Without one, an entry that a latent explains wholly has a likelihood that
    grows without bound (a Heywood case), and so has a constant entry: floor it in its own units.
    """
    return linear_gaussian_em(dim, num_latents, (dim,), floor, axis_name)
