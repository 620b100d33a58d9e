"""RealNVP on images: its parts are where the paper says."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax.flows import realnvp_image
from dgm_jax.learning.devices import data_mesh, replicate, shard_batch
from tests.contracts.compiled import jit
from tests.helpers import drawn, points

SHAPE, SIZE, MAKE = (4, 4, 2), 32, realnvp_image
NUM = 8  # images, everywhere, so that each map is compiled once


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
    x = points(NUM, *SHAPE)
    _, (z, log_det) = run(jit(flow.init)(jax.random.key(0)), points(NUM, SIZE), x)
    np.testing.assert_allclose((z**2).sum(-1), (x**2).sum((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(log_det, np.zeros(NUM), atol=1e-3)


def test_half_of_the_channels_leaves_before_the_last_scale_and_is_not_touched_by_it():
    _, run, params = built()
    scale, final = params
    other = [scale, jax.tree.map(lambda a: a + 0.1, final)]
    z, x = points(NUM, SIZE), points(NUM, *SHAPE)
    (_, (one, _)), (_, (two, _)) = (run(p, z, x) for p in (params, other))
    half = SIZE // 2
    np.testing.assert_array_equal(one[:, half:], two[:, half:])
    assert (np.abs(one - two)[:, :half] > 1e-6).mean() > 0.9


def test_adapt_sets_every_actnorm_and_again_changes_nothing_also_over_devices():
    flow, both, params = built()
    x = 5 * points(NUM, *SHAPE) + 3
    mesh = data_mesh(4)
    run = jit(flow.adapt)
    once, z = jax.device_get(run(replicate(params, mesh), shard_batch(x, mesh)))
    twice, _ = run(replicate(once, mesh), shard_batch(x, mesh))
    _, (noise, _) = both(once, jnp.zeros((NUM, SIZE)), x)
    np.testing.assert_allclose(z, noise, rtol=1e-3, atol=1e-3)  # where the batch has arrived
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), twice, once)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max() > 1e-3, once, params)
    changed = [jax.tree_util.keystr(p) for p, moved in jax.tree.leaves_with_path(moved) if moved]
    assert changed and all("shift" in path or "log_scale" in path for path in changed)
    energy = [(np.square(both(p, noise, x)[1][0]).sum(-1)).mean() for p in (params, once)]
    assert energy[1] < energy[0]  # nearer to the standard normal
