"""Metrics: numbers that say how good a model is.

    log p(x)        importance_log_prob, naive_log_prob, annealed_log_prob, bidirectional_log_prob
    codes           kl_terms, elbo_surgery, active_units
    samples         frechet_distance, inception_score, precision_recall, density_coverage,
                    kernel_distance, mmd, sliced_wasserstein, two_sample_test
    disentangled    mig, dci, sap, modularity, explicitness, beta_vae_score, factor_vae_score, udr

Those of samples compare features: arrays [n, d], of `features` or of any other map.
"""

from .aggregate import KLTerms as KLTerms
from .aggregate import kl_terms as kl_terms
from .annealed import Bidirectional as Bidirectional
from .annealed import annealed_log_prob as annealed_log_prob
from .annealed import bidirectional_log_prob as bidirectional_log_prob
from .code_scores import code_scores as code_scores
from .codes import active_units as active_units
from .dci import Dci as Dci
from .dci import dci as dci
from .dci import gradient_boosting as gradient_boosting
from .dci import random_forest as random_forest
from .features import features as features
from .fixed_factor import FactorVotes as FactorVotes
from .fixed_factor import FixedFactor as FixedFactor
from .fixed_factor import beta_vae_score as beta_vae_score
from .fixed_factor import factor_vae_score as factor_vae_score
from .frechet import Frechet as Frechet
from .frechet import Moments as Moments
from .frechet import frechet_distance as frechet_distance
from .frechet import frechet_floor as frechet_floor
from .frechet import moments as moments
from .importance import Estimate as Estimate
from .importance import importance_log_prob as importance_log_prob
from .importance import naive_log_prob as naive_log_prob
from .inception_score import InceptionScore as InceptionScore
from .inception_score import inception_score as inception_score
from .information import Information as Information
from .information import InformationGap as InformationGap
from .information import mig as mig
from .information import mutual_information as mutual_information
from .likelihood import expected_log_prob as expected_log_prob
from .mmd import Discrepancy as Discrepancy
from .mmd import kernel_distance as kernel_distance
from .mmd import mmd as mmd
from .mmd import polynomial_kernel as polynomial_kernel
from .mmd import rbf_kernel as rbf_kernel
from .modularity import Explicitness as Explicitness
from .modularity import Modularity as Modularity
from .modularity import explicitness as explicitness
from .modularity import modularity as modularity
from .neighbours import DensityCoverage as DensityCoverage
from .neighbours import PrecisionRecall as PrecisionRecall
from .neighbours import density_coverage as density_coverage
from .neighbours import precision_recall as precision_recall
from .sap import Sap as Sap
from .sap import sap as sap
from .sliced import SlicedWasserstein as SlicedWasserstein
from .sliced import sliced_wasserstein as sliced_wasserstein
from .surgery import Surgery as Surgery
from .surgery import elbo_surgery as elbo_surgery
from .two_sample import TwoSample as TwoSample
from .two_sample import logistic_regression as logistic_regression
from .two_sample import nearest_neighbours as nearest_neighbours
from .two_sample import two_sample_test as two_sample_test
from .udr import udr as udr
