"""The mixtures and linear models that the contracts test: a name, and how to make it."""

from dgm_jax.inference import (
    bernoulli_mixture,
    factor_analysis_density,
    gaussian_mixture,
    ppca_density,
)
from tests.contracts.cases import DensityCase, LevelsCase

DENSITIES = {
    "gaussian mixture": DensityCase(lambda: gaussian_mixture(2, 3)),
    "gaussian mixture, tied, dim 1": DensityCase(
        lambda: gaussian_mixture(1, 3, covariance="tied"), dim=1, full=True
    ),
    "gaussian mixture, diagonal": DensityCase(
        lambda: gaussian_mixture(2, 2, covariance="diagonal")
    ),
    "gaussian mixture, spherical": DensityCase(
        lambda: gaussian_mixture(2, 2, covariance="spherical"), full=True
    ),
    "ppca": DensityCase(lambda: ppca_density(2, num_latents=1)),
    "factor analysis": DensityCase(lambda: factor_analysis_density(2, num_latents=1), full=True),
}
LEVELS = {
    "bernoulli mixture": LevelsCase(
        lambda: bernoulli_mixture(5, 3), shape=(5,), num_levels=2, slow=False, sharpens=False
    )
}
