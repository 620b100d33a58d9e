"""Nets whose output i depends only on the inputs before i, in one pass or one step at a time."""

from .channels import Head as Head
from .definition import naive as naive
from .encodings import Encoding as Encoding
from .encodings import one_hot as one_hot
from .encodings import scaled as scaled
from .gated_pixelcnn import gated_pixelcnn as gated_pixelcnn
from .made import INVERSES as INVERSES
from .made import made as made
from .markov import markov as markov
from .pixelcnn import pixelcnn as pixelcnn
from .pixelcnn_pp import pixelcnn_pp as pixelcnn_pp
from .pixelsnail import pixelsnail as pixelsnail
from .rnn import rnn as rnn
from .transformer import transformer as transformer
from .wavenet import receptive_field as receptive_field
from .wavenet import wavenet as wavenet
