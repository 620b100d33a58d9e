"""Glow: its parts are where the paper says, and a condition enters every net."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.flows import glow
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

SHAPE, SIZE, MAKE = (4, 4, 1), 16, partial(glow, num_steps=2)


def both_ways(flow):
    """params, noise, images -> (images, log-det), (noise, log-det)."""

    def run(params, z, x, cond=None):
        t = flow.bijector(params, cond)
        return t.forward_and_log_det(z), t.inverse_and_log_det(x)

    return jit(run)


@cache
def built(cond_shape=None):
    """The flow, its two directions compiled, and parameters away from where they start."""
    flow = MAKE(SHAPE, cond_shape=cond_shape, hidden=6, num_blocks=1)
    return flow, both_ways(flow), drawn(flow, 0.1)


def test_at_the_start_normal_noise_stays_normal():
    """A permutation or a rotation: ‖z‖ is kept and the log-det is 0."""
    flow, run, _ = built()
    x = points(3, *SHAPE)
    _, (z, log_det) = run(jit(flow.init)(jax.random.key(0)), points(3, SIZE), x)
    np.testing.assert_allclose((z**2).sum(-1), (x**2).sum((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(log_det, np.zeros(3), atol=1e-3)


def test_half_of_the_channels_leaves_before_the_last_scale_and_is_not_touched_by_it():
    _, run, params = built()
    scale, final = params
    other = [scale, jax.tree.map(lambda a: a + 0.1, final)]
    z, x = points(3, SIZE), points(3, *SHAPE)
    (_, (one, _)), (_, (two, _)) = (run(p, z, x) for p in (params, other))
    half = SIZE // 2
    np.testing.assert_array_equal(one[:, half:], two[:, half:])
    assert (np.abs(one - two)[:, :half] > 1e-6).mean() > 0.9


def test_the_prior_moves_what_leaves_and_nothing_else():
    """The second half of z is standardised given the first."""
    _, run, params = built()
    (unsqueeze, steps, prior), final = params
    other = [[unsqueeze, steps, jax.tree.map(lambda a: a + 0.1, prior)], final]
    z, x = points(3, SIZE), points(3, *SHAPE)
    (_, (one, _)), (_, (two, _)) = (run(p, z, x) for p in (params, other))
    half = SIZE // 2
    np.testing.assert_array_equal(one[:, :half], two[:, :half])
    assert (np.abs(one - two)[:, half:] > 1e-6).all()


@pytest.mark.parametrize("cond_shape", [(3,), pytest.param((4, 4, 2), marks=pytest.mark.full)])
def test_a_class_or_a_map_enters_every_net(cond_shape):
    flow = MAKE(SHAPE, cond_shape=cond_shape, hidden=6, num_blocks=1)
    params, x, conds = drawn(flow, 0.1), points(3, *SHAPE), points(3, *cond_shape, seed=2)

    @jit
    def run(params, x, conds):
        def log_det(params, x, conds):
            return flow.bijector(params, conds).inverse_log_det_jacobian(x)

        return log_det(params, x[:1], conds), *jax.grad(
            lambda *args: (log_det(*args) ** 2).sum(), (0, 2)
        )(params, x, conds)

    each, grads, in_cond = run(params, x, conds)
    assert each.shape == (3,) and np.ptp(each) > 1e-2  # one image, three conditions
    grads = [g for path, g in jax.tree.leaves_with_path(grads) if "Dense" in str(path)]
    assert len(grads) == 3 and all(np.abs(g).max() > 1e-6 for g in grads)
    assert (np.abs(in_cond) > 0).all()


def test_the_code_of_a_scale_does_not_grow_with_its_steps():
    def code(num_steps):
        flow = glow((4, 4, 1), num_scales=1, num_steps=num_steps, hidden=6, num_blocks=1)
        params = jax.eval_shape(flow.init, jax.random.key(0))

        def inverse(params, x):
            return flow.bijector(params).inverse_and_log_det(x)

        return len(jax.jit(inverse).lower(params, jnp.zeros((2, 4, 4, 1))).as_text().splitlines())

    assert code(2) == code(32)
