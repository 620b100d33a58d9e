"""Inference: EM, variational inference, and linear models with latent variables."""

from .factor_analysis import factor_analysis as factor_analysis
from .factor_analysis import factor_analysis_density as factor_analysis_density
from .factor_analysis import factor_analysis_em as factor_analysis_em
from .mean_field import NormalGamma as NormalGamma
from .mean_field import gaussian_mean_field as gaussian_mean_field
from .mean_field import normal_gamma_evidence as normal_gamma_evidence
from .mean_field import normal_gamma_mean_field as normal_gamma_mean_field
from .mean_field import normal_gamma_posterior as normal_gamma_posterior
from .ppca import ppca as ppca
from .ppca import ppca_density as ppca_density
from .ppca import ppca_em as ppca_em
from .ppca import ppca_optimum as ppca_optimum
