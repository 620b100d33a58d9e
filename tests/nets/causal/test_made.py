"""MADE: which output sees which input, and its unrolls against the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.measure.flops import products
from dgm_jax.nets import naive
from dgm_jax.nets.causal import made
from tests.contracts.compiled import jit
from tests.nets.causal.laws import few


def drawn(net, seed=0):
    """Parameters N(0, 0.5²), on the host: nothing to compile."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.5, a.shape), a.dtype), shapes)


WIRINGS = {
    "one layer": (5, {"hidden": (16,)}),
    "three layers": (5, {"hidden": (16, 11, 13)}),
    "permuted": (5, {"hidden": (16, 12), "order": [3, 0, 4, 1, 2]}),
    "narrow": (5, {"hidden": (3, 2)}),
    "narrow in between, permuted": (5, {"hidden": (16, 2, 16), "order": [4, 2, 0, 1, 3]}),
    "direct": (5, {"hidden": (16,), "direct": True}),
    "conditional": (5, {"hidden": (16, 12), "cond_shape": (2,)}),
    "conditional, one unit, permuted": (
        5,
        {"hidden": (1,), "cond_shape": (2,), "order": [1, 0, 4, 3, 2]},
    ),
    "residual": (5, {"hidden": (8, 8, 8, 8, 8), "residual": True}),
    "residual, narrow": (5, {"hidden": (3, 3, 3), "residual": True, "cond_shape": (1,)}),
    "density blocks": (5, {"hidden": (16, 12), "density_blocks": 3, "order": [3, 0, 4, 1, 2]}),
    "two coordinates": (2, {"hidden": (4,)}),
    "one coordinate, conditional": (1, {"hidden": (4, 3), "cond_shape": (2,)}),
}
every_wiring = pytest.mark.parametrize(
    "name",
    few(
        WIRINGS,
        "three layers",
        "narrow",
        "direct",
        "conditional, one unit, permuted",
        "residual, narrow",
        "density blocks",
    ),
)


def build(name, **more):
    dim, options = WIRINGS[name]
    net = made(dim, num_outputs=2, activation=jnp.tanh, **options, **more)
    cond = jnp.array([0.3, -0.7])[: options["cond_shape"][0]] if "cond_shape" in options else None
    order = options.get("order", range(dim))
    return net, dim, list(order), drawn(net), cond


@every_wiring
def test_an_output_sees_exactly_the_inputs_before_it(name):
    """∂f_i/∂x_j is 0 unless j comes before i, and then every one of them is alive."""
    net, dim, order, params, cond = build(name)
    x = jnp.linspace(-0.5, 0.7, dim)
    jacobian = jit(jax.jacfwd(lambda x: net.apply(params, x, cond)))(x)  # [d, k, d]
    in_order = np.asarray(jacobian)[order][..., order]
    for made_at in range(dim):
        assert (in_order[made_at, :, made_at:] == 0).all()
        assert (np.abs(in_order[made_at, :, :made_at]) > 1e-6).all()


@pytest.mark.parametrize(
    "name",
    few(
        [n for n in WIRINGS if "cond_shape" in WIRINGS[n][1]],
        "conditional",
        "one coordinate, conditional",
    ),
)
def test_every_output_sees_the_condition_the_first_too(name):
    net, dim, _, params, cond = build(name)
    x = jnp.linspace(-0.5, 0.7, dim)
    jacobian = jit(jax.jacfwd(lambda c: net.apply(params, x, c)))(cond)
    assert (jnp.abs(jacobian) > 1e-6).all()


@pytest.mark.parametrize("name", ["narrow", "conditional", "residual"])
def test_the_outputs_start_at_zero(name, key):
    net, dim, _, _, cond = build(name)
    f = jit(lambda key: net.apply(net.init(key), jnp.ones((3, dim)), cond))(key)
    assert f.shape == (3, dim, 2)
    np.testing.assert_array_equal(f, 0)


