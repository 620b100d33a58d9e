"""Inference: EM, variational inference, and linear models with latent variables.

    mixtures        gaussian_mixture, bernoulli_mixture, fitted by fit_gaussian_mixture,
                    fit_bernoulli_mixture; kmeans and kmeans_plus_plus to start from
    one step of EM  gaussian_mixture_em, bernoulli_mixture_em, ppca_em, factor_analysis_em
    linear          ppca, factor_analysis; their densities, and ppca_optimum in closed form
    variational     fit_variational_mixture; gaussian_mean_field, normal_gamma_mean_field
    conjugate       normal_inverse_wishart, normal_gamma_posterior, normal_gamma_evidence

Each `fit_` function returns the best of several starts, a `FittedMixture`.
"""

from .bernoulli_mixture import bernoulli_mixture as bernoulli_mixture
from .bernoulli_mixture import bernoulli_mixture_em as bernoulli_mixture_em
from .bernoulli_mixture import fit_bernoulli_mixture as fit_bernoulli_mixture
from .conjugate import Conjugate as Conjugate
from .conjugate import normal_inverse_wishart as normal_inverse_wishart
from .factor_analysis import factor_analysis as factor_analysis
from .factor_analysis import factor_analysis_density as factor_analysis_density
from .factor_analysis import factor_analysis_em as factor_analysis_em
from .gaussian_em import fit_gaussian_mixture as fit_gaussian_mixture
from .gaussian_em import gaussian_mixture_em as gaussian_mixture_em
from .gaussian_mixture import gaussian_mixture as gaussian_mixture
from .gaussian_mixture import gaussian_parameters as gaussian_parameters
from .kmeans import kmeans as kmeans
from .kmeans import kmeans_plus_plus as kmeans_plus_plus
from .mean_field import NormalGamma as NormalGamma
from .mean_field import gaussian_mean_field as gaussian_mean_field
from .mean_field import normal_gamma_evidence as normal_gamma_evidence
from .mean_field import normal_gamma_mean_field as normal_gamma_mean_field
from .mean_field import normal_gamma_posterior as normal_gamma_posterior
from .ppca import ppca as ppca
from .ppca import ppca_density as ppca_density
from .ppca import ppca_em as ppca_em
from .ppca import ppca_optimum as ppca_optimum
from .restarts import FittedMixture as FittedMixture
from .variational_mixture import expected_parameters as expected_parameters
from .variational_mixture import fit_variational_mixture as fit_variational_mixture
from .variational_mixture import prior_of as prior_of
from .variational_mixture import variational_mixture as variational_mixture
