"""Objectives: the losses of training, as functions of a model and its parameters.

    log p(x)        nll, bits_per_dim; dequantized_nll of a flow on levels
    bounds          elbo, iwae, log_weights; stl and dreg by path gradients
    E f(z)          score_function, leave_one_out, pathwise, sticking_the_landing
    divergences     reverse_kl, f_divergence, f_bound, ratio_kl
    of GANs         minimax, non_saturating, wasserstein, hinge, least_squares, relativistic, f_gan;
                    gradient_penalty, r1, r2, feature_matching
    scores          denoising_score_matching, implicit_score_matching, sliced_score_matching

Most return (loss, metrics), for learning.gradient_descent.
"""

from .adversarial import Game as Game
from .adversarial import critic_loss as critic_loss
from .adversarial import feature_matching as feature_matching
from .adversarial import generated as generated
from .adversarial import generator_loss as generator_loss
from .adversarial import hinge as hinge
from .adversarial import least_squares as least_squares
from .adversarial import minimax as minimax
from .adversarial import non_saturating as non_saturating
from .adversarial import relativistic as relativistic
from .adversarial import wasserstein as wasserstein
from .aggregate import ElboTerms as ElboTerms
from .aggregate import elbo_terms as elbo_terms
from .aggregate import log_aggregate as log_aggregate
from .bounds import elbo as elbo
from .bounds import infer as infer
from .bounds import iwae as iwae
from .bounds import log_weights as log_weights
from .density_ratio import density_ratio_loss as density_ratio_loss
from .density_ratio import ratio_kl as ratio_kl
from .dequantization import dequantized_log_prob as dequantized_log_prob
from .dequantization import dequantized_nll as dequantized_nll
from .divergences import mean_log_ratio as mean_log_ratio
from .divergences import reverse_kl as reverse_kl
from .estimators import leave_one_out as leave_one_out
from .estimators import pathwise as pathwise
from .estimators import score_function as score_function
from .estimators import sticking_the_landing as sticking_the_landing
from .f_divergences import FDivergence as FDivergence
from .f_divergences import f_bound as f_bound
from .f_divergences import f_divergence as f_divergence
from .f_divergences import f_gan as f_gan
from .likelihood import bits_per_dim as bits_per_dim
from .likelihood import mean_and_stderr as mean_and_stderr
from .likelihood import nll as nll
from .path_gradients import dreg as dreg
from .path_gradients import stl as stl
from .penalties import gradient_penalty as gradient_penalty
from .penalties import r1 as r1
from .penalties import r2 as r2
from .resampling import importance_resampled as importance_resampled
from .score_matching import denoising_score_matching as denoising_score_matching
from .score_matching import implicit_score_matching as implicit_score_matching
from .score_matching import sliced_score_matching as sliced_score_matching
