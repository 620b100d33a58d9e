"""The autoregressive bijection: its inverse, and the derivatives of it, against the definition."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import Autoregressive, affine
from dgm_jax.nets import INVERSES, naive, one_hot
from dgm_jax.nets.causal import made
from tests.contracts.compiled import jit

DIM, BOUND = 3, 3.0

# How a net makes its inputs, with all that changes the path through the code.
NETS = {
    "unit_once": {"inverse": "unit_once", "num_blocks": 2},
    "fixed_point, direct": {"inverse": "fixed_point", "hidden": (6, 1)},
    "block_fixed_point": {"inverse": "block_fixed_point", "num_blocks": 2},
    "block_fixed_point, residual": {
        "hidden": (4, 4, 4),
        "residual": True,
        "inverse": "block_fixed_point",
    },
    "dropout": {"hidden": (7, 6), "order": [1, 2, 0], "cond_shape": (2,), "dropout": 0.4},
    "dropout, naive": {
        "hidden": (7, 6),
        "inverse": "naive",
        "order": [1, 2, 0],
        "cond_shape": (2,),
        "dropout": 0.4,
    },
    "dropout, two coordinates": {
        "dim": 2,
        "hidden": (4,),
        "order": [1, 0],
        "cond_shape": (2,),
        "dropout": 0.4,
    },
}
KEY = jax.random.key(3)


def key_of(name):
    return KEY if "dropout" in name else None


def again(key):
    return None if key is None else jax.random.clone(key)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def example(name):
    """A net, and its parameters, a point and a condition in float64."""
    options = {"dim": DIM, "hidden": (5, 4), "activation": jnp.tanh, **NETS[name]}
    net = made(num_outputs=2, **options)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.5, a.shape), a.dtype), shapes)
    y = jnp.asarray(rng.normal(size=(2, options["dim"])))
    cond = jnp.asarray(rng.normal(size=(2, 2))) if "cond_shape" in options else None
    return net, options.get("order", range(options["dim"])), params, y, cond


def d_passes(net, order, key, params, y, cond):
    """x and log|det ∂x/∂y| as on the blackboard: d passes, written out, for plain autodiff."""
    x = jnp.zeros_like(y)
    for i in order:
        f = net.apply(params, x, cond, key=again(key))
        log_scale = BOUND * jnp.tanh(f[..., i, 1] / BOUND)
        x = x.at[..., i].set((y[..., i] - f[..., i, 0]) * jnp.exp(-log_scale))
    f = net.apply(params, x, cond, key=again(key))
    return x, -(BOUND * jnp.tanh(f[..., 1] / BOUND)).sum(-1)


def by_the_bijector(net, order, key, params, y, cond):
    t = Autoregressive(net, params, affine(bound=BOUND), y.shape[-1], cond, key=key)
    return t.inverse_and_log_det(y)


def weighed(inverse, net, order, key):
    """A scalar of (params, y, cond) that every entry of x and of the log-det moves differently."""

    def loss(at):
        x, log_det = inverse(net, order, key, *at)
        weights = jnp.arange(1.0, 1.0 + x.size).reshape(x.shape)
        return jnp.sum(jnp.sin(weights * x)) + jnp.sum(log_det**2 * weights[:, 0])

    return loss


def inner(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def along(f, direction):
    return lambda at: jax.jvp(f, (at,), (direction,))[1]


def first(loss, at, u, v):
    value, reverse = jax.value_and_grad(loss)(at)
    return {"value": value, "reverse": reverse, "forward": along(loss, u)(at)}


def second(loss, at, u, v):
    """By every order of reverse and forward mode."""
    reverse = jax.grad(loss)
    return {
        "reverse of reverse": jax.grad(lambda at: inner(reverse(at), u))(at),
        "forward of reverse": along(reverse, u)(at),
        "reverse of forward": jax.grad(along(loss, u))(at),
        "forward of forward": along(along(loss, u), v)(at),
    }


def second_by_reverse(loss, at, u, v):
    return jax.grad(lambda at: inner(jax.grad(loss)(at), u))(at)


def agree(got, wanted, tol):
    for (path, a), b in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(wanted), strict=True):
        scale = max(1.0, float(jnp.abs(b).max()))
        np.testing.assert_allclose(
            a / scale, b / scale, rtol=0, atol=tol, err_msg=jax.tree_util.keystr(path)
        )


DERIVATIVES = [
    (first, "block_fixed_point, residual"),
    (first, "dropout"),
    (second, "dropout, two coordinates"),
    pytest.param(first, "fixed_point, direct", marks=pytest.mark.full),
    pytest.param(first, "dropout, naive", marks=pytest.mark.full),
    pytest.param(second_by_reverse, "block_fixed_point", marks=pytest.mark.full),
]


@pytest.mark.parametrize("derivatives, name", DERIVATIVES)
def test_derivatives_of_the_inverse_are_those_of_the_loop_of_d_passes(derivatives, name, float64):
    net, order, *at = example(name)
    rng = np.random.default_rng(1)
    u, v = (jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), at) for _ in range(2))
    compiled = [
        jit(partial(derivatives, weighed(inverse, net, order, key_of(name))))
        for inverse in (by_the_bijector, d_passes)
    ]
    got, wanted = (run(at, u, v) for run in compiled)
    agree(got, wanted, 1e-10)
    for path, leaf in jax.tree.leaves_with_path(wanted):
        assert jnp.abs(leaf).max() > 1e-3, jax.tree_util.keystr(path)  # nothing agrees as zero


@pytest.mark.parametrize(
    "dtype, tol",
    [(jnp.float64, 1e-12), pytest.param(jnp.float32, 1e-5, marks=pytest.mark.full)],
)
def test_every_inverse_is_the_loop_of_d_passes(dtype, tol, float64):
    _, order, *at = example("dropout")
    at = jax.tree.map(lambda a: a.astype(dtype), at)
    options = NETS["dropout"] | {"num_outputs": 2, "activation": jnp.tanh}
    by_name = {inverse: made(DIM, **options, inverse=inverse) for inverse in INVERSES}

    @jit
    def run(*at):
        found = {name: by_the_bijector(net, order, None, *at) for name, net in by_name.items()}
        return found, d_passes(by_name["naive"], order, None, *at)

    found, wanted = run(*at)
    for got in found.values():
        assert got[0].dtype == got[1].dtype == dtype
        agree(got, wanted, tol)


def test_the_inverse_is_in_the_dtype_of_its_parameters(float64):
    for name in ("unit_once", "dropout, naive"):
        net, order, *at = example(name)
        half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), at)
        x, _ = jax.eval_shape(partial(by_the_bijector, net, order, None), *half)
        assert x.dtype == jnp.bfloat16


def counted(net, order):
    """A naive net whose `apply` counts the passes that are executed, loops included."""
    passes = []

    def apply(params, x, cond=None, *, key=None):
        jax.debug.callback(lambda: passes.append(None))
        return net.apply(params, x, cond)

    return naive(net.init, apply, DIM, order), passes


@pytest.mark.parametrize("way, wanted", [("forward", 1), ("inverse", DIM)])
def test_passes_of_the_net_forward_one_and_inverse_one_for_each_coordinate(way, wanted):
    """IAF samples in one pass and scores in d, MAF (its inverse) the other way around.

    The naive inverse runs the net once more at the end, for the log-det: d + 1 in all.
    """
    net, order, params, y, _ = example("unit_once")
    net, passes = counted(net, order)
    run = jit(lambda p, y: getattr(Autoregressive(net, p, affine(), DIM), way)(y))
    jax.block_until_ready(run(params, y))
    jax.effects_barrier()
    assert len(passes) == (wanted if way == "forward" else wanted + 1)


def test_under_a_key_the_inverse_undoes_forward_and_another_key_is_another_bijection(float64):
    net, order, params, y, cond = example("dropout")

    @jit
    def run(key, other):
        t, u = (Autoregressive(net, params, affine(), DIM, cond, key=k) for k in (key, other))
        x, log_det = t.inverse_and_log_det(y)
        there, back = t.forward_and_log_det(x)
        without = Autoregressive(net, params, affine(), DIM, cond).inverse(y)
        return there, log_det + back, jnp.abs(x - u.inverse(y)), jnp.abs(x - without)

    there, zero, to_other, to_none = run(KEY, jax.random.key(4))
    np.testing.assert_allclose(there, y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(zero, 0, atol=1e-12)
    assert to_other.max() > 0.01 and to_none.max() > 0.01


def test_a_net_without_a_derivative_is_refused_in_one_line():
    net = made(DIM, hidden=(4,), num_outputs=2, encoding=one_hot(3))
    with pytest.raises(ValueError, match="net must have a derivative.*`linearize`.*numbers"):
        Autoregressive(net, {}, affine(), DIM)


def test_points_of_a_batch_do_not_meet(key):
    """x_i does not depend on its companions."""
    net, order, params, y, _ = example("unit_once")
    run = jit(partial(by_the_bijector, net, order, None, params, cond=None))
    alone, other = run(y), run(y.at[1].add(1.0))
    np.testing.assert_array_equal(alone[0][0], other[0][0])
    assert jnp.abs(alone[0][1] - other[0][1]).max() > 0.1
