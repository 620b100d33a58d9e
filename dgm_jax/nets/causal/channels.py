"""The channels of one pixel, generated one after the other, each given the preceding ones."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from ... import checks
from ...protocol import Array, Key, Params, described
from ..adapter import Dense, linen
from .encodings import Encoding, check_encoding, encoded


class Head(NamedTuple):
    """f_c = head(h, x_<c): the outputs for channel c of a pixel, given the channels before it.

    A causal net of images computes a vector h for each pixel from the pixels before it. The head
    makes the outputs of the pixel's C channels from h and from the channels already known, so that
    p(pixel) = Π_c p(x_c | x_<c, earlier pixels).

    size: how many numbers h has
    apply: h [..., size], x [..., C] -> f [..., C, num_outputs], where f_c may depend on x_<c only
    """

    size: int  # how many numbers h has
    apply: Callable[[Array, Array], Array]  # h [..., size], x [..., C] -> f [..., C, num_outputs]

    __repr__ = described


class LinearHead(linen.Module):
    """f_c = h_c + Σ_{b<c} V_cb u_b, with u_b the encoded channel b."""

    num_outputs: int

    @linen.compact
    def __call__(self, h, u, channels):
        """h [..., C · num_outputs], u [..., C, e] -> f [..., n, num_outputs] of n `channels`."""
        h = h.reshape(*u.shape[:-1], self.num_outputs)
        zeros = linen.initializers.zeros
        f = []
        for c in channels:
            f.append(h[..., c, :])
            if c:
                before = u[..., :c, :].reshape(*u.shape[:-2], c * u.shape[-1])
                name = f"Dense_{c - 1}"
                v = Dense(self.num_outputs, use_bias=False, kernel_init=zeros, name=name)
                f[-1] = f[-1] + v(before)
        return jnp.stack(f, -2)


class Channels(NamedTuple):
    """How a net sees a pixel, and how its outputs f are computed from the body's output h."""

    num: int  # C
    num_outputs: int
    encoding: Encoding | None
    head: Head | None  # None is a `LinearHead`, which a single channel does not need

    @property
    def size(self) -> int:
        """The size of the body's output for one pixel."""
        return self.num_outputs * self.num if self.head is None else self.head.size

    @property
    def linear(self) -> LinearHead | None:
        return LinearHead(self.num_outputs) if self.head is None and self.num > 1 else None

    def init(self, key: Key, h: Array) -> Params:
        u = jnp.zeros((1, self.num, 1 if self.encoding is None else self.encoding.size))
        linear = self.linear
        assert linear is not None
        return linear.init(key, h, u, range(self.num))["params"]

    def outputs(self, params: Params, h: Array, x: Array, of: range | None = None) -> Array:
        """h [..., size], x [..., C] -> f [..., n, num_outputs] of n channels.

        params: those of the head; of: which channels, by default all.
        """
        of = range(self.num) if of is None else of
        if self.head is not None:
            return self.head.apply(h, x)[..., of.start : of.stop, :]
        if self.linear is not None:
            u = self._entries(x, h.dtype)
            f: Any = self.linear.apply({"params": params["head"]}, h, u, of)
            return f
        return h[..., None, :]

    def token(self, x: Array, dtype) -> Array:
        """The input of the next step: the encoded pixel and a 1, [..., C] -> [..., C·e + 1].

        The 1 distinguishes a pixel of zeros from the zeros at the first step.
        """
        u = self._entries(x, dtype)
        u = u.reshape(*x.shape[:-1], math.prod(u.shape[-2:]))  # no -1: the batch may be empty
        return jnp.concatenate([u, jnp.ones((*u.shape[:-1], 1), dtype)], -1)

    def start(self, dtype, *batch: int) -> Array:
        """The input of the first step: zeros in place of a token."""
        return jnp.zeros_like(self.token(self.nothing(dtype, *batch), dtype))

    def nothing(self, dtype, *batch: int) -> Array:
        """Zeros in place of pixels that are not yet generated, [*batch, channels]."""
        return jnp.zeros((*batch, self.num), dtype if self.encoding is None else jnp.int32)

    def _entries(self, x, dtype):
        """[..., channels] -> [..., channels, e]."""
        return encoded(x, self.encoding, dtype).astype(dtype)


def check_channels(encoding: Encoding | None, head: Head | None) -> None:
    """`InputError` unless these are an encoding (or None) and a head (or None, a linear one)."""
    check_encoding(encoding)
    if head is not None:
        checks.noun(head, Head, "head")
