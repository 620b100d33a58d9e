"""The coupling law: one part of x stays and parametrises the map of the other part."""

from collections.abc import Callable

import distrax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..protocol import Array
from .laws import Law


class Coupling(distrax.Bijector):
    """y_a = x_a, y_b = τ(x_b; f(x_a)), log|det ∂y/∂x| = Σ_b log τ'; a is where `mask` is True.

    Both directions are one pass of the conditioner, which sees the kept part only:
    x_a [..., |a|] -> [..., |b| · law.num_params]. It is the autoregressive law with an order that
    makes a first, the identity on a, and outputs for b that look at a alone.
    Dinh et al. (2017), "Density estimation using Real NVP", eqs. 4-8.
    """

    def __init__(self, mask: np.ndarray, conditioner: Callable[[Array], Array], law: Law):
        super().__init__(event_ndims_in=1)
        mask = np.asarray(mask)
        checks.mask(mask, mask.size)
        self._kept, self._moved = np.flatnonzero(mask), np.flatnonzero(~mask)
        self._back = np.argsort(np.concatenate([self._kept, self._moved]))
        self._conditioner, self._law = conditioner, law

    def forward_and_log_det(self, x):
        return self._run(x, "forward_and_log_det")

    def inverse_and_log_det(self, y):
        return self._run(y, "inverse_and_log_det")

    def _run(self, x, method):
        checks.events(x, len(self._back))
        kept = x[..., self._kept]
        c = self._conditioner(kept)
        wanted = len(self._moved) * self._law.num_params
        if jnp.shape(c)[-1:] != (wanted,):
            raise ValueError(f"conditioner must return [..., {wanted}]; got {jnp.shape(c)}.")
        c = c.reshape(*c.shape[:-1], len(self._moved), self._law.num_params)
        moved, log_det = getattr(self._law.bijector(c), method)(x[..., self._moved])
        kept = jnp.broadcast_to(kept, (*moved.shape[:-1], kept.shape[-1]))
        # A gather with a constant index: XLA fuses it, unlike a scatter.
        return jnp.concatenate([kept, moved], -1)[..., self._back], log_det.sum(-1)
