"""A hash of the bits of each array, which detects damage and is the same on any device layout."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...protocol import Array
from .leaves import named

SMALL = 2**18  # entries; a larger array is worth a program of its own
PHI = np.uint32(0x9E3779B9)  # 2^32 divided by the golden ratio


def fingerprints(tree: Any) -> dict[str, int]:
    """{"params/w": Σ_i mix(w_i + i φ) mod 2^32, ...} over the 32-bit words w_i of each array.

    The same on every layout of devices. mix is a bijection of 32 bits, so a change of one word is
    always detected, any other with probability 1 - 2^-32. (A sum of w_i times odd weights would not
    do: 2^k equal words of few bits, such as ones, have the same sum as zeros.)
    """
    return {name: int(fingerprint) for name, (fingerprint, _) in inspected(tree).items()}


def inspected(tree: Any) -> dict[str, tuple[Array, Array]]:
    """{"params/w": (fingerprint, whether all entries are finite), ...}."""
    look = lambda leaf: _read(leaf) if leaf.size <= SMALL and on_host(leaf) else _inspect(leaf)
    return jax.device_get({name: look(leaf) for name, leaf in named(tree).items()})


def on_host(leaf: Array) -> bool:
    """Whether NumPy can read an array where it is, so that nothing must be compiled."""
    if not isinstance(leaf, jax.Array):
        return True
    return leaf.is_fully_addressable and all(d.platform == "cpu" for d in leaf.devices())


def _read(x: Array) -> tuple[Array, np.ndarray]:
    """`_inspect` by NumPy."""
    content = jax.device_get(_plain(x))
    finite = np.isfinite(content).all() if _is_inexact(x) else np.asarray(True)
    words = content.ravel().view(_word(content)).astype(np.uint32)
    return _mix(words + np.arange(words.size, dtype=np.uint32) * PHI).sum(dtype=np.uint32), finite


@jax.jit
def _inspect(x: Array) -> tuple[Array, Array]:
    return _fingerprint(_plain(x)), jnp.isfinite(x).all() if _is_inexact(x) else jnp.asarray(True)


def _fingerprint(x: Array) -> Array:
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        x = jnp.stack([x.real, x.imag], -1)
    if x.dtype == bool:
        x = x.astype(jnp.uint8)
    words = jax.lax.bitcast_convert_type(x, _word(x)).astype(jnp.uint32)  # 64 bits: [..., 2]
    index, stride = jnp.uint32(0), 1  # of an element, without a reshape, so shards stay in place
    for axis in reversed(range(words.ndim)):
        here = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        index += here * jnp.uint32(stride % 2**32)
        stride *= words.shape[axis]
    return _mix(words + index * PHI).sum(dtype=jnp.uint32)


def _plain(x):
    """A key as the numbers it consists of."""
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def _is_inexact(x):
    return jnp.issubdtype(x.dtype, jnp.inexact)


def _word(x):
    """The unsigned integers that the bits of an entry are read as; several for 64 bits and more."""
    return {1: np.uint8, 2: np.uint16}.get(x.dtype.itemsize, np.uint32)


def _mix(h: Array) -> Array:
    """The last lines of MurmurHash3 (Appleby, 2011): each bit flips half of the others."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> shift)) * np.uint32(factor)
    return h ^ (h >> 16)
