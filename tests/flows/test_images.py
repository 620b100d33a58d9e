"""RealNVP, Glow and Flow++ on images: exact maps of R^d, whose parts are where the papers say."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import channel_coupling, flow_pp, glow, realnvp_image
from dgm_jax.flows.images import alternating
from dgm_jax.learning.devices import data_mesh, replicate, shard_batch
from tests.contracts.compiled import jit
from tests.helpers import log_det_by_autodiff

SMALL = {"hidden": 6, "num_blocks": 1}
FLOWS = {
    "realnvp": ((4, 4, 2), functools.partial(realnvp_image, **SMALL)),
    "glow": ((4, 4, 1), functools.partial(glow, num_steps=2, **SMALL)),
    "glow, qr": ((4, 4, 1), functools.partial(glow, num_steps=2, form="qr", num_levels=1, **SMALL)),
    "flow++": (
        (4, 4, 1),
        functools.partial(flow_pp, num_couplings=(2, 1, 1), num_components=3, num_heads=2, **SMALL),
    ),
}
everywhere = pytest.mark.parametrize("name", FLOWS)


@functools.cache
def built(name, cond_shape=None):
    shape, make = FLOWS[name]
    flow = make(shape, cond_shape=cond_shape)
    return shape, flow, drawn(flow)


def drawn(flow, scale=0.1):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(flow.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, scale, a.shape), a.dtype), shapes)


def points(*shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@functools.cache
def both_ways(name, cond_shape=None):
    flow = built(name, cond_shape)[1]

    def run(params, z, x, cond=None):
        t = flow.bijector(params, cond)
        return t.forward_and_log_det(z), t.inverse_and_log_det(x)

    return jit(run)


@everywhere
def test_noise_is_a_vector_and_images_come_back_from_it(name):
    shape, _, params = built(name)
    z, x = points(3, math.prod(shape)), points(3, *shape, seed=2)
    (y, log_det), (w, back_log_det) = both_ways(name)(params, z, x)
    assert y.shape == x.shape and w.shape == z.shape and log_det.shape == back_log_det.shape == (3,)
    (again_x, up), (again_z, down) = both_ways(name)(params, w, y)
    np.testing.assert_allclose(again_z, z, atol=1e-4)
    np.testing.assert_allclose(again_x, x, atol=1e-4)
    np.testing.assert_allclose(down, -log_det, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(up, -back_log_det, rtol=1e-4, atol=1e-4)
    assert np.abs(np.sort(y.reshape(3, -1)) - np.sort(z)).max() > 0.1  # more than a permutation


@pytest.mark.parametrize("name", ["realnvp", "glow, qr"])  # the contract has the others
def test_the_sum_of_the_log_dets_of_all_parts_is_that_of_the_dense_jacobian(name):
    shape, flow, params = built(name)
    x = points(*shape)

    @jit
    def run(params, x):
        inverse = flow.bijector(params).inverse
        return flow.bijector(params).inverse_log_det_jacobian(x), log_det_by_autodiff(inverse, x)

    got, wanted = run(params, x)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    assert abs(wanted) > 0.1


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_at_the_start_normal_noise_stays_normal(name):
    """A permutation or a rotation: ‖z‖ is kept and the log-det is 0."""
    shape, flow, _ = built(name)
    x = points(3, *shape)
    start = jit(flow.init)(jax.random.key(0))
    _, (z, log_det) = both_ways(name)(start, points(3, math.prod(shape)), x)
    np.testing.assert_allclose((z**2).sum(-1), (x**2).sum((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(log_det, np.zeros(3), atol=1e-3)


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_adapt_sets_every_actnorm_and_again_changes_nothing_also_over_devices(name):
    shape, flow, params = built(name)
    x = 5 * points(32, *shape) + 3
    model = pushforward(flow, standard_normal(math.prod(shape)))
    params = {"base": {}, "flow": params}
    mesh = data_mesh(4)
    run = jit(model.adapt)
    once, z = run(replicate(params, mesh), shard_batch(x, mesh))
    twice, _ = run(once, shard_batch(x, mesh))
    _, (noise, _) = both_ways(name)(once["flow"], jnp.zeros((32, z.shape[-1])), x)
    np.testing.assert_allclose(z, noise, rtol=1e-3, atol=1e-3)  # where the batch has arrived
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), twice, once)
    changed = [
        jax.tree_util.keystr(path)
        for path, (a, b) in jax.tree.leaves_with_path(
            jax.tree.map(lambda *pair: pair, once, params), is_leaf=lambda p: isinstance(p, tuple)
        )
        if np.abs(a - b).max() > 1e-3
    ]
    assert changed and all("shift" in path or "log_scale" in path for path in changed)
    log_prob = jit(lambda params, x: model.dist(params).log_prob(x).mean())
    assert log_prob(once, x) > log_prob(params, x) + 10


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_half_of_the_channels_leaves_before_the_last_level_and_is_not_touched_by_it(name):
    shape, flow, params = built(name)
    level, final = params
    other = [level, jax.tree.map(lambda a: a + 0.1, final)]
    z, x = points(3, math.prod(shape)), points(3, *shape)
    (_, (one, _)), (_, (two, _)) = (both_ways(name)(p, z, x) for p in (params, other))
    half = math.prod(shape) // 2
    np.testing.assert_array_equal(one[:, half:], two[:, half:])
    assert (np.abs(one - two)[:, :half] > 1e-6).mean() > 0.9


def test_the_prior_of_glow_moves_what_leaves_and_nothing_else():
    """The second half of z is standardised given the first; RealNVP has no such part."""
    shape, flow, params = built("glow")
    (unsqueeze, steps, prior), final = params
    other = [[unsqueeze, steps, jax.tree.map(lambda a: a + 0.1, prior)], final]
    z, x = points(3, math.prod(shape)), points(3, *shape)
    (_, (one, _)), (_, (two, _)) = (both_ways("glow")(p, z, x) for p in (params, other))
    half = math.prod(shape) // 2
    np.testing.assert_array_equal(one[:, :half], two[:, :half])
    assert (np.abs(one - two)[:, half:] > 1e-6).all()


@pytest.mark.parametrize("num_layers, channels", [(1, 4), (2, 4), (3, 4), (3, 3)])
def test_alternating_couplings_move_the_halves_in_turn_and_leave_each_in_its_place(
    num_layers, channels
):
    flow = alternating((2, 2, channels), num_layers, **SMALL)
    zero = jax.tree.map(jnp.zeros_like, drawn(flow))
    z = points(4, 2, 2, channels)
    np.testing.assert_array_equal(flow.bijector(zero).forward(z), z)
    x = jit(lambda p, z: flow.bijector(p).forward(z))(drawn(flow), z)
    moved = (x != z).any((0, 1, 2))
    np.testing.assert_array_equal(moved[-1:], [True])
    np.testing.assert_array_equal(moved[:-1].all(), num_layers > 1)


def test_a_class_enters_every_net():
    shape, flow, params = built("glow", 3)
    d = math.prod(shape)
    conds, x = jnp.eye(3), points(3, *shape)
    model = pushforward(flow, standard_normal(d))

    def log_density(p, x, c):
        return model.dist({"base": {}, "flow": p}, c).log_prob(x)

    log_prob = jit(log_density)
    each = log_prob(params, jnp.tile(x[:1], (3, 1, 1, 1)), conds)
    assert np.ptp(each) > 1e-2  # one image, three classes
    np.testing.assert_allclose(log_prob(params, x[0], conds), each, rtol=1e-4)
    kernels = [p for path, p in jax.tree.leaves_with_path(params) if "Dense" in str(path)]
    grads = jit(jax.grad(lambda p: log_density(p, x, conds).sum()))(params)
    grads = [g for path, g in jax.tree.leaves_with_path(grads) if "Dense" in str(path)]
    assert len(kernels) == 3 and all(np.abs(g).max() > 1e-6 for g in grads)


def test_every_parameter_of_flow_pp_has_a_gradient_but_the_bias_of_the_keys():
    """That one adds the same number to all logits of a softmax."""
    shape, conds = (4, 4, 1), jnp.eye(3)
    flow = flow_pp(
        shape,
        num_couplings=(1, 1, 1),
        num_components=2,
        num_heads=1,
        hidden=4,
        num_blocks=1,
        cond_shape=(3,),
    )
    model, x = pushforward(flow, standard_normal(16)), points(3, *shape)
    nll = lambda p: -model.dist({"base": {}, "flow": p}, conds).log_prob(x).mean()  # noqa: E731
    for path, grad in jax.tree.leaves_with_path(jit(jax.grad(nll))(drawn(flow, 0.3))):
        where = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), where
        assert (np.abs(grad).max() > 1e-6) != where.endswith("['key']['bias']"), where


@pytest.mark.parametrize("make", [realnvp_image, glow, flow_pp])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3)])
def test_the_sizes_of_digits_mnist_and_cifar_fit(make, shape):
    d, levels = math.prod(shape), {} if make is flow_pp else {"num_levels": 2 + (shape[0] > 8)}
    if make is glow and shape[0] == 28:
        levels = {"num_levels": 2}  # 28 -> 14 -> 7
    flow = make(shape, hidden=8, num_blocks=1, **levels)

    def run(key, z):
        t = flow.bijector(flow.init(key))
        x, log_det = t.forward_and_log_det(z)
        return x, log_det, t.inverse(x)

    x, log_det, z = jax.eval_shape(run, jax.random.key(0), jnp.zeros((2, d)))
    assert x.shape == (2, *shape) and log_det.shape == (2,) and z.shape == (2, d)


def test_the_code_of_a_level_does_not_grow_with_its_steps():
    def code(num_steps):
        flow = glow((4, 4, 1), num_levels=1, num_steps=num_steps, **SMALL)
        params = jax.eval_shape(flow.init, jax.random.key(0))

        def inverse(params, x):
            return flow.bijector(params).inverse_and_log_det(x)

        return len(jax.jit(inverse).lower(params, jnp.zeros((2, 4, 4, 1))).as_text().splitlines())

    assert code(2) == code(32)


def test_what_the_coupling_keeps_is_kept_to_the_bit():
    flow = channel_coupling((2, 3, 5), **SMALL)
    z = points(4, 2, 3, 5)
    x = jit(lambda p, z: flow.bijector(p).forward(z))(drawn(flow), z)
    np.testing.assert_array_equal(x[..., :3], z[..., :3])
    assert (jnp.abs(x - z)[..., 3:] > 1e-5).all()
