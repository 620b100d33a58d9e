"""Finite scalar quantisation: numbers rounded by themselves, without a codebook."""

import math

import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from .. import checks
from ..arrays import straight_through
from .vq import Quantised, Quantiser, check_codes


def finite_scalar(levels: tuple[int, ...] = (8, 5, 5, 5)) -> Quantiser:
    """e_i = (2 v_i + 1) / L_i - 1, v_i = ⌊L_i (1 + tanh z_i) / 2⌋: each entry of z is rounded.

    [-1, 1] is divided into L_i equal intervals, and tanh(z_i) is replaced by the midpoint of its
    interval. Gradients pass straight through the rounding to tanh z. The code is the integer v_1 +
    L_1 (v_2 + L_2 (...)), one of K = Π L_i.

    levels: L_1, ..., L_d for z [..., d], positive integers. The default has d = 4 and K = 1000

    Returns a `Quantiser`, a codebook's `init`, `apply` and `vectors` (codes to vectors), the
    argument `quantiser` of `vqvae`. It has no parameters and no state: there is no codebook that
    could be left unused, and both losses are 0. A vector with a NaN has the code -1. Mentzer et al.
    (2023), "Finite scalar
    quantization: VQ-VAE made simple".
    """
    levels = checks.widths(levels, "levels", fewest=1)
    num_codes = checks.positive_int(math.prod(levels), "the product of levels")
    sizes = np.asarray(levels)
    strides = np.cumprod([1, *levels[:-1]])

    def init(key):
        checks.key(key)
        return {}, {}

    def apply(params, state, features, *, train, key=None):
        checks.events(features, len(levels), "features")
        bounded = jnp.tanh(features)
        parts = jnp.clip(jnp.floor(stop_gradient(bounded + 1) * sizes / 2), 0, sizes - 1)
        known = ~jnp.isnan(parts).any(-1)
        code = (jnp.nan_to_num(parts).astype(jnp.int32) * strides).sum(-1)
        codes = jnp.where(known, code, -1).astype(jnp.int32)
        tied = straight_through(middles(parts), bounded).astype(features.dtype)
        return Quantised(codes, tied, jnp.zeros(()), jnp.zeros(())), state

    def middles(parts):
        return (2 * parts + 1) / sizes - 1

    def vectors(params, state, codes):
        check_codes(codes)
        found = middles((codes[..., None] // strides % sizes).astype(float))
        return jnp.where(((codes >= 0) & (codes < num_codes))[..., None], found, jnp.nan)

    return Quantiser(init, apply, vectors, len(levels), num_codes)
