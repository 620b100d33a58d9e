"""The coupling bijection, by hand."""

import jax.numpy as jnp
import numpy as np

from dgm_jax.bijectors import Coupling, affine


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
