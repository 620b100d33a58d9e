"""The autoregressive law y_i = τ(x_i; f_i(x_<i)): one pass forward, one coordinate at a time back."""

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, CausalNet, Params
from .laws import Law


class Autoregressive(distrax.Bijector):
    """y_i = τ(x_i; f_i(x_<i, c)), log|det ∂y/∂x| = Σ_i log τ'(x_i; f_i).

    `forward` is one pass of the causal net (this direction is IAF). `inverse` needs x_<i to make
    x_i, so it is an unroll: d passes for a naive net, the arithmetic of one for a net such as
    `nets.made` (`distrax.Inverse` of this bijector is MAF).

    The inverse is differentiated by the implicit function theorem, in forward and in reverse mode
    and to any order: its linearisation is triangular, so it is solved by an unroll too, and the
    cost of a gradient does not depend on how the inverse was found.
    Kingma et al. (2016), eq. 10; Papamakarios et al. (2017), eqs. 3-6.
    """

    def __init__(
        self, net: CausalNet, params: Params, law: Law, dim: int, cond: Array | None = None
    ):
        super().__init__(event_ndims_in=1)
        self._net, self._params, self._law, self._dim, self._cond = net, params, law, dim, cond

    def forward_and_log_det(self, x):
        tau = self._law.bijector(self._net.apply(self._params, x, self._cond))
        y, log_det = tau.forward_and_log_det(x)
        return y, log_det.sum(-1)

    def forward(self, x):
        return self._law.bijector(self._net.apply(self._params, x, self._cond)).forward(x)

    def inverse(self, y):
        return self._solve(y)[0]

    def inverse_and_log_det(self, y):
        x, f = self._solve(y)
        return x, -self._law.bijector(f).forward_log_det_jacobian(x).sum(-1)

    def _solve(self, y):
        """x and f with y = τ(x; f) and f = f(x): what both inverses need."""
        checks.events(y, self._dim, "y")
        shape = y.shape[:-1]
        if self._cond is not None:
            shape = jnp.broadcast_shapes(shape, self._cond.shape[:-1])
        dtype = jnp.result_type(y, *jax.tree.leaves(self._params))
        y = jnp.broadcast_to(y, (*shape, self._dim)).astype(dtype)
        return _invert(self._net, self._law, self._params, self._cond, y)


def _invert(net: CausalNet, law: Law, params: Params, cond: Array | None, y: Array):
    @jax.custom_jvp
    def solve(params, cond, y):
        by_coordinate = jnp.moveaxis(y, -1, 0)  # so that an unroll's step reads one slice
        return net.unroll(
            params, lambda i, f: law.bijector(f).inverse(by_coordinate[i]), y.shape[:-1], cond
        )

    @solve.defjvp
    def solve_jvp(primals, tangents):
        """Differentiates the two equations that define x and f. With A = ∂f/∂x at x, they read

            τ_x ẋ + τ_f·ḟ = ẏ          (τ(x; f) = y, coordinate by coordinate)
            ḟ - A ẋ       = ∂_θ f θ̇     (f = f(x; θ))
        """
        params, cond, y = primals
        x, f = solve(params, cond, y)
        ones = jnp.ones_like(y)
        tau_x = jax.jvp(lambda x: law.bijector(f).forward(x), (x,), (ones,))[1]  # [..., d]
        tau_f = jax.vjp(lambda f: law.bijector(f).forward(x), f)[1](ones)[0]  # [..., d, k]
        slope, pull = jnp.moveaxis(tau_x, -1, 0), jnp.moveaxis(tau_f, -2, 0)
        f_theta = jax.jvp(lambda p, c: net.apply(p, x, c), (params, cond), tangents[:2])[1]

        # The unknowns ẋ and ḟ share one array, [..., d, 1 + k]: JAX transposes a solve only where
        # its right-hand side is linear as a whole.
        def join(x_like, f_like):
            return jnp.concatenate([x_like[..., None], f_like], -1)

        def split(u):
            return u[..., 0], u[..., 1:]

        def system(unknowns):
            x_dot, f_dot = split(unknowns)
            push = jax.jvp(lambda x: net.apply(params, x, cond), (x,), (x_dot,))[1]
            return join(tau_x * x_dot + (tau_f * f_dot).sum(-1), f_dot - push)

        def substitute(_, right):
            y_dot, g = split(jnp.moveaxis(right, -2, 0))

            def emit(i, push):
                return (y_dot[i] - (pull[i] * (push + g[i])).sum(-1)) / slope[i]

            x_dot, push = net.linear_unroll(params, x, emit, cond, transpose=False)
            return join(x_dot, push + right[..., 1:])

        def substitute_back(_, right):  # λ τ_x - Aᵀ μ = x̄ and μ + τ_f λ = f̄
            x_bar, f_bar = split(jnp.moveaxis(right, -2, 0))

            def emit(i, product):
                return f_bar[i] - pull[i] * ((x_bar[i] + product) / slope[i])[..., None]

            mu, product = net.linear_unroll(params, x, emit, cond, transpose=True)
            return join((right[..., 0] + product) / tau_x, mu)

        right = join(tangents[2], f_theta)
        tangent = jax.lax.custom_linear_solve(system, right, substitute, substitute_back)
        return (x, f), split(tangent)

    return solve(params, cond, y)