@pytest.mark.parametrize(
    "name", few(["three layers", "conditional", "narrow", "residual"], "conditional", "residual")
)
def test_hidden_units_start_at_the_scale_of_their_inputs(name):
    """Each row of a weight matrix has variance one over the number of units it may read."""
    dim, options = 5, {**WIRINGS[name][1]}
    options["hidden"] = tuple(200 for _ in options["hidden"])
    net = made(dim, num_outputs=1, **options)
    lowest = 0 if "cond_shape" in options else 1
    degrees = np.arange(200) * (dim - lowest) // 200 + lowest
    for n, weight in enumerate(jit(net.init)(jax.random.key(0))["weights"]):
        below = np.arange(1, dim + 1) if n == 0 else degrees
        legal = below[None] <= degrees[:, None]
        total = np.where(legal, np.asarray(weight) ** 2, 0).sum(1)[legal.any(1)]
        assert abs(total.mean() - 1) < 0.15


def test_all_parameters_have_one_dtype_in_float64_too():
    for enabled, wanted in ((False, jnp.float32), (True, jnp.float64)):
        with jax.enable_x64(enabled):
            net = made(3, hidden=(2, 4), num_outputs=2, cond_shape=(2,))
            shapes = jax.eval_shape(net.init, jax.random.key(0))
        assert all(leaf.dtype == wanted for leaf in jax.tree.leaves(shapes))


