"""Nets: pairs of pure functions (init, apply).

    vectors         mlp, time_mlp; conv_resnet, group_norm, gated_attention
    images          conv_encoder, conv_decoder, map_encoder, map_decoder, unet
    causal          made, pixelcnn, gated_pixelcnn, pixelcnn_pp, pixelsnail, transformer, wavenet,
                    rnn, markov; naive unrolls any of them by its definition
    of GANs         strided_generator, residual_generator, their critics and features
    invertible      irevnet, revnet
    features        inception, efficientnet_lite
    own             from_linen for a flax module, stateful and stateless

A causal net becomes a density in `dgm_jax.autoregressive` and a flow in `dgm_jax.flows`.
"""

from .adapter import from_linen as from_linen
from .adapter import stateful as stateful
from .batch_norm import virtual_batch_norm as virtual_batch_norm
from .bottleneck import bottleneck as bottleneck
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
from .efficientnet import efficientnet_lite0 as efficientnet_lite0
from .efficientnet import efficientnet_params as efficientnet_params
from .equalised import doubled as doubled
from .equalised import equalised_conv as equalised_conv
from .equalised import equalised_dense as equalised_dense
from .equalised import halved as halved
from .equalised import smoothed as smoothed
from .images import conv_decoder as conv_decoder
from .images import conv_encoder as conv_encoder
from .images import map_decoder as map_decoder
from .images import map_encoder as map_encoder
from .inception import inception as inception
from .inception import inception_params as inception_params
from .mlp import mlp as mlp
from .norm import group_norm as group_norm
from .residual import residual_critic as residual_critic
from .residual import residual_features as residual_features
from .residual import residual_generator as residual_generator
from .residual import residual_head as residual_head
from .reversible import Reversible as Reversible
from .reversible import irevnet as irevnet
from .reversible import revnet as revnet
from .spectral import operator_norm as operator_norm
from .spectral import power_iteration as power_iteration
from .stateless import stateless as stateless
from .strided import strided_critic as strided_critic
from .strided import strided_features as strided_features
from .strided import strided_generator as strided_generator
from .styles import adain as adain
from .styles import add_noise as add_noise
from .styles import minibatch_deviation as minibatch_deviation
from .styles import pixel_norm as pixel_norm
from .unet import time_mlp as time_mlp
from .unet import unet as unet
from .upsampling import down_conv as down_conv
from .upsampling import up_conv as up_conv
