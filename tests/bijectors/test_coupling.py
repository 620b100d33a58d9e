"""The coupling bijection, by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.bijectors import Coupling, affine
from dgm_jax.flows import coupling
from tests.helpers import drawn


def test_coupling_is_the_formula_on_the_moved_part():
    """y_b = x_b e^{s(x_a)} + m(x_a) with a = {0, 2}, each moved coordinate with its own (m, s)."""
    mask = np.array([True, False, True, False])

    def conditioner(kept):  # [..., 2] -> [..., 4]: m of coordinates 1 and 3, then s of both
        a, b = kept[..., 0], kept[..., 1]
        return jnp.stack([a + b, a * b, a, b], -1)

    x = jnp.array([[0.5, 1.0, -0.4, 2.0], [0.1, -1.0, 0.2, 0.3]])
    y, log_det = Coupling(mask, conditioner, affine(bound=1e6)).forward_and_log_det(x)
    a, b = x[:, 0], x[:, 2]
    wanted = jnp.stack([a, x[:, 1] * jnp.exp(a) + a + b, b, x[:, 3] * jnp.exp(b) + a * b], -1)
    np.testing.assert_allclose(y, wanted, rtol=1e-5)
    np.testing.assert_allclose(log_det, a + b, rtol=1e-5)


def test_the_conditioner_sees_the_kept_part_only():
    seen = []

    def conditioner(kept):
        seen.append(kept)
        return jnp.zeros((*kept.shape[:-1], 2))

    t = Coupling([False, True, True], conditioner, affine())
    t.forward(jnp.array([1.0, 2.0, 3.0]))
    t.inverse(jnp.array([1.0, 2.0, 3.0]))
    assert [list(kept) for kept in seen] == [[2, 3], [2, 3]]


def test_a_coupling_is_an_argument_of_jit_and_of_grad_and_traced_once():
    """Its parameters are its leaves, and its mask is none."""
    flow = coupling(3, hidden=(4,), mask=[False, True, False])
    x, traces = jnp.array([0.3, -1.0, 0.5]), []

    @jax.jit
    def value(t, x):
        traces.append(t)
        y, log_det = t.forward_and_log_det(x)
        return y.sum() + log_det

    for seed in (0, 1):
        params = drawn(flow, seed=seed)
        wanted, slopes = jax.value_and_grad(lambda p: value(flow.bijector(p), x))(params)
        np.testing.assert_allclose(value(flow.bijector(params), x), wanted, rtol=1e-6)
        of_leaves = jax.grad(value)(flow.bijector(params), x)
        for a, b in zip(jax.tree.leaves(of_leaves), jax.tree.leaves(slopes), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)
    assert len(traces) <= 3
