"""Self-attention over the pixels of an image."""

from typing import Any

import jax
import jax.numpy as jnp

from .adapter import linen
from .weights import Convolution


class SelfAttention(linen.Module):
    """y = x + γ · W_o Σ_j softmax_j(q_i · k_j) v_j, over the pixels j: [..., H, W, C].

    q and k have C/8 channels and v has C/2 (at least one), computed by 1×1 convolutions. The scalar
    γ starts at 0, so that the layer starts as the identity and a net first learns local structure.
    pool: max-pools keys and values over 2×2 pixels, if height and width are even. spectral: the
    four maps are spectrally normalised.
    Cost: (H W)² C · 5/8 multiplications, a quarter of that with `pool`.
    Zhang et al. (2019), "Self-attention generative adversarial networks", equations 1 to 3; `pool`
    and the sizes are those of the authors' program.
    """

    spectral: bool = False
    pool: bool = True

    @linen.compact
    def __call__(self, x, train):
        channels = x.shape[-1]
        few, half = max(channels // 8, 1), max(channels // 2, 1)

        def mapped(name, features, h):
            options: dict[str, Any] = {"taps": 1, "use_bias": False, "spectral": self.spectral}
            return Convolution(features, name=name, **options)(h, train)

        query, key, value = (
            mapped(name, features, x)
            for name, features in (("query", few), ("key", few), ("value", half))
        )
        if self.pool and not (x.shape[-3] % 2 or x.shape[-2] % 2):
            key, value = _largest(key), _largest(value)
        query, key, value = (_as_row(h) for h in (query, key, value))
        weights = jax.nn.softmax(jnp.einsum("...ic,...jc->...ij", query, key), axis=-1)
        seen = jnp.einsum("...ij,...jc->...ic", weights, value).reshape(*x.shape[:-1], half)
        return x + self.param("gamma", linen.initializers.zeros, ()) * mapped("out", channels, seen)


def _largest(x):
    """The largest of 2×2 pixels."""
    *batch, h, w, c = x.shape
    return x.reshape(*batch, h // 2, 2, w // 2, 2, c).max((-4, -2))


def _as_row(x):
    """[..., H, W, C] -> [..., H W, C]"""
    *batch, h, w, c = x.shape
    return x.reshape(*batch, h * w, c)
