"""Disentanglement: codes whose entries each encode one factor, and why data alone cannot decide it.

    VAEs            beta_vae_loss, capacity_loss, tc_vae_loss, factor_vae_loss, dip_vae_loss: losses
                    for any LatentVariable with one z per row, such as vae.vae
    InfoGAN         infogan, with infogan_generator_loss and infogan_critic_loss; infer_codes
    why not         entangling, entangled: other codes of the same density

How far codes are disentangled is measured in dgm_jax.metrics: mig, dci, sap, modularity and others.
"""

from .beta_vae import beta_vae_loss as beta_vae_loss
from .beta_vae import capacity_loss as capacity_loss
from .codes import Codes as Codes
from .codes import Recognised as Recognised
from .codes import code_prior as code_prior
from .codes import information as information
from .codes import recognised as recognised
from .dip_vae import dip_penalty as dip_penalty
from .dip_vae import dip_vae_loss as dip_vae_loss
from .factor_vae import factor_critic_loss as factor_critic_loss
from .factor_vae import factor_vae_loss as factor_vae_loss
from .factor_vae import permuted as permuted
from .impossibility import entangled as entangled
from .impossibility import entangling as entangling
from .infogan import InfoGAN as InfoGAN
from .infogan import infer_codes as infer_codes
from .infogan import infogan as infogan
from .infogan import infogan_critic_loss as infogan_critic_loss
from .infogan import infogan_generator_loss as infogan_generator_loss
from .tc_vae import tc_vae_loss as tc_vae_loss
