"""Sines and cosines of a number, an embedding in which a net can tell near values apart."""

import jax.numpy as jnp
import numpy as np

from ..protocol import Array

SLOWEST, FASTEST = 0.1, 5.0  # radians that a unit of the log-SNR turns the features of it


def waves(level: Array, num: int) -> Array:
    """[sin(f_k λ), cos(f_k λ)] with frequencies f_k from 0.1 to 5: level [...] -> [..., num].

    num must be even. Vaswani et al. (2017), "Attention is all you need", section 3.5.
    """
    frequencies = jnp.asarray(np.geomspace(SLOWEST, FASTEST, num // 2), level.dtype)
    angles = level[..., None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
