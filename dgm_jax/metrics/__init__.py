"""Metrics: how good a model is, in numbers."""

from .annealed import Bidirectional as Bidirectional
from .annealed import annealed_log_prob as annealed_log_prob
from .annealed import bidirectional_log_prob as bidirectional_log_prob
from .codes import active_units as active_units
from .importance import Estimate as Estimate
from .importance import importance_log_prob as importance_log_prob
from .importance import naive_log_prob as naive_log_prob
from .likelihood import expected_log_prob as expected_log_prob
from .surgery import Surgery as Surgery
from .surgery import elbo_surgery as elbo_surgery
