"""The coupling bijection: one part of x is kept and parametrises the map of the other part."""

from collections.abc import Callable

import distrax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..arrays import places, total
from ..protocol import Array
from .laws import Law


class Coupling(distrax.Bijector):
    """y_a = x_a, y_b = τ(x_b; f(x_a)), log|det ∂y/∂x| = Σ_b log τ'; a is where `mask` is True.

    Both directions cost one pass of f, which sees only the kept part a. It is an `Autoregressive`
    bijection whose order begins with a, which is the identity on a, and whose outputs for b depend
    only on a.

    mask: [d] of booleans, with at least one True and one False
    conditioner: f, x_a [..., |a|] -> [..., law.num_params · |b|], with the first parameter of all
        of b, then the second of all, and so on; another size raises InputError
    law: τ, such as `bijectors.affine()`
    event_ndims: 1 for vectors [..., d]; 3 for images [..., H, W, C], whose channels the mask
        divides (d = C), and whose conditioner maps images to images. For a checkerboard see
        `bijectors.checkerboard`
    Dinh et al. (2017), "Density estimation using Real NVP", eqs. 4-8.
    """

    same_as = checks.same_bijector

    def __init__(
        self,
        mask: np.ndarray,
        conditioner: Callable[[Array], Array],
        law: Law,
        *,
        event_ndims: int = 1,
    ):
        checks.noun(law, Law, "law")
        checks.function(conditioner, "conditioner")
        event_ndims = checks.positive_int(event_ndims, "event_ndims")
        super().__init__(event_ndims_in=event_ndims, is_constant_log_det=law.constant_log_det)
        # Not an array, which would be traced where the coupling is an argument of `jit`.
        self._mask = tuple(checks.mask(mask).tolist())
        self._conditioner, self._law = conditioner, law

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return self._run(x, "forward_and_log_det")

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return self._run(y, "inverse_and_log_det")

    def _run(self, x, method):
        checks.events(x, len(self._mask))
        mask = np.array(self._mask)
        kept, to_move = _where(x, mask), _where(x, ~mask)
        c = self._conditioner(kept)
        wanted = to_move.shape[-1] * self._law.num_params
        if jnp.shape(c)[-1:] != (wanted,):
            raise checks.InputError(f"conditioner must return [..., {wanted}]; got {jnp.shape(c)}.")
        c = c.reshape(*c.shape[:-1], self._law.num_params, to_move.shape[-1])
        axes_of_cond = range(c.ndim - 1 - to_move.ndim)  # one point may meet a batch of conditions
        to_move = jnp.expand_dims(to_move, axes_of_cond)
        moved, log_det = getattr(self._law.bijector(jnp.swapaxes(c, -1, -2)), method)(to_move)
        kept = jnp.broadcast_to(kept, (*moved.shape[:-1], kept.shape[-1]))
        return _merge(kept, moved, mask), total(log_det, self.event_ndims_in)


# Halves cost nothing, a slice or a join; other masks are a gather with a constant index, which XLA
# fuses, unlike a scatter.
def _where(x, mask):
    index = _true(mask)
    first, last = index[0], index[-1] + 1
    return x[..., first:last] if last - first == len(index) else x[..., index]


def _merge(kept, moved, mask):
    if (mask[:-1] <= mask[1:]).all():
        return jnp.concatenate([moved, kept], -1)
    joined = jnp.concatenate([kept, moved], -1)
    if (mask[:-1] >= mask[1:]).all():
        return joined
    return joined[..., places(np.concatenate([_true(mask), _true(~mask)]))]


def _true(mask):
    return np.flatnonzero(mask).astype(np.int32)
