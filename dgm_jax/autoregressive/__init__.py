"""Autoregressive densities: p(x) = ∏_i p(x_i | x_<i)."""

from .made import bernoulli_made as bernoulli_made
from .made import categorical_made as categorical_made
from .made import discretized_made as discretized_made
from .made import gaussian_made as gaussian_made
from .made import mixture_made as mixture_made
from .made import observed_first as observed_first
from .tables import fit_table as fit_table
from .tables import num_parameters as num_parameters
from .tables import table as table
