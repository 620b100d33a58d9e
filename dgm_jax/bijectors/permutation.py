"""A fixed permutation of the coordinates."""

import distrax
import numpy as np

from .. import checks
from ..arrays import no_log_det, places
from ..protocol import Array


class Permutation(distrax.Bijector):
    """y_i = x_{order[i]} over the last axis; log-determinant 0. One gather with a constant index.

    order: [d], a permutation of 0..d-1, known when the program is traced; else InputError
    event_ndims: 1 for vectors [..., d]; 3 for the channels of images [..., H, W, d]
    """

    same_as = checks.same_bijector

    def __init__(self, order: np.ndarray, *, event_ndims: int = 1):
        event_ndims = checks.positive_int(event_ndims, "event_ndims")
        super().__init__(event_ndims_in=event_ndims, is_constant_jacobian=True)
        self._order = checks.permutation(order)
        self._back = places(self._order)

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        return self._take(x, self._order)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        return self._take(y, self._back)

    def _take(self, x, index):
        checks.events(x, len(index))
        return x[..., index], no_log_det(x, self.event_ndims_in)
