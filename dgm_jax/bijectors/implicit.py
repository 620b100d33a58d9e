"""The derivative of an autoregressive inverse, by the implicit function theorem.

The inverse finds x with τ(x; f(x)) = y, coordinate by coordinate. Let u be all the sums of the
causal net at x, of which the outputs f are a part. Moved by ẏ, θ̇ and ċ, the equations that define
x and u read

    τ_x ẋ + τ_f · ḟ      = ẏ
    u̇ - spread(ẋ, u̇)     = added(θ̇, ċ)

which is linear in the unknowns (ẋ, u̇), and triangular in the order of the coordinates. So it is
solved by an unroll, and its transpose by an unroll from the last coordinate to the first: each for
about the price of the inverse. With the sums among the unknowns the transpose solves for their
cotangents too, so that those of the weights cost one product each and no further pass.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..protocol import Array


class Equations(NamedTuple):
    """The linear equations for (ẋ, u̇) at a solution x.

    The two unknowns share one vector: JAX transposes a solve only where its right-hand side is
    linear as a whole.
    """

    net: Any  # the derivative of the causal net at x: `nets.causal.linearized.LinearCausalNet`
    tau_x: Array  # ∂τ/∂x [..., d]
    tau_f: Array  # ∂τ/∂f [..., d, k]
    units_shape: tuple[int, ...]

    def solve(self, y_dot: Array, added: Array) -> tuple[Array, Array]:
        """(ẋ [..., d], u̇) for the right-hand sides of both equations; differentiable itself."""
        right = self._join(y_dot, added)
        return self._split(
            jax.lax.custom_linear_solve(
                self._left,
                right,
                lambda _, right: self._substitute(right),
                lambda _, right: self._substitute_back(right),
            )
        )

    def _left(self, unknowns):
        x_dot, units_dot = self._split(unknowns)
        y_dot = self.tau_x * x_dot + (self.tau_f * self.net.outputs(units_dot)).sum(-1)
        return self._join(y_dot, units_dot - self.net.spread(x_dot, units_dot))

    def _substitute(self, right):
        """ẋ_i = (ẏ_i - τ_f·ḟ_i) / τ_x, one coordinate after the other."""
        y_dot, right = self._split(right)
        slope, pull, y_rows = self._rows(y_dot)

        def emit(i, f_dot):
            pulled = sum(p * f_dot[..., j] for j, p in enumerate(pull[i]))
            return (y_rows[i] - pulled) / slope[i]

        return self._join(*self.net.unroll(emit, right))

    def _substitute_back(self, right):
        """λ τ_x - v = x̄, where f̄_i has -τ_f λ beside its right-hand side."""
        x_bar, right = self._split(right)
        slope, pull, x_rows = self._rows(x_bar)

        def emit(i, v):
            scale = (x_rows[i] + v) / slope[i]
            return jnp.stack([-p * scale for p in pull[i]], -1)

        units_bar, v = self.net.unroll_back(emit, right)
        return self._join((x_bar + v) / self.tau_x, units_bar)

    def _rows(self, of_x):
        """τ_x [d, ...], τ_f [d, k, ...] and an array like x [d, ...]: a step reads one slice of
        each, contiguous."""
        slope = jnp.moveaxis(self.tau_x, -1, 0)
        pull = jnp.moveaxis(self.tau_f, (-2, -1), (0, 1))
        return slope, pull, jnp.moveaxis(of_x, -1, 0)

    def _join(self, x_like, units_like):
        return jnp.concatenate([x_like.reshape(-1), units_like.reshape(-1)])

    def _split(self, both):
        size = self.tau_x.size
        return both[:size].reshape(self.tau_x.shape), both[size:].reshape(self.units_shape)


def equations(
    net: Any, tau: Callable[[Array, Array], Array], x: Array, f: Array, units: Array
) -> Equations:
    """The equations at x, where the net has outputs f [..., d, k] and sums `units`.

    net: its derivative there; tau(x, f): the law, coordinate by coordinate.
    """
    ones = jnp.ones_like(x)
    tau_x = jax.jvp(lambda x: tau(x, f), (x,), (ones,))[1]
    tau_f = jax.vjp(lambda f: tau(x, f), f)[1](ones)[0]
    return Equations(net, tau_x, tau_f, units.shape)
