"""Autoregressive densities: p(x) = ∏_i p(x_i | x_<i).

    density         p(x) of any causal net, with any family of conditionals
    small           table and fit_table (counts), markov, rnn
    masked          made; Masks for many orders, observed_first for a random one
    images          pixelcnn, gated_pixelcnn, pixelcnn_pp, pixelsnail, image_gpt
    sequences       transformer, wavenet

Each returns a Density: train it by objectives.nll, and sample by model.dist(params).sample.
"""

from .density import density as density
from .gated_pixelcnn import gated_pixelcnn as gated_pixelcnn
from .image_gpt import image_gpt as image_gpt
from .made import made as made
from .made import observed_first as observed_first
from .markov import markov as markov
from .masks import Masks as Masks
from .pixelcnn import pixelcnn as pixelcnn
from .pixelcnn_pp import pixelcnn_pp as pixelcnn_pp
from .pixelsnail import pixelsnail as pixelsnail
from .rnn import rnn as rnn
from .table import fit_table as fit_table
from .table import num_parameters as num_parameters
from .table import table as table
from .transformer import transformer as transformer
from .wavenet import wavenet as wavenet
