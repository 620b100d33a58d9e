"""Metrics: how good a model is, in numbers."""

from .codes import active_units as active_units
from .likelihood import expected_log_prob as expected_log_prob
