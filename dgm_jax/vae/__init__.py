"""Variational autoencoders: p(z) p(x | z) by neural nets, and a net q(z | x) that infers z.

    models          vae; hierarchy, ladder, image_ladder with several groups of z; pixelvae, vlae
    posteriors      diagonal, full_rank, flow_posterior
    priors          mixture_prior, vamp; any Density, such as a flow or a MADE
    likelihoods     any of dgm_jax.likelihoods; shared_scale
    collapse        linear_vae with linear_optimum and linear_bound in closed form, linear_probe

Train them by objectives.elbo, and evaluate them by metrics.importance_log_prob.
"""

from .collapse import best_posterior as best_posterior
from .collapse import linear_bound as linear_bound
from .collapse import linear_optimum as linear_optimum
from .collapse import linear_probe as linear_probe
from .collapse import linear_vae as linear_vae
from .hierarchy import hierarchy as hierarchy
from .hierarchy import stochastic_layers as stochastic_layers
from .image_ladder import image_ladder as image_ladder
from .ladder import ladder as ladder
from .pixelvae import pixelvae as pixelvae
from .posteriors import diagonal as diagonal
from .posteriors import flow_posterior as flow_posterior
from .posteriors import full_rank as full_rank
from .priors import mixture_prior as mixture_prior
from .shared_scale import shared_scale as shared_scale
from .vae import vae as vae
from .vamp import vamp as vamp
from .vlae import vlae as vlae
from .vlae import window_of as window_of
