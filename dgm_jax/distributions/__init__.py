"""Distributions: base distributions, pushforwards, autoregressive ones, and those of levels.

All are distrax distributions: dist.sample(seed=key, sample_shape=n), dist.log_prob(x) in nats.
Models make them (model.dist(params)); standard_normal and uniform_noise are Densities themselves.
"""

from .ancestral import Ancestral as Ancestral
from .autoregressive import Autoregressive as Autoregressive
from .dequantized import Quantized as Quantized
from .dequantized import uniform_noise as uniform_noise
from .dirac import Dirac as Dirac
from .discretized import DiscretizedLogisticMixture as DiscretizedLogisticMixture
from .discretized_normal import DiscretizedNormal as DiscretizedNormal
from .divergence import by_entries as by_entries
from .divergence import divergence_at as divergence_at
from .levels import Levels as Levels
from .logit_laplace import DiscretizedLogitLaplace as DiscretizedLogitLaplace
from .logit_laplace import LogitLaplace as LogitLaplace
from .normal import standard_normal as standard_normal
from .pathwise import reparametrised as reparametrised
from .pushforward import Pushforward as Pushforward
from .relaxed import OneHot as OneHot
from .relaxed import Relaxed as Relaxed
from .relaxed import StraightThroughOneHot as StraightThroughOneHot
from .resampled import ImportanceResampled as ImportanceResampled
