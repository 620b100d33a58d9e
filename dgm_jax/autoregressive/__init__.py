"""Autoregressive densities: p(x) = ∏_i p(x_i | x_<i)."""

from .conditionals import Conditional as Conditional
from .conditionals import bernoulli as bernoulli
from .conditionals import categorical as categorical
from .conditionals import density as density
from .conditionals import discretized_logistic as discretized_logistic
from .conditionals import gaussian as gaussian
from .conditionals import mixture as mixture
from .images import gated_pixelcnn as gated_pixelcnn
from .images import pixelcnn as pixelcnn
from .images import pixelcnn_pp as pixelcnn_pp
from .images import pixelsnail as pixelsnail
from .made import made as made
from .made import observed_first as observed_first
from .tables import fit_table as fit_table
from .tables import num_parameters as num_parameters
from .tables import table as table
from .sequences import markov as markov
from .sequences import rnn as rnn
from .sequences import wavenet as wavenet
from .transformer import image_gpt as image_gpt
from .transformer import transformer as transformer
