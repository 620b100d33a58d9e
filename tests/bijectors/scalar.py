"""What every coupling law obeys, as checks of one law at parameters c [n, k] and points x [n]."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.flows import maf
from tests.contracts.compiled import jit
from tests.helpers import log_det_by_autodiff, perturb

METHODS = ("forward_and_log_det", "inverse_and_log_det")


class Measured(NamedTuple):
    """Value and log-det of one direction, [n, 2], and their derivatives."""

    values: jax.Array
    pushes: jax.Array  # [n, 2], along a direction in (c, x), by forward mode
    slopes: jax.Array  # [n, 2], in x, by forward mode
    grads: tuple[jax.Array, jax.Array]  # [n, 2, k] in c and [n, 2] in x, by reverse mode


@cache
def measure(law, method):
    """Everything at once, so that it compiles once; points keep one shape for the same reason."""

    @jit
    @jax.vmap
    def measured(c, x, c_dot, x_dot):
        def f(c, x):
            return jnp.stack(getattr(law.bijector(c), method)(x))

        values, pushes = jax.jvp(f, (c, x), (c_dot, x_dot))
        slopes = jax.jvp(lambda x: f(c, x), (x,), (jnp.ones_like(x),))[1]
        return Measured(values, pushes, slopes, jax.jacrev(f, (0, 1))(c, x))

    return measured


@cache
def run(law, method):
    return jit(lambda c, x: getattr(law.bijector(c), method)(x))


def draw(law, n=200, *, scale=0.5, spread=2.0, dtype=jnp.float64, seed=0):
    """Parameters and points, in the bulk and in the tails."""
    c_key, x_key = jax.random.split(jax.random.key(seed))
    c = scale * jax.random.normal(c_key, (n, law.num_params))
    x = spread * jax.random.normal(x_key, (n,))
    return c.astype(dtype), x.astype(dtype)


def close(got, wanted, tol):
    np.testing.assert_allclose(got, wanted, rtol=tol, atol=tol)


def check_both_orders_are_the_identity(law, c, x, tol):
    forward, inverse = (run(law, method) for method in METHODS)
    y, log_det = forward(c, x)
    back, back_log_det = inverse(c, y)
    close(back, x, tol)
    close(back_log_det, -log_det, 10 * tol)  # it moves with the second derivative
    close(forward(c, inverse(c, x)[0])[0], x, tol)
    assert jnp.abs(y - x).max() > 0.1


def check_log_dets_are_derivatives(law, c, x, tol):
    for method in METHODS:
        m = measure(law, method)(c, x, c, x)
        close(jnp.log(m.slopes[:, 0]), m.values[:, 1], tol)
        close(jnp.log(m.grads[1][:, 0]), m.values[:, 1], tol)


def check_gradients_are_differences(law, c, x, tol=1e-6, step=1e-5):
    """Of values and log-dets, along a random direction in x and c, by both modes of autodiff."""
    c_dot, x_dot = draw(law, len(x), scale=1.0, spread=1.0, seed=1)
    for method in METHODS:
        m = measure(law, method)(c, x, c_dot, x_dot)
        ahead, behind = (
            jnp.stack(run(law, method)(c + e * c_dot, x + e * x_dot), -1) for e in (step, -step)
        )
        close(m.pushes, (ahead - behind) / (2 * step), tol)
        in_c, in_x = m.grads
        close(jnp.einsum("nvk,nk->nv", in_c, c_dot) + in_x * x_dot[:, None], m.pushes, 1e-9)


@cache
def gradients(law):
    """Values and log-dets of both directions at x, and their gradients in c and x."""

    @jit
    @jax.vmap
    def of(c, x):
        def twice(c, x):
            t = law.bijector(c)
            both = jnp.stack([*t.forward_and_log_det(x), *t.inverse_and_log_det(x)])
            return both, both

        return jax.jacrev(twice, (0, 1), has_aux=True)(c, x)

    return of


def check_finite_with_gradients(law, c, x):
    for leaf in jax.tree.leaves(gradients(law)(c, x)):
        assert np.isfinite(np.float32(leaf)).all()
        assert leaf.dtype == x.dtype


def check_parameters_and_points_broadcast(law, tol):
    """Four of each, in a table, against one with one."""
    c, x = draw(law, 4, dtype=jnp.float32)
    all_c, all_x = np.tile(c, (4, 1)), np.repeat(x, 4)  # [x · c]
    for method in METHODS:

        @jit
        def values(*pairs, method=method):
            return [getattr(law.bijector(c), method)(x) for c, x in pairs]

        got = values((all_c, all_x), (c, x[:, None]), (c[:, None], x), (c, x[0]))
        for part in zip(*got, strict=True):  # values, then log-dets
            each, x_first, c_first, one = map(np.asarray, part)
            each = each.reshape(4, 4)
            close(x_first, each, tol)
            close(c_first, each.T, tol)
            close(one, each[0], tol)


def check_autoregression(law, tol=1e-9):
    """Inverse, log-dets, and the gradient of the direction that is solved, in float64."""
    x = jax.random.normal(jax.random.key(1), (3,)).astype(jnp.float64)
    weights = jnp.array([1.0, -2.0, 3.0])
    flow = maf(3, num_layers=1, hidden=(4,), law=law)
    params = jax.tree.map(lambda a: a.astype(jnp.float64), flow.init(jax.random.key(2)))
    params = perturb(params, jax.random.key(3))

    @jit
    def pairs(params, x):
        def inverse(params, y):
            return flow.bijector(params).inverse(y)

        t = flow.bijector(params)
        y, log_det = t.forward_and_log_det(x)
        back, back_log_det = t.inverse_and_log_det(y)
        # T⁻¹(T(x; θ); θ) = x, so ∂_θ T = -(∂_y T⁻¹)⁻¹ ∂_θ T⁻¹: here against fixed weights.
        jacobian = jax.jacfwd(inverse, 1)(params, y)
        multiplier = jnp.linalg.solve(jacobian.T, weights)
        return [
            (back, x),
            (back_log_det, -log_det),
            (back_log_det, jnp.linalg.slogdet(jacobian).logabsdet),
            (log_det, log_det_by_autodiff(t.forward, x)),
            (
                jax.grad(lambda p: weights @ flow.bijector(p).forward(x))(params),
                jax.grad(lambda p: -multiplier @ inverse(p, y))(params),
            ),
        ]

    for got, wanted in pairs(params, x):
        jax.tree.map(lambda a, b: close(a, b, tol), got, wanted)
