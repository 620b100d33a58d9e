"""Quantised latents: codes of a codebook, and the models that are made of them."""

from .codebooks import averaged_codebook as averaged_codebook
from .codebooks import gradient_codebook as gradient_codebook
from .codebooks import k_means as k_means
from .fsq import finite_scalar as finite_scalar
from .residual import grouped as grouped
from .residual import residual as residual
from .vq import Quantised as Quantised
from .vq import Quantiser as Quantiser
from .vq import counts as counts
from .vq import look_up as look_up
from .vq import nearest as nearest
from .vq import perplexity as perplexity
from .vq import quantise as quantise
from .vq import straight_through as straight_through
