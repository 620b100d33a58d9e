"""A hash of the bits of each array, which detects damage and is the same on any device layout."""

from typing import Any

import jax
import jax.numpy as jnp

from ...protocol import Array
from .leaves import named


def fingerprints(tree: Any) -> dict[str, int]:
    """{"params/w": Σ_i mix(w_i + i φ) mod 2^32, ...} over the 32-bit words w_i of each array.

    The same on every layout of devices. mix is a bijection of 32 bits, so a change of one word is
    always detected, any other with probability 1 - 2^-32. (A sum of w_i times odd weights would not
    do: 2^k equal words of few bits, such as ones, have the same sum as zeros.)
    """
    return {name: int(fingerprint) for name, (fingerprint, _) in inspected(tree).items()}


def inspected(tree: Any) -> dict[str, tuple[Array, Array]]:
    """{"params/w": (fingerprint, whether all entries are finite), ...}."""
    return jax.device_get({name: _inspect(leaf) for name, leaf in named(tree).items()})


@jax.jit
def _inspect(x: Array) -> tuple[Array, Array]:
    finite = jnp.isfinite(x).all() if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.asarray(True)
    return _fingerprint(x), finite


def _fingerprint(x: Array) -> Array:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        x = jnp.stack([x.real, x.imag], -1)
    if x.dtype == bool:
        x = x.astype(jnp.uint8)
    word = {1: jnp.uint8, 2: jnp.uint16}.get(x.dtype.itemsize, jnp.uint32)
    words = jax.lax.bitcast_convert_type(x, word).astype(jnp.uint32)  # 64 bits: [..., 2]
    index, stride = jnp.uint32(0), 1  # of an element, without a reshape, so shards stay in place
    for axis in reversed(range(words.ndim)):
        here = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        index += here * jnp.uint32(stride % 2**32)
        stride *= words.shape[axis]
    return _mix(words + index * jnp.uint32(0x9E3779B9)).sum(dtype=jnp.uint32)


def _mix(h: Array) -> Array:
    """The last lines of MurmurHash3 (Appleby, 2011): each bit flips half of the others."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> shift)) * jnp.uint32(factor)
    return h ^ (h >> 16)
