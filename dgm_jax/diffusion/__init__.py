"""Diffusion: data become noise by a known process, and a net that denoises turns it round.

    processes       x_t = α_t x + σ_t ε: cosine, linear_beta, linear_log_snr, straight, sub_vp,
                    variance_exploding, from_betas, from_log_snr, learned_log_snr
    model           denoiser of a net, which predicts ε, x, v, a score or a velocity (TARGETS)
    losses          simple_loss, hybrid_loss, bound_loss
    log p(x)        chain_bound, continuous_bound, importance_bound, and ode_density
    samplers        sample (DDPM, DDIM), heun, dpm_solver, reverse_sde
    guidance        classifier_free with dropped classes, classifier_guided
    of a score      unadjusted_langevin, metropolis_langevin, annealed_langevin

`score` turns the prediction of a denoiser into ∇ log q(x_t), for the samplers of a score.
"""

from .denoiser import TARGETS as TARGETS
from .denoiser import Denoiser as Denoiser
from .denoiser import Prediction as Prediction
from .denoiser import denoiser as denoiser
from .denoiser import noised as noised
from .denoiser import score as score
from .guidance import class_log_prob as class_log_prob
from .guidance import classifier_free as classifier_free
from .guidance import classifier_guided as classifier_guided
from .guidance import classifier_loss as classifier_loss
from .guidance import dropped as dropped
from .importance import importance_bound as importance_bound
from .langevin import annealed_langevin as annealed_langevin
from .langevin import metropolis_langevin as metropolis_langevin
from .langevin import unadjusted_langevin as unadjusted_langevin
from .losses import Terms as Terms
from .losses import bound_loss as bound_loss
from .losses import chain_bound as chain_bound
from .losses import continuous_bound as continuous_bound
from .losses import hybrid_loss as hybrid_loss
from .losses import scaled as scaled
from .losses import simple_loss as simple_loss
from .ode import ode_density as ode_density
from .process import LearnedProcess as LearnedProcess
from .process import Process as Process
from .process import cosine as cosine
from .process import from_betas as from_betas
from .process import from_log_snr as from_log_snr
from .process import learned_log_snr as learned_log_snr
from .process import linear_beta as linear_beta
from .process import linear_log_snr as linear_log_snr
from .process import straight as straight
from .process import sub_vp as sub_vp
from .process import variance_exploding as variance_exploding
from .samplers import dpm_solver as dpm_solver
from .samplers import heun as heun
from .samplers import sample as sample
from .sde import reverse_sde as reverse_sde
