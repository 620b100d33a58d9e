"""Normalising flows: θ ↦ T_θ, bijections from noise z to data x = T_θ(z).

    linear          diagonal, triangular, plu, qr, conv1x1, actnorm
    elementwise     elementwise, cdf
    planar          planar, sylvester
    autoregressive  autoregression; maf (fast density), iaf (fast samples); amortised for posteriors
    couplings       coupling, channel_coupling, realnvp
    of images       multiscale, realnvp_image, glow, flow_pp; variational_noise for levels
    continuous      neural_ode and cnf, ffjord, regularized_nll
    distillation    of a MAF into an IAF

combinators.compose joins them, and combinators.pushforward(flow, noise) is the density of x.
"""

from .actnorm import actnorm as actnorm
from .autoregression import autoregression as autoregression
from .cdf import cdf as cdf
from .cnf import cnf as cnf
from .conv1x1 import conv1x1 as conv1x1
from .coupling import coupling as coupling
from .dequantization import variational_noise as variational_noise
from .distillation import distillation as distillation
from .elementwise import elementwise as elementwise
from .ffjord import ffjord as ffjord
from .ffjord import regularized_nll as regularized_nll
from .flow_pp import flow_pp as flow_pp
from .glow import glow as glow
from .iaf import iaf as iaf
from .linear import diagonal as diagonal
from .linear import plu as plu
from .linear import qr as qr
from .linear import triangular as triangular
from .maf import maf as maf
from .multiscale import channel_coupling as channel_coupling
from .multiscale import multiscale as multiscale
from .neural_ode import mlp_field as mlp_field
from .neural_ode import neural_ode as neural_ode
from .planar import planar as planar
from .realnvp import realnvp as realnvp
from .realnvp_image import realnvp_image as realnvp_image
from .sylvester import sylvester as sylvester
