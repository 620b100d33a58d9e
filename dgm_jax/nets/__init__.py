"""Nets: pairs of pure functions (init, apply)."""

from .adapter import from_linen as from_linen
from .adapter import stateful as stateful
from .causal import INVERSES as INVERSES
from .causal import Encoding as Encoding
from .causal import Head as Head
from .causal import gated_pixelcnn as gated_pixelcnn
from .causal import made as made
from .causal import markov as markov
from .causal import naive as naive
from .causal import one_hot as one_hot
from .causal import pixelcnn as pixelcnn
from .causal import pixelcnn_pp as pixelcnn_pp
from .causal import pixelsnail as pixelsnail
from .causal import receptive_field as receptive_field
from .causal import rnn as rnn
from .causal import scaled as scaled
from .causal import transformer as transformer
from .causal import wavenet as wavenet
from .conv import conv_resnet as conv_resnet
from .conv import gated_attention as gated_attention
from .mlp import mlp as mlp
from .reversible import Reversible as Reversible
from .reversible import irevnet as irevnet
from .reversible import revnet as revnet
