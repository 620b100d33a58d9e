"""A coupling: the special case of the autoregressive flow that the lecture says it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Autoregressive, affine
from dgm_jax.flows import coupling
from dgm_jax.nets import mlp, naive
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

DIM = 5
MASK = np.array([False, True, True, False, True])
KEPT, MOVED = np.flatnonzero(MASK), np.flatnonzero(~MASK)


def causal_net_of_a_coupling(flow):
    """Its conditioner as f_i(x_<i): zero for what is kept (there τ is the identity), a function of
    the kept coordinates for what is moved; the kept ones come first in the order."""
    conditioner = mlp(len(KEPT), 2 * len(MOVED), hidden=(7,), zero_last=True)

    def apply(params, x, cond=None, *, key=None):
        f = conditioner.apply(params, x[..., KEPT]).reshape(*x.shape[:-1], 2, len(MOVED))
        return jnp.zeros((*x.shape, 2)).at[..., MOVED, :].set(jnp.swapaxes(f, -1, -2))

    return apply, naive(flow.init, apply, DIM, [*KEPT, *MOVED])


def test_a_coupling_is_an_autoregression_that_needs_two_passes_where_others_need_d():
    """Forward, inverse and log-dets equal; and two sweeps of x ← τ⁻¹(y; f(x)) from anywhere are
    exact: the first makes the kept part, the second the moved."""
    flow = coupling(DIM, hidden=(7,), mask=MASK)
    params, x = drawn(flow), points(6, DIM)
    apply, net = causal_net_of_a_coupling(flow)

    @jit
    def run(params, x):
        one = flow.bijector(params)
        other = Autoregressive(net, params, affine(), DIM)
        y = one.forward(x)

        def sweep(guess):
            f = apply(params, guess)
            return (y - f[..., 0]) * jnp.exp(-3 * jnp.tanh(f[..., 1] / 3))

        guess = jnp.full_like(y, 7.0)
        both = [(t.forward_and_log_det(x), t.inverse_and_log_det(x)) for t in (one, other)]
        return both, sweep(guess), sweep(sweep(guess))

    (one, other), after_one, after_two = run(params, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, other)
    np.testing.assert_allclose(after_one[:, KEPT], x[:, KEPT], atol=1e-6)
    assert jnp.abs(after_one - x)[:, MOVED].min(0).max() > 1e-2  # one pass is not enough
    np.testing.assert_allclose(after_two, x, atol=1e-5)


def test_what_is_kept_is_kept_to_the_bit_and_what_is_moved_moves():
    flow = coupling(DIM, hidden=(7,), mask=MASK)
    x = points(6, DIM)
    y = jit(lambda p, x: flow.bijector(p).forward(x))(drawn(flow), x)
    np.testing.assert_array_equal(y[:, KEPT], x[:, KEPT])
    assert (jnp.abs(y - x)[:, MOVED] > 1e-4).all()


@pytest.mark.parametrize("dim", [2, 3])
def test_the_default_mask_keeps_every_other_coordinate_from_the_first(dim):
    flow = coupling(dim, hidden=(4,))
    x = points(6, DIM)[:, :dim]
    y = jit(lambda p, x: flow.bijector(p).forward(x))(drawn(flow), x)
    np.testing.assert_array_equal((y == x).all(0), np.arange(dim) % 2 == 0)
