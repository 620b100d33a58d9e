"""Multi-scale flows: half of the channels is noise already, the other half is transformed."""

import math

import distrax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array
from .squeeze import flatten


class FactorOut(distrax.Bijector):
    """z = [z_rest, z_out] -> x [H, W, C]: half of the channels is T(z_rest), the other half z_out.

    In the inverse direction half of the channels leaves as noise, and T⁻¹ maps the other half on.
    The log-determinant is that of T.

    rest: T, a bijector from vectors [H·W·C/2] to images [H, W, C/2]; its half of the channels and
        of z [..., H·W·C] comes first
    shape: (H, W, C); an odd C raises InputError
    Dinh et al. (2017), "Density estimation using Real NVP", section 3.6.
    """

    same_as = checks.same_bijector

    def __init__(self, rest: distrax.Bijector, shape: tuple[int, int, int]):
        shape = checks.image_shape(shape)
        if shape[-1] % 2:
            raise checks.InputError(
                f"factoring out needs an even number of channels; got shape {shape}."
            )
        checks.instance(rest, distrax.Bijector, "rest")
        if (rest.event_ndims_in, rest.event_ndims_out) != (1, 3):
            raise checks.InputError(
                "rest must map vectors (1 axis) to images (3); got a map of events of "
                f"{rest.event_ndims_in} to {rest.event_ndims_out}. Compose it with "
                "invert(fixed(flatten(shape)))."
            )
        super().__init__(
            event_ndims_in=1,
            event_ndims_out=3,
            is_constant_jacobian=rest.is_constant_jacobian,
            is_constant_log_det=rest.is_constant_log_det,
        )
        self._rest, self._shape = rest, tuple(shape)
        self._half = flatten((*shape[:2], shape[2] // 2))

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        checks.events(x, math.prod(self._shape), "z")
        z_rest, z_out = jnp.split(x, 2, -1)
        kept, log_det = self._rest.forward_and_log_det(z_rest)
        out = jnp.broadcast_to(self._half.inverse(z_out), kept.shape).astype(kept.dtype)
        return jnp.concatenate([kept, out], -1), log_det

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        checks.event_of(y, self._shape)
        kept, out = jnp.split(y, 2, -1)
        z_rest, log_det = self._rest.inverse_and_log_det(kept)
        z_out = jnp.broadcast_to(self._half.forward(out), z_rest.shape).astype(z_rest.dtype)
        return jnp.concatenate([z_rest, z_out], -1), log_det
