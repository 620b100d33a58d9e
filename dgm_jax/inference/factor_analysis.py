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
    """z ~ N(0, I_q), x | z ~ N(W z + μ, Ψ), Ψ = diag(σ_1², ..., σ_d²), with the exact q(z | x).

    z | x ~ N(G⁻¹ Wᵀ Ψ⁻¹ (x - μ), G⁻¹), G = I + Wᵀ Ψ⁻¹ W, so that the ELBO equals log p(x) for every
    sample. It is `ppca` with a separate noise variance for each entry of x: rescaling x_i rescales
    σ_i and row i of W, and leaves z unchanged.

    dim: d, of vectors x [..., d]. num_latents: q < d, of z [..., q]; more raise `ValueError`

    Parameters {"weights": W [d, q], "mean": μ [d], "log_scale": log σ [d]}, which start with random
    W, μ = 0 and σ = 1. Train them by gradients or by `factor_analysis_em`. Cost: O(d q) per row,
    and O(d q² + q³) once per call. Rubin and Thayer (1982), "EM algorithms for ML factor analysis".
    """
    return linear_gaussian(dim, num_latents, (dim,))


def factor_analysis_density(dim: int, *, num_latents: int) -> Density:
    """p(x) = N(x; μ, W Wᵀ + Ψ), Ψ = diag(σ²), with the parameters of `factor_analysis`.

    The marginal density of that model, in nats, for vectors x [..., d]: parameters {"weights": W
    [d, q], "mean": μ [d], "log_scale": log σ [d]}. dim, num_latents: d and q. Cost: O(d³) once per
    call, and O(d²) per row. Rubin and Thayer (1982), "EM algorithms for ML factor analysis".
    """
    return linear_gaussian_density(dim, num_latents, (dim,))


@checks.spelled
def factor_analysis_em(
    dim: int, *, num_latents: int, floor: float = 1e-6, axis_name: str | None = None
) -> Algorithm:
    """μ ← x̄, W ← C_xz C_zz⁻¹, σ_i² ← (C_xx - W C_xzᵀ)_ii: EM for `factor_analysis`.

    The model is `factor_analysis`: z ~ N(0, I_q), x | z ~ N(W z + μ, diag(σ²)). C are covariances
    over the rows x and z ~ p(z | x) under the parameters before the step, for means over the rows:
    C_xx = mean of x xᵀ - x̄ x̄ᵀ, C_xz = mean of x E[z | x]ᵀ - x̄ z̄ᵀ and C_zz = mean of
    E[z zᵀ | x] - z̄ z̄ᵀ, with x̄ the mean of x and z̄ that of E[z | x]. The maximum has no closed
    form; EM converges to a local one.

    dim, num_latents: d and q, the sizes of x and z; q < d, else `InputError`
    floor: lower bound of each σ_i², in the squared units of x. Without one, the likelihood grows
        without bound if an entry is constant, or fully explained by a latent (a Heywood case)
    axis_name: the axis of a `jax.pmap` of which each device has a part of the rows, and over which
        the statistics of the E-step are averaged; None where one program sees all rows, as in `jit`

    Returns an `Algorithm`, init(key) -> state and step(state, key, batch) -> (state, metrics), for
    `learning.train`, whose state is the parameters of `factor_analysis` and whose batch is all rows
    [n, d]. The metric "log_likelihood" is that of the parameters before the step, in nats per row,
    and never decreases. Cost: O(n d q) per step. Rubin and Thayer (1982), "EM algorithms for ML
    factor analysis".
    """
    return linear_gaussian_em(dim, num_latents, (dim,), floor, axis_name)
