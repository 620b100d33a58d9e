"""Quantised latents: codes of a codebook, and the models that are made of them.

    codebooks       averaged_codebook, gradient_codebook, started by k_means; finite_scalar has
                    none; grouped and residual make several of one. Each is a Quantiser
    look-up         nearest, look_up, quantise; counts and perplexity of the codes in use
    models          vqvae, vqvae2, trained by vqvae_loss
    priors          with_prior and level_prior of codes; uniform
    relaxed codes   categorical_vae with relaxed_loss, straight_through_loss, score_function_loss
                    and others; enumerated_elbo is exact; dvae and captioned pictures
    in a critic     quantised_critic, fq_critic_loss

The second stage of a VQ-VAE is any autoregressive density of its codes.
"""

from .codebooks import averaged_codebook as averaged_codebook
from .codebooks import gradient_codebook as gradient_codebook
from .codebooks import k_means as k_means
from .dvae import as_integers as as_integers
from .dvae import captioned as captioned
from .dvae import dvae as dvae
from .dvae import sequences as sequences
from .fqgan import fq_critic_loss as fq_critic_loss
from .fqgan import quantised_critic as quantised_critic
from .fsq import finite_scalar as finite_scalar
from .gumbel import all_codes as all_codes
from .gumbel import categorical_vae as categorical_vae
from .gumbel import enumerated_elbo as enumerated_elbo
from .gumbel import enumerated_log_prob as enumerated_log_prob
from .gumbel import learned_codes as learned_codes
from .gumbel import leave_one_out_loss as leave_one_out_loss
from .gumbel import linear_baseline_loss as linear_baseline_loss
from .gumbel import muprop_loss as muprop_loss
from .gumbel import relaxed as relaxed
from .gumbel import relaxed_loss as relaxed_loss
from .gumbel import running_mean_loss as running_mean_loss
from .gumbel import score_function_loss as score_function_loss
from .gumbel import straight_through_loss as straight_through_loss
from .gumbel import temperature_schedule as temperature_schedule
from .gumbel import uniform_codes as uniform_codes
from .residual import grouped as grouped
from .residual import residual as residual
from .vq import Quantised as Quantised
from .vq import Quantiser as Quantiser
from .vq import counts as counts
from .vq import look_up as look_up
from .vq import nearest as nearest
from .vq import perplexity as perplexity
from .vq import quantise as quantise
from .vqvae import Coded as Coded
from .vqvae import Coder as Coder
from .vqvae import uniform as uniform
from .vqvae import vqvae as vqvae
from .vqvae import vqvae_loss as vqvae_loss
from .vqvae import with_prior as with_prior
from .vqvae2 import level_prior as level_prior
from .vqvae2 import vqvae2 as vqvae2
