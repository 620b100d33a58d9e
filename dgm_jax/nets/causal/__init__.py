"""Nets whose output i sees the inputs before i only, run in one pass or one step at a time."""

from .definition import naive as naive
from .encodings import Encoding as Encoding
from .encodings import one_hot as one_hot
from .encodings import scaled as scaled
from .made import INVERSES as INVERSES
from .made import made as made
from .pixels import gated_pixelcnn as gated_pixelcnn
from .pixels import pixelcnn as pixelcnn
from .pixels import pixelcnn_pp as pixelcnn_pp
from .pixels import pixelsnail as pixelsnail
from .sequences import markov as markov
from .sequences import receptive_field as receptive_field
from .sequences import rnn as rnn
from .sequences import wavenet as wavenet
from .stepwise import Head as Head
from .transformer import transformer as transformer
