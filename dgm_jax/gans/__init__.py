"""Generative adversarial networks: generators of samples, each trained against a critic.

    models          dcgan, sngan, sagan, biggan, progressive, stylegan
    from samples    truncated, standing_statistics; truncated_styles, mixed_styles, in_all_layers
    growing         progressive with shrunk data
    variational     avb, whose critic estimates a KL: implicit_net, avb_loss, avb_critic_loss

Losses are `objectives.non_saturating` and its siblings, for all models; `learning.adversaries`
trains both nets.
"""

from .avb import avb as avb
from .avb import avb_critic_loss as avb_critic_loss
from .avb import avb_loss as avb_loss
from .avb import gaussian_proposal as gaussian_proposal
from .avb import implicit_net as implicit_net
from .biggan import biggan as biggan
from .biggan import orthogonal_penalty as orthogonal_penalty
from .dcgan import dcgan as dcgan
from .progressive import progressive as progressive
from .progressive import shrunk as shrunk
from .sagan import sagan as sagan
from .sampling import standing_statistics as standing_statistics
from .sampling import truncated as truncated
from .sngan import sngan as sngan
from .stylegan import StyleGAN as StyleGAN
from .stylegan import in_all_layers as in_all_layers
from .stylegan import mixed_styles as mixed_styles
from .stylegan import stylegan as stylegan
from .stylegan import truncated_styles as truncated_styles
