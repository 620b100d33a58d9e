"""A fixed permutation of the coordinates."""

import distrax
import jax.numpy as jnp
import numpy as np

from .. import checks


class Permutation(distrax.Bijector):
    """y_i = x_{order[i]}; log-det exactly 0. Free: one gather with a constant index."""

    def __init__(self, order: np.ndarray):
        super().__init__(event_ndims_in=1, is_constant_jacobian=True)
        self._order = np.asarray(order)
        checks.permutation(self._order, self._order.size)
        self._back = np.argsort(self._order)

    def forward_and_log_det(self, x):
        return self._take(x, self._order)

    def inverse_and_log_det(self, y):
        return self._take(y, self._back)

    def _take(self, x, index):
        checks.events(x, len(index))
        return x[..., index], jnp.zeros(x.shape[:-1], x.dtype)