def test_density_blocks_change_nothing_but_the_arithmetic():
    nets = [build("permuted", density_blocks=count)[0] for count in (1, 2, 3, 5)]
    x = jnp.linspace(-1, 1, 15).reshape(3, 5)
    dense, *blocked = jit(lambda p: [net.apply(p, x) for net in nets])(drawn(nets[0]))
    for f in blocked:
        np.testing.assert_allclose(f, dense, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- unrolls against the definition
UNROLLS = {
    "odd, blocks": (5, {"hidden": (9, 8), "num_blocks": 2}),
    "a block for each coordinate": (3, {"hidden": (6,), "num_blocks": 3}),
    "narrower than the input": (6, {"hidden": (4, 2), "num_blocks": 2}),
    "far wider": (2, {"hidden": (31, 17)}),
    "permuted, conditional": (
        5,
        {"hidden": (6, 7), "cond_shape": (2,), "num_blocks": 2, "order": [3, 0, 4, 1, 2]},
    ),
    "one coordinate, conditional": (1, {"hidden": (3,), "cond_shape": (2,)}),
    "residual": (5, {"hidden": (6, 6, 6), "residual": True, "num_blocks": 2}),
    "fixed point": (5, {"hidden": (6, 7), "inverse": "fixed_point", "order": [3, 0, 4, 1, 2]}),
    "block fixed point": (
        5,
        {
            "hidden": (6, 6, 6),
            "inverse": "block_fixed_point",
            "num_blocks": 2,
            "cond_shape": (2,),
            "residual": True,
        },
    ),
}


# The others are sizes at which the same arithmetic runs.
@pytest.mark.parametrize(
    "name",
    few(
        UNROLLS,
        "far wider",
        "permuted, conditional",
        "residual",
        "fixed point",
        "block fixed point",
    ),
)
def test_all_unrolls_are_those_of_d_full_passes(name):
    """x from emit, and both linear solves against dense triangular systems."""
    dim, options = UNROLLS[name]
    net = made(dim, num_outputs=2, activation=jnp.tanh, **options)
    slow = naive(net.init, net.apply, dim, options.get("order"))
    params, rng = drawn(net), np.random.default_rng(1)
    noise, x = (jnp.asarray(rng.normal(size=(2, 3, dim)), jnp.float32) for _ in range(2))
    f_right = jnp.asarray(rng.normal(size=(2, 3, dim, 2)), jnp.float32)
    cond = jnp.asarray(rng.normal(size=(3, 2)), jnp.float32) if "cond_shape" in options else None

    def all_three(net):
        def emit(i, f):
            return noise[..., i] + jnp.sin(f[..., 0]) * f[..., 1]

        def emit_dot(i, a):  # ẋ_i = noise_i + ½ Σ_k (A ẋ)_ik
            return noise[..., i] + 0.5 * a.sum(-1)

        def emit_bar(i, a):  # f̄_i = right_i + (Aᵀ f̄)_i (½, ½)
            return 0.5 * jnp.stack([a, a], -1)

        units = net.unroll(params, lambda i, f: x[..., i], (2, 3), cond)[2]
        linear = net.linearize(params, x, units, cond)
        f_bar = jax.linear_transpose(linear.outputs, units)
        x_dot, units_dot = linear.unroll(emit_dot, jnp.zeros_like(units))
        units_bar, v = linear.unroll_back(emit_bar, f_bar(f_right)[0])
        return {
            "unroll": net.unroll(params, emit, (2, 3), cond)[:2],
            "tangents": (x_dot, linear.outputs(units_dot)),
            "cotangents": (linear.outputs(units_bar), v),
        }

    @jit
    def run():
        got = all_three(net)
        one_cond = None if cond is None else cond[2]
        jacobian = jax.jacfwd(lambda x: net.apply(params, x, one_cond))(x[1, 2])  # [d, k, d]
        return got, all_three(slow), net.apply(params, got["unroll"][0], cond), jacobian

    got, wanted, f, a = jax.tree.map(np.asarray, run())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), got, wanted)

    np.testing.assert_allclose(got["unroll"][1], f, rtol=2e-5, atol=2e-5)
    assert np.abs(got["unroll"][0] - np.asarray(noise)).max() > 0.01 or dim == 1

    x_dot = np.linalg.solve(np.eye(dim) - 0.5 * a.sum(1), noise[1, 2])
    np.testing.assert_allclose(got["tangents"][0][1, 2], x_dot, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got["tangents"][1][1, 2], a @ x_dot, rtol=1e-4, atol=1e-4)
    pulled = np.kron(a.reshape(2 * dim, dim).T, np.ones((2, 1)))  # rows (i, k): (Aᵀ)_i
    f_bar = np.linalg.solve(np.eye(2 * dim) - 0.5 * pulled, f_right[1, 2].reshape(-1))
    np.testing.assert_allclose(
        got["cotangents"][0][1, 2], f_bar.reshape(dim, 2), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        got["cotangents"][1][1, 2], pulled[::2] @ f_bar, rtol=1e-4, atol=1e-4
    )


