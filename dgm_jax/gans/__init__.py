"""Generative adversarial networks: nets that make samples, each beside a critic that judges them.

Their games are `objectives.non_saturating` and its neighbours, which any of these models plays, and
`learning.adversaries` is the training of both.
"""

from .avb import avb as avb
from .avb import avb_critic_loss as avb_critic_loss
from .avb import avb_loss as avb_loss
from .avb import gaussian_proposal as gaussian_proposal
from .avb import implicit_net as implicit_net
