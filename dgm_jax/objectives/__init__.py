"""Objectives: what training minimises, as functions of a model and its parameters."""

from .bounds import elbo as elbo
from .bounds import infer as infer
from .bounds import iwae as iwae
from .bounds import log_weights as log_weights
from .dequantization import dequantized_log_prob as dequantized_log_prob
from .dequantization import dequantized_nll as dequantized_nll
from .divergences import mean_log_ratio as mean_log_ratio
from .divergences import reverse_kl as reverse_kl
from .estimators import leave_one_out as leave_one_out
from .estimators import pathwise as pathwise
from .estimators import score_function as score_function
from .estimators import sticking_the_landing as sticking_the_landing
from .likelihood import bits_per_dim as bits_per_dim
from .likelihood import mean_and_stderr as mean_and_stderr
from .likelihood import nll as nll
from .path_gradients import dreg as dreg
from .path_gradients import stl as stl
from .resampling import importance_resampled as importance_resampled
