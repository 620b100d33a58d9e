"""Many layers of one form: stacked parameters, compiled once."""

from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp

from ..protocol import Params


class Scan(distrax.Bijector):
    """T = T_K ∘ ... ∘ T_1, log-dets added; layer k has the k-th slice of each stacked parameter.

    `forward` runs layer 1 first, `inverse` layer K first. As one `jax.lax.scan` the compile time
    does not depend on K; `unroll=True` writes the K layers out instead, which compiles K times the
    code and makes gradients 1.2-2 times faster where slicing the weights is what costs.
    """

    def __init__(
        self, layer: Callable[[Params], distrax.Bijector], params: Params, *, unroll: bool = False
    ):
        self._first = jax.tree.map(lambda leaf: leaf[0], params)
        super().__init__(event_ndims_in=layer(self._first).event_ndims_in)
        self._layer, self._params, self._unroll = layer, params, unroll

    def _run(self, x, method, reverse):
        def body(x, params):
            return getattr(self._layer(params), method)(x), None

        return self._scan(body, self._like_output(x, method), reverse)

    def _run_with_log_det(self, x, method, reverse):
        def body(carry, params):
            x, total = carry
            x, log_det = getattr(self._layer(params), method)(x)
            return (x, total + log_det), None

        x = self._like_output(x, method.removesuffix("_and_log_det"))
        total = jnp.zeros(x.shape[: x.ndim - self.event_ndims_in], x.dtype)
        return self._scan(body, (x, total), reverse)

    def _scan(self, body, start, reverse):
        return jax.lax.scan(body, start, self._params, reverse=reverse, unroll=self._unroll)[0]

    def _like_output(self, x, method):
        """x in the shape and dtype of a layer's output: a batch of conditions broadcasts it."""
        like = jax.eval_shape(lambda x, p: getattr(self._layer(p), method)(x), x, self._first)
        return jnp.broadcast_to(x, like.shape).astype(like.dtype)

    def forward(self, x):
        return self._run(x, "forward", reverse=False)

    def inverse(self, y):
        return self._run(y, "inverse", reverse=True)

    def forward_and_log_det(self, x):
        return self._run_with_log_det(x, "forward_and_log_det", reverse=False)

    def inverse_and_log_det(self, y):
        return self._run_with_log_det(y, "inverse_and_log_det", reverse=True)