DROPOUTS = {
    "raster": {"hidden": (9, 8)},
    "permuted, residual": {
        "hidden": (9, 9, 9),
        "residual": True,
        "order": [3, 0, 4, 1, 2],
        "cond_shape": (2, 2),
        "num_blocks": 2,
    },
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout_is_one_mask_a_key_in_the_pass_and_in_the_unroll(name):
    """Equal outputs under a key, others under another; causal; and None drops nothing."""
    options = DROPOUTS[name]
    net, plain = (made(5, num_outputs=2, dropout=rate, **options) for rate in (0.4, 0.0))
    order, params, rng = (
        list(options.get("order", range(5))),
        drawn(plain),
        np.random.default_rng(1),
    )
    x = jnp.asarray(rng.normal(size=(3, 5)), jnp.float32)
    cond = jnp.asarray(rng.normal(size=(3, 2, 2)), jnp.float32) if "cond_shape" in options else None

    @jit
    def run(key, other):
        again = jax.random.clone
        passes = [net.apply(params, x, cond, key=k) for k in (again(key), other, None)]
        unrolled = [
            n.unroll(params, lambda i, f: x[..., i], (3,), cond, key=again(key))[:2]
            for n in (net, naive(net.init, net.apply, 5, order))
        ]
        jacobian = jax.jacfwd(lambda x: net.apply(params, x, cond, key=again(key)))(x)
        return passes, plain.apply(params, x, cond), unrolled, jacobian

    (f, other, none), wanted, unrolled, jacobian = run(jax.random.key(1), jax.random.key(2))
    np.testing.assert_array_equal(none, wanted)
    for x_made, f_made in unrolled:
        np.testing.assert_array_equal(x_made, x)
        np.testing.assert_allclose(f_made, f, rtol=1e-5, atol=1e-6)
    assert jnp.abs(f - none).max() > 0.01 and jnp.abs(f - other).max() > 0.01
    moves = np.abs(np.asarray(jacobian)).max(2)[np.arange(3), :, np.arange(3)]  # [3, d, d]
    assert (np.triu(moves[:, order][..., order]) == 0).all() and moves.max() > 0.01


def test_dropout_multiplies_what_it_keeps_so_that_means_stay():
    """A linear net: the mean over keys is the net without dropout."""
    net = made(3, hidden=(20,), num_outputs=1, dropout=0.3, activation=lambda a: a)
    params, x = drawn(net), jnp.array([[0.5, -1.0, 2.0]])
    keys = jax.random.split(jax.random.key(0), 4000)
    f = jit(jax.vmap(lambda key: net.apply(params, x, key=key)))(keys)
    error = f.std(0) / np.sqrt(len(keys))
    assert (jnp.abs(f.mean(0) - net.apply(params, x)) <= 5 * error).all() and error[0, 2] > 0


@pytest.mark.parametrize("hidden, num_outputs", [((500,), 5), ((100, 100), 1), ((100, 100), 5)])
def test_making_few_coordinates_costs_no_more_than_one_and_a_half_passes(hidden, num_outputs):
    """Also with the outputs of all coordinates, which a log-det or log p wants beside x."""
    for dim in (2, 3, 8, 9, 16):
        net = made(dim, hidden=hidden, num_outputs=num_outputs)
        params = jax.eval_shape(net.init, jax.random.key(0))
        together = products(net.apply, params, jnp.zeros((5, dim)))
        alone = products(lambda p: net.unroll(p, lambda i, f: f.sum(-1), (5,))[:2], params)
        assert 0 < alone <= 1.5 * together, dim


@pytest.mark.parametrize("inverse", ["unit_once", "fixed_point", "naive"])
def test_an_empty_batch_unrolls_to_an_empty_batch(inverse):
    net = made(3, hidden=(4,), num_outputs=2, inverse=inverse)
    x, f = jit(lambda p: net.unroll(p, lambda i, f: f[..., 0], (0,))[:2])(drawn(net))
    assert x.shape == (0, 3) and f.shape == (0, 3, 2)


def test_fixed_points_stop_early_and_a_tolerance_stops_them_earlier():
    """Counts rounds: exact after d at most, fewer where the map contracts."""
    dim, rounds = 12, []
    params = None
    for tolerance in (0.0, 1e-2):
        net = made(dim, hidden=(12,), num_outputs=1, inverse="fixed_point", tolerance=tolerance)
        params = drawn(net) if params is None else params
        weak = jax.tree.map(lambda a: 0.5 * a, params)
        count = []

        def emit(i, f, count=count):
            jax.debug.callback(lambda: count.append(None))
            return 0.3 + 0.3 * f[..., 0]

        x, *_ = jit(lambda: net.unroll(weak, emit, (1,)))()
        jax.block_until_ready(x)
        jax.effects_barrier()
        rounds.append(len(count))
        slow = naive(net.init, net.apply, dim)
        by_passes = lambda p, slow=slow: slow.unroll(p, lambda i, f: 0.3 + 0.3 * f[..., 0], (1,))
        exact, *_ = jit(by_passes)(weak)
        np.testing.assert_allclose(x, exact, atol=max(tolerance, 1e-6))
    assert rounds[1] < rounds[0] <= dim
