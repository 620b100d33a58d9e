"""The autoregressive bijection y_i = τ(x_i; f_i(x_<i)): one pass forward, d steps inverse."""

import distrax
import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import total
from ..protocol import Array, CausalNet, Key, Params, again
from .implicit import equations
from .laws import Law


class Autoregressive(distrax.Bijector):
    """y_i = τ(x_i; f_i(x_<i, c)), log|det ∂y/∂x| = Σ_i log τ'(x_i; f_i), on vectors x [..., d].

    `forward` is one pass of the causal net f (this direction is IAF). `inverse` computes x_i from
    x_<i: d passes for `nets.naive`, the arithmetic of one pass for a net such as `nets.made`
    (`distrax.Inverse` of this bijector is MAF). It is differentiated by the implicit function
    theorem, in forward and reverse mode and to any order. The linear equations for the derivative
    are triangular as well, so that the cost of a gradient does not depend on how the inverse was
    computed.

    net, params: f, with law.num_params outputs for each coordinate, and its parameters. A net of
        levels (`encoding`) raises InputError, since it has no derivative
    law: τ, such as `bijectors.affine()`
    dim: d
    cond: the condition c [..., *net.cond_shape], or None
    key: for dropout in the net, the same units in both directions; None for none
    Kingma et al. (2016), "Improving variational inference with inverse autoregressive flow", eq.
    10; Papamakarios et al. (2017), "Masked autoregressive flow", eqs. 3-6.
    """

    same_as = checks.same_bijector

    def __init__(
        self,
        net: CausalNet,
        params: Params,
        law: Law,
        dim: int,
        cond: Array | None = None,
        *,
        key: Key | None = None,
    ):
        checks.noun(net, CausalNet, "net")
        checks.noun(law, Law, "law")
        super().__init__(event_ndims_in=1, is_constant_log_det=law.constant_log_det)
        if net.linearize is None:
            raise checks.InputError(
                "net must have a derivative by its inputs, `linearize`, for a flow to invert; this "
                "one has none, as nets of levels (encoding=...) have none. Build it for numbers."
            )
        checks.condition(cond, net.cond_shape)
        if key is not None:
            checks.key(key)
        self._net, self._params, self._law, self._cond = net, params, law, cond
        self._dim, self._key = checks.positive_int(dim, "dim"), key

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        f = self._net.apply(self._params, x, self._cond, key=again(self._key))
        _check_outputs(f, self._law)
        x = _rows(jnp.broadcast_to(x, f.shape[:-1]))  # one point may meet a batch of conditions
        y, log_det = self._law.bijector(_rows(f, -2)).forward_and_log_det(x)
        return jnp.moveaxis(y, 0, -1), total(jnp.moveaxis(log_det, 0, -1))

    def forward(self, x: Array) -> Array:
        return self.forward_and_log_det(x)[0]

    def inverse(self, y: Array) -> Array:
        return self._solve(y)[0]

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        x, f = self._solve(y)
        log_det = self._law.bijector(_rows(f, -2)).forward_log_det_jacobian(_rows(x))
        return x, -total(jnp.moveaxis(log_det, 0, -1))

    def _solve(self, y):
        """x and f with y = τ(x; f) and f = f(x): what both inverses need."""
        checks.events(y, self._dim, "y")
        cond_batch = checks.condition(self._cond, self._net.cond_shape)
        shape = checks.common_batch({"x": y.shape[:-1], "cond": cond_batch})
        dtype = jnp.result_type(y, *jax.tree.leaves(self._params))
        y = jnp.broadcast_to(y, (*shape, self._dim)).astype(dtype)
        return _invert(self._net, self._law, self._params, self._cond, self._key, y)


def _check_outputs(f, law):
    if f.shape[-1] != law.num_params:
        raise checks.InputError(
            f"net must have the {law.num_params} outputs a coordinate that law takes; got "
            f"{f.shape[-1]}. Build it with num_outputs=law.num_params."
        )


def _rows(array, axis=-1):
    """The axis of coordinates first, as nets make it: τ is then computed along the batch."""
    return jnp.moveaxis(array, axis, 0)


def _invert(net, law, params, cond, key, y):
    """(x, f) with y = τ(x; f) and f = f(x), differentiable by `params`, `cond` and `y`.

    The value is an unroll of the net. The derivative is not taken through that unroll: it solves
    the linear equations of `implicit` at the solution.
    """

    def tau(x, f):
        return law.bijector(f).forward(x)

    @jax.custom_jvp
    def solve(params, cond, key, y):
        by_coordinate = jnp.moveaxis(y, -1, 0)  # each step of the unroll reads one slice of it

        def emit(i, f):
            _check_outputs(f, law)
            return law.bijector(f).inverse(by_coordinate[i])

        return net.unroll(params, emit, y.shape[:-1], cond, key=again(key))

    @solve.defjvp
    def solve_jvp(primals, tangents):
        params, cond, key, y = primals
        params_dot, cond_dot, _, y_dot = tangents
        x, f, units = solve(params, cond, again(key), y)
        linear = net.linearize(params, x, units, cond, key=again(key))
        at_x = equations(linear, tau, x, f, units)
        x_dot, units_dot = at_x.solve(y_dot, linear.added(params_dot, cond_dot))
        return (x, f, units), (x_dot, linear.outputs(units_dot), units_dot)

    return solve(params, cond, again(key), y)[:2]
