"""What a transformer sees, knows of places and pays, told exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.measure.flops import products
from dgm_jax.nets import naive, one_hot
from dgm_jax.nets.causal import transformer
from dgm_jax.nets.causal.time import AllSteps
from dgm_jax.nets.causal.transformer import rotated
from tests.contracts.compiled import jit
from tests.nets.causal import laws
from tests.nets.causal.laws import again

DIM = 7
ORDER = [3, 0, 6, 1, 5, 2, 4]
SMALL = {"num_outputs": 3, "hidden": 8, "num_heads": 2}
NETS = {
    "learned": {"num_layers": 1},
    "order, conditional": {"num_layers": 2, "order": ORDER, "cond_shape": (2,)},
    "rotary": {"num_layers": 2, "positions": "rotary"},
    "window in blocks, order": {"num_layers": 1, "window": 3, "order": ORDER},
    "rotary, window, conditional": {
        "num_layers": 2,
        "positions": "rotary",
        "window": 3,
        "cond_shape": (2,),
    },
    "dropout, a condition a step": {"num_layers": 1, "cond_shape": (DIM, 2), "dropout": 0.3},
}
KEY = jax.random.key(7)
everywhere = pytest.mark.parametrize("name", NETS)
# The others are made of what these are made of.
STEP_BY_STEP = laws.few(
    NETS, "window in blocks, order", "rotary, window, conditional", "dropout, a condition a step"
)


def drawn(net, dtype=jnp.float32):
    return laws.drawn(net, 0.7, dtype)


@everywhere
def test_an_output_answers_to_all_it_may_see_and_to_nothing_else(name):
    """By the Jacobian: the last L (window - 1) + 1 inputs in the order, or all."""
    own = NETS[name]
    net = transformer(DIM, **SMALL, **own)
    x = jnp.asarray(np.random.default_rng(1).normal(size=DIM), jnp.float32)
    cond = jnp.full(own["cond_shape"], 0.6) if "cond_shape" in own else None
    jacobian = jit(jax.jacfwd(lambda p, x: net.apply(p, x, cond), argnums=1))(drawn(net), x)
    order = own.get("order", range(DIM))
    moves = np.abs(np.asarray(jacobian)).max(1)[order][:, order]
    lag = np.arange(DIM)[:, None] - np.arange(DIM)
    furthest = own["num_layers"] * (own.get("window", DIM + 1) - 1) + 1
    np.testing.assert_array_equal(moves > 1e-9, (lag > 0) & (lag <= furthest))
    assert (moves[(lag <= 0) | (lag > furthest)] == 0).all()


@pytest.mark.parametrize("name", STEP_BY_STEP)
def test_a_step_at_a_time_is_the_definition_in_float64(name):
    own = NETS[name]
    with jax.enable_x64(True):
        net = transformer(DIM, encoding=one_hot(3), **SMALL, **own)
        params = drawn(net, jnp.float64)
        slow = naive(net.init, net.apply, DIM, own.get("order"), levels=True)
        cond = None
        if "cond_shape" in own:
            cond = jnp.asarray(np.random.default_rng(2).normal(size=(2, *own["cond_shape"])))
        key = KEY if "dropout" in own else None

        def emit(i, f):
            return jax.random.categorical(jax.random.fold_in(jax.random.key(5), i), f)

        def both(p):
            unrolled = [n.unroll(p, emit, (3, 2), cond, key=again(key))[:2] for n in (net, slow)]
            x = unrolled[0][0]
            return unrolled, [net.apply(p, x, cond, key=again(k)) for k in (key, None)]

        ((x, f), (x_slow, f_slow)), (f_pass, without_key) = jit(both)(params)
        np.testing.assert_allclose(f, f_pass, rtol=1e-13, atol=1e-13)
        assert (np.abs(f - without_key).max() > 0.01) == ("dropout" in own)
        assert f.dtype == jnp.float64
        np.testing.assert_array_equal(x, x_slow)
        np.testing.assert_allclose(f, f_slow, rtol=1e-13, atol=1e-13)


def test_rotary_places_are_distances_so_that_parameters_serve_any_length():
    """Six steps on, the same inputs give the same outputs, in a net of another length too."""
    own = {"num_layers": 1, "positions": "rotary", "window": 3, "encoding": one_hot(3)}
    short, long = (transformer(dim, **SMALL, **own) for dim in (6, 40))
    params = drawn(short)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(
        jnp.shape, jax.eval_shape(long.init, jax.random.key(0))
    )
    x = jnp.asarray(np.random.default_rng(0).integers(0, 3, 40))

    @jit
    def run(params):
        of_short = short.apply(params, x[:6])
        return of_short, long.apply(params, x), long.apply(params, jnp.roll(x, 6))

    of_short, of_long, moved = run(params)
    np.testing.assert_allclose(of_short, of_long[:6], atol=1e-5)
    seen = 3  # inputs
    np.testing.assert_allclose(moved[6 + seen :], of_long[seen:-6], atol=1e-5)
    assert np.abs(moved[6] - of_long[0]).max() > 0.01  # this one sees the start, that one does not


def test_rotary_places_of_a_grid_are_rows_and_columns_apart():
    """Scores of equal vectors at all places know Δ row, Δ column and Δ colour, each of them."""
    grid, rng = (3, 4, 2), np.random.default_rng(0)
    places = np.stack(np.unravel_index(np.arange(24), grid), -1)
    everywhere = np.broadcast_to(rng.normal(size=(2, 12)), (24, 2, 12))  # a query and a key
    turned = rotated(AllSteps(24), jnp.asarray(everywhere, jnp.float32), grid)
    scores = np.asarray(turned[:, 0] @ turned[:, 1].T)
    apart = {}
    for t, s in np.ndindex(24, 24):
        apart.setdefault(tuple(places[t] - places[s]), []).append(scores[t, s])
    assert max(np.ptp(same) for same in apart.values()) < 1e-4
    means = np.sort([np.mean(same) for same in apart.values()])
    assert len(apart) == 5 * 7 * 3 and np.diff(means).min() > 1e-4
    line = rotated(AllSteps(24), jnp.asarray(everywhere, jnp.float32), (24,))
    assert np.abs(line - turned).max() > 0.1


def test_a_grid_is_scored_as_it_is_made_and_axes_of_one_are_none():
    """Cached sampling against the definition, exactly; (1, dim, 1) is a line."""
    own = {"num_layers": 1, "positions": "rotary", "encoding": one_hot(3), "window": 5}
    sizes = {"num_outputs": 3, "hidden": 12, "num_heads": 2}
    with jax.enable_x64(True):
        net = transformer(12, grid=(2, 3, 2), **sizes, **own)
        line, flat = (transformer(12, grid=grid, **sizes, **own) for grid in (None, (1, 12, 1)))
        params = drawn(net, jnp.float64)
        slow = naive(net.init, net.apply, 12, levels=True)

        def emit(i, f):
            return jax.random.categorical(jax.random.fold_in(jax.random.key(5), i), f)

        def run(params):
            unrolled = [n.unroll(params, emit, (4,))[:2] for n in (net, slow)]
            return *unrolled, [n.apply(params, unrolled[0][0]) for n in (net, line, flat)]

        (x, f), (x_slow, f_slow), (of_grid, of_line, of_flat) = jit(run)(params)
        np.testing.assert_array_equal(x, x_slow)
        np.testing.assert_allclose(f, f_slow, rtol=1e-13, atol=1e-13)
        np.testing.assert_array_equal(of_line, of_flat)
        assert np.abs(of_line - of_grid).max() > 0.01


def test_the_start_is_no_level():
    """Of a window of one, outputs are of the last input alone: the start or a level."""
    net = transformer(4, encoding=one_hot(3), num_layers=1, positions="rotary", window=1, **SMALL)
    f = jit(net.apply)(drawn(net), jnp.array([0, 1, 2, 0]))
    apart = np.abs(f[:, None] - f).max(-1)
    assert (apart[np.triu_indices(4, 1)] > 0.01).all()


def test_vectors_of_places_belong_to_places_whatever_the_order():
    """In another order, it is the net of the raster on moved inputs with moved vectors."""
    ordered, raster = (
        transformer(DIM, encoding=one_hot(3), num_layers=1, order=order, **SMALL)
        for order in (ORDER, range(DIM))
    )
    params = drawn(ordered)
    body = params["body"]
    moved = {
        "body": body
        | {
            "place": body["place"][jnp.array(ORDER)],
            "come_from": body["come_from"][jnp.array([0, *(1 + i for i in ORDER)])],
        }
    }
    x = jnp.asarray(np.random.default_rng(0).integers(0, 3, (5, DIM)))
    f = jit(ordered.apply)(params, x)[:, ORDER]
    np.testing.assert_allclose(f, jit(raster.apply)(moved, x[:, ORDER]), atol=1e-5)


def test_a_place_is_told_to_the_step_that_makes_it_and_to_the_one_that_reads_from_it():
    """And to all later steps, by attention: the Jacobian by the vectors of places, in the order."""
    net = transformer(DIM, num_layers=1, order=ORDER, **SMALL)
    params = drawn(net)

    def outputs(places):
        f = net.apply({"body": params["body"] | places}, jnp.linspace(-1, 1, DIM))
        return f[np.array(ORDER)]

    places = {name: params["body"][name] for name in ("place", "come_from")}
    moves = jax.tree.map(lambda a: np.abs(a).max((1, 3)) > 0, jit(jax.jacfwd(outputs))(places))
    t, made = np.arange(DIM)[:, None], np.arange(DIM)
    np.testing.assert_array_equal(moves["place"][:, ORDER], made <= t)
    np.testing.assert_array_equal(moves["come_from"][:, 1:][:, ORDER], made < t)
    assert moves["come_from"][:, 0].all()  # the start


def test_it_starts_at_zero_with_residual_branches_scaled_by_depth():
    net = transformer(5, num_layers=2, num_outputs=2, hidden=64, num_heads=4)

    @jit
    def run(key):
        params = net.init(key)
        return params, net.apply(params, jnp.ones(5))

    params, f = run(jax.random.key(0))
    assert (f == 0).all()
    into_stream = [
        kernel
        for name, layer in params["body"].items()
        if name.startswith("Dense")
        for kernel in [layer["kernel"]]
        if kernel.shape[1] == 64
    ]
    assert len(into_stream) == 4
    gain = sum(float((kernel**2).mean()) * kernel.shape[0] for kernel in into_stream)
    assert gain == pytest.approx(1, rel=0.05)


def test_the_start_has_a_norm_so_that_slopes_are_finite_from_the_first_step():
    """Where neither a place nor a level adds to it; as zeros it gives slopes of 1e15."""
    own = {"num_layers": 2, "positions": "rotary", "hidden": 16, "num_outputs": 2, "num_heads": 2}
    net = transformer(4, encoding=one_hot(3), **own)

    @jit
    def slope(key):
        params = net.init(key)
        last = params["body"]["output"]
        last["kernel"] = jax.random.normal(jax.random.key(1), last["kernel"].shape)
        loss = lambda p: (net.apply(p, jnp.array([0, 1, 2, 0])) ** 2).sum()
        return jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(jax.grad(loss)(params))))

    assert 1 < slope(jax.random.key(0)) < 1e4


def test_costs_and_parameters_are_those_told():
    hidden, layers, window = 8, 2, 4

    def cost(dim, window, how):
        net = transformer(
            dim, encoding=one_hot(2), num_layers=layers, window=window, positions="rotary", **SMALL
        )
        params = jax.eval_shape(net.init, jax.random.key(0))
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), params)
        if how == "pass":
            return products(net.apply, zeros, jnp.zeros(dim, jnp.int32))
        return products(lambda p: net.unroll(p, lambda i, f: jnp.argmax(f, -1), (1,))[0], zeros)

    outer = 2 * hidden + 3 * hidden
    assert cost(64, None, "pass") == cost(64, None, "steps")
    each = layers * (12 * hidden**2 + 2 * hidden * 64) + outer
    assert cost(64, None, "pass") == 2 * 64 * each
    each = layers * (12 * hidden**2 + 4 * hidden * window) + outer
    assert cost(64, window, "pass") == 2 * 64 * each
    each = layers * (12 * hidden**2 + 2 * hidden * window) + outer
    assert cost(64, window, "steps") == 2 * 64 * each
    net = transformer(64, num_layers=layers, window=window, positions="rotary", **SMALL)
    sizes = jax.eval_shape(net.init, jax.random.key(0))
    matrices = sum(leaf.size for leaf in jax.tree.leaves(sizes) if leaf.ndim == 2)
    assert matrices == layers * 12 * hidden**2 + outer


@pytest.mark.parametrize(
    "change, told",
    [
        ({"num_heads": 3}, "num_heads must divide hidden=8; got 3"),
        ({"num_heads": 0}, "num_heads must be an integer of at least 1; got 0"),
        ({"hidden": (8,)}, r"hidden must be an integer of at least 1; got \(8,\)"),
        ({"num_layers": 0}, "num_layers must be an integer of at least 1; got 0"),
        ({"window": 0}, "window must be an integer of at least 1; got 0"),
        ({"positions": "rotery"}, "positions must be one of .*Did you mean 'rotary'"),
        (
            {"hidden": 6, "positions": "rotary"},
            "multiple of 2 a head.*rotary.*hidden=6.*num_heads=2",
        ),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\); got -0.1"),
        ({"grid": (2, 2)}, r"grid must have dim=3 steps; got \(2, 2\)"),
        ({"grid": (3, 0)}, "each entry of grid=.* must be an integer of at least 1; got 0"),
        ({"order": [0, 1, 1]}, "order must be a permutation of the integers 0..2"),
        ({"order": [2, 1, 0], "positions": "rotary"}, "order needs positions='learned'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(change, told):
    with pytest.raises(ValueError, match=told):
        transformer(3, **({"num_layers": 1} | SMALL | change))
