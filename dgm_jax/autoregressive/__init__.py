"""Autoregressive densities: p(x) = ∏_i p(x_i | x_<i)."""

from .density import density as density
from .images import gated_pixelcnn as gated_pixelcnn
from .images import pixelcnn as pixelcnn
from .images import pixelcnn_pp as pixelcnn_pp
from .images import pixelsnail as pixelsnail
from .made import made as made
from .made import observed_first as observed_first
from .sequences import markov as markov
from .sequences import rnn as rnn
from .sequences import wavenet as wavenet
from .table import fit_table as fit_table
from .table import num_parameters as num_parameters
from .table import table as table
from .transformer import image_gpt as image_gpt
from .transformer import transformer as transformer
