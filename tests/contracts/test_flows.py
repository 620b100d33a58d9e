"""The laws of a flow: every constructor in `FLOWS`, moved off the identity, obeys all of them."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.bijectors import (
    Permutation,
    additive,
    contraction,
    flatten,
    mixture_logistic_cdf,
    rational_quadratic_spline,
)
from dgm_jax.combinators import compose, fixed, invert, pushforward, repeat
from dgm_jax.data.preprocessing import logit_map, standardize
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import (
    actnorm,
    autoregression,
    cdf,
    cnf,
    coupling,
    diagonal,
    elementwise,
    ffjord,
    flow_pp,
    glow,
    iaf,
    maf,
    planar,
    plu,
    qr,
    realnvp,
    realnvp_image,
    sylvester,
    triangular,
)
from dgm_jax.learning.checkpoints import Checkpoints
from dgm_jax.learning.devices import data_mesh, replicate, shard_batch
from dgm_jax.protocol import Flow
from tests.contracts.compiled import jit

DIM, COND = 3, 2  # odd, so that halves differ
two = {"num_layers": 2, "hidden": (7, 6)}


def three_levels(rng, shape):
    return rng.uniform(0.1, 2.9, shape)


class Case(NamedTuple):
    make: Callable[[], Flow]
    cond_shape: tuple[int, ...] | None = None
    learned: bool = True
    draw_x: Callable = lambda rng, shape: rng.normal(0, 1, shape)  # points of the data space
    dim: int = DIM
    spread: float = 0.4  # of the parameters


def of_images(make, shape, cond_shape=None, **options):
    """A flow of images as one of vectors, for the laws here; deep, so with a smaller spread."""

    def flow():
        of_shape = make(shape, hidden=4, num_blocks=1, cond_shape=cond_shape, **options)
        return compose(fixed(flatten(shape)), of_shape)

    return Case(flow, cond_shape, dim=math.prod(shape), spread=0.1)


def keyed(flow):
    """A flow that draws, with one key. Of one variable, Hutchinson's ε is ±1 and ε² a is exact."""

    def bijector(params, cond=None, *, key=None):
        return flow.bijector(params, cond, key=jax.random.key(3))

    return Flow(flow.init, bijector)


FLOWS = {
    "autoregression": Case(
        lambda: autoregression(DIM, hidden=(9,), order=[2, 0, 1], activation=jax.nn.relu)
    ),
    "autoregression, narrow": Case(lambda: autoregression(DIM, hidden=(5, 1), activation=jnp.tanh)),
    "iaf, naive": Case(lambda: iaf(DIM, **two, inverse="naive", order=[1, 2, 0])),
    "maf, naive": Case(lambda: maf(DIM, **two, inverse="naive")),
    "iaf, additive": Case(lambda: iaf(DIM, **two, law=additive())),
    "iaf, conditional": Case(lambda: iaf(DIM, **two, cond_shape=(COND,)), COND),
    "maf, conditional": Case(lambda: maf(DIM, **two, cond_shape=(COND,), order=[2, 0, 1]), COND),
    "iaf, fixed point": Case(lambda: iaf(DIM, **two, inverse="fixed_point", order=[2, 0, 1])),
    "maf, block fixed point": Case(
        lambda: maf(DIM, **two, cond_shape=(COND,), inverse="block_fixed_point", num_blocks=2), COND
    ),
    "maf, residual": Case(
        lambda: maf(DIM, **two | {"hidden": (6, 6, 6)}, residual=True, density_blocks=2)
    ),
    "coupling, mask, conditional": Case(
        lambda: coupling(DIM, hidden=(7,), mask=[False, False, True], cond_shape=(COND,)), COND
    ),
    "coupling, additive": Case(lambda: coupling(DIM, hidden=(7,), law=additive())),
    "coupling, contraction": Case(lambda: coupling(DIM, hidden=(7,), law=contraction())),
    "coupling, spline": Case(lambda: coupling(DIM, hidden=(7,), law=rational_quadratic_spline())),
    "coupling, mixture": Case(lambda: coupling(DIM, hidden=(7,), law=mixture_logistic_cdf())),
    "maf, spline": Case(lambda: maf(DIM, **two, law=rational_quadratic_spline())),
    "maf, mixture": Case(lambda: maf(DIM, **two, law=mixture_logistic_cdf(num_components=3))),
    "realnvp, shuffle": Case(lambda: realnvp(DIM, num_layers=4, hidden=(7,), shuffle=0)),
    "realnvp, conditional": Case(lambda: realnvp(DIM, **two, cond_shape=(COND,)), COND),
    "realnvp, unroll": Case(lambda: realnvp(DIM, num_layers=4, hidden=(7,), unroll=True)),
    "diagonal": Case(lambda: diagonal(DIM)),
    "triangular": Case(lambda: compose(triangular(DIM), triangular(DIM, lower=False))),
    "plu": Case(lambda: plu(DIM)),
    "qr": Case(lambda: qr(DIM, num_reflections=2)),
    "actnorm": Case(lambda: repeat(compose(actnorm(DIM), plu(DIM)), 2)),
    "planar": Case(lambda: repeat(planar(DIM), 2)),
    "planar, conditional": Case(lambda: planar(DIM, cond_shape=(COND,)), COND),
    "sylvester": Case(lambda: sylvester(DIM)),
    "sylvester, householder": Case(
        lambda: sylvester(DIM, form="householder", cond_shape=(COND,)), COND
    ),
    "sylvester, triangular": Case(lambda: repeat(sylvester(DIM, form="triangular"), 2)),
    "elementwise": Case(lambda: elementwise(DIM, law=rational_quadratic_spline())),
    "cdf": Case(lambda: cdf(DIM)),
    "realnvp of images": of_images(realnvp_image, (2, 2, 1)),
    "glow, conditional": of_images(glow, (4, 4, 1), COND, num_steps=2),
    "flow++, conditional": of_images(
        flow_pp, (2, 4, 1), COND, num_couplings=(1, 1, 1), num_components=2, num_heads=1
    ),
    "compose": Case(lambda: compose(coupling(DIM, hidden=(7,)), autoregression(DIM, hidden=(7,)))),
    "invert": Case(lambda: invert(coupling(DIM, hidden=(7,)))),
    "permutation": Case(lambda: fixed(Permutation([2, 0, 1])), learned=False),
    "repeat, no parameters": Case(lambda: repeat(fixed(Permutation([2, 0, 1])), 2), learned=False),
    "cnf, conditional": Case(
        lambda: cnf(DIM, hidden=(7, 6), cond_shape=(COND,), rtol=1e-6, atol=1e-6, adjoint="direct"),
        COND,
    ),
    "ffjord, with a key": Case(
        lambda: keyed(ffjord(1, hidden=(7,), rtol=1e-6, atol=1e-6, adjoint="direct")), dim=1
    ),
    "levels": Case(lambda: fixed(distrax.Inverse(logit_map(3))), 0, False, three_levels),
    "standardize": Case(lambda: fixed(standardize([1.0, 2.0, 3.0], [0.5, 1.0, 2.0])), 0, False),
}
# Each with leaves, or a way to them, of its own; tests/bijectors has the gradients of each inverse,
# tests/flows those of Flow++ and of continuous flows, which take long to compile.
LEARNED = [
    "autoregression",
    "autoregression, narrow",
    "iaf, conditional",
    "maf, conditional",
    "maf, residual",
    "iaf, additive",
    "coupling, additive",
    "coupling, mask, conditional",
    "realnvp, shuffle",
    "compose",
    "plu",
    "qr",
    "actnorm",
    "planar, conditional",
    "sylvester",
    "sylvester, triangular",
    "cdf",
    "glow, conditional",
    "realnvp of images",
]
everywhere = pytest.mark.parametrize("name", FLOWS)


class Points(NamedTuple):
    z: np.ndarray  # [8, 2, dim]: eight rows, as there are devices
    x: np.ndarray
    cond: np.ndarray | None  # [8, 2, COND], another for each point


@cache
def built(name):
    """The flow, parameters away from the identity, and points drawn on the host."""
    case = FLOWS[name]
    flow, rng = case.make(), np.random.default_rng(0)
    z, cond = rng.normal(0, 1, (8, 2, case.dim)), rng.normal(0, 1, (8, 2, COND))
    points = Points(z, case.draw_x(rng, z.shape), cond if case.cond_shape else None)
    return flow, drawn(flow, case.spread), jax.tree.map(np.float32, points)


def drawn(flow, spread=0.4, seed=1):
    return jax.device_put(noise(jax.eval_shape(flow.init, jax.random.key(0)), seed, spread))


def noise(tree, seed, spread=0.4):
    """N(0, spread²) for each entry, drawn on the host: nothing to compile."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(0, spread, a.shape).astype(a.dtype), tree)


TRACES = {name: 0 for name in FLOWS}


@cache
def measuring(name):
    """All that a flow says of its points [8, 2, dim], each method compiled once: [8, 4, dim] hold
    the points and then what the other direction made of the others.
    """
    flow = built(name)[0]

    @jit
    def measure(params, points):
        TRACES[name] += 1
        z, x, cond = jax.tree.map(lambda a: jnp.concatenate([a, a], 1), points)
        t = flow.bijector(params, cond)
        forward, inverse = t.forward(z)[:, :2], t.inverse(x)[:, :2]
        y, y_log_det = t.forward_and_log_det(z.at[:, 2:].set(inverse))
        back, back_log_det = t.inverse_and_log_det(x.at[:, 2:].set(forward))
        return {
            "forward_alone": forward,
            "log_det_alone": t.forward_log_det_jacobian(z)[:, :2],
            "inverse_alone": inverse,
            "forward": y[:, :2],
            "forward_log_det": y_log_det[:, :2],
            "inverse": back[:, :2],
            "inverse_log_det": back_log_det[:, :2],
            "there_and_back": (back[:, 2:], back_log_det[:, 2:]),
            "back_and_there": (y[:, 2:], y_log_det[:, 2:]),
        }

    def over_all_devices(params, points):
        mesh = data_mesh()
        return measure(replicate(params, mesh), shard_batch(points, mesh))

    return over_all_devices


@cache
def over_devices(name):
    _, params, points = built(name)
    return measuring(name)(params, points)


@cache
def measured(name):
    return jax.device_get(over_devices(name))


def close(got, wanted, tol=1e-5):
    np.testing.assert_allclose(got, wanted, rtol=tol, atol=tol)


@everywhere
def test_both_orders_of_forward_and_inverse_are_the_identity(name):
    points, m = built(name)[2], measured(name)
    close(m["there_and_back"][0], points.z, 5e-5)
    close(m["back_and_there"][0], points.x, 5e-5)


@everywhere
def test_the_flow_is_not_the_identity_that_it_starts_as(name):
    points, m = built(name)[2], measured(name)
    assert np.abs(m["forward"] - points.z).max() > 0.05


@everywhere
def test_the_log_dets_of_the_two_directions_sum_to_zero(name):
    m = measured(name)
    close(m["there_and_back"][1], -m["forward_log_det"], 5e-5)
    close(m["back_and_there"][1], -m["inverse_log_det"], 5e-5)


@everywhere
def test_values_alone_are_those_that_come_with_the_log_det(name):
    m = measured(name)
    close(m["forward_alone"], m["forward"], 1e-6)
    close(m["inverse_alone"], m["inverse"], 1e-6)
    close(m["log_det_alone"], m["forward_log_det"], 1e-6)


@everywhere
def test_log_dets_are_those_of_the_jacobians_and_batches_over_devices_are_single_points(name):
    """slogdet(jacfwd) at each point alone, [dim], on one device, against [8, 2, dim] on all."""
    flow, params, points = built(name)

    def at_one_point(params, point):
        def with_value(method):
            def twice(x):
                y = getattr(flow.bijector(params, point.cond), method)(x)
                return y, y

            return jax.jacfwd(twice, has_aux=True)

        return with_value("forward")(point.z), with_value("inverse")(point.x)

    each = jit(jax.vmap(jax.vmap(at_one_point, (None, 0)), (None, 0)))
    m, spread, count = measured(name), over_devices(name), jax.device_count()
    for method, (jacobian, value) in zip(("forward", "inverse"), each(params, points), strict=True):
        assert len(value.sharding.device_set) == 1
        assert len(spread[method].sharding.device_set) == count
        close(m[method], value)
        close(m[f"{method}_log_det"], np.linalg.slogdet(np.asarray(jacobian)).logabsdet, 5e-5)


@everywhere
def test_other_parameters_are_other_numbers_and_no_new_trace(name):
    _, params, points = built(name)
    before = measured(name)["forward"]
    more = jax.tree.map(lambda a: 1.5 * np.asarray(a), params)
    after = measuring(name)(more, points)["forward"]
    assert TRACES[name] == 1
    assert (np.abs(np.asarray(after) - before).max() > 0.01) == FLOWS[name].learned


def losses(flow, params, points, key):
    """Through the density and through reparametrised samples."""
    model = pushforward(flow, standard_normal(points.x.shape[-1]))
    dist = model.dist({"base": {}, "flow": params}, points.cond)
    nll = -dist.log_prob(points.x).mean()
    x, log_prob = dist.sample_and_log_prob(seed=key)
    return jnp.stack([nll, (log_prob + (x**2).sum(-1)).mean()])


@pytest.mark.parametrize("name", LEARNED)
def test_an_ensemble_under_vmap_has_gradients_in_every_leaf_both_ways(name):
    flow, _, points = built(name)
    start = jax.eval_shape(jax.vmap(flow.init), jax.random.split(jax.random.key(5), 2))
    members, points = noise(start, 6), jax.tree.map(lambda a: a[:, 0], points)

    @jit
    @partial(jax.vmap, in_axes=(0, None))
    def grads(params, points):
        return jax.jacrev(lambda p: losses(flow, p, points, jax.random.key(7)))(params)

    for path, grad in jax.tree.leaves_with_path(grads(members, points)):
        where = jax.tree_util.keystr(path)
        assert grad.shape[:2] == (2, 2), where  # [member, density or samples, *leaf]
        grad = np.asarray(grad).reshape(2, 2, -1)
        assert np.isfinite(grad).all(), where
        assert (np.abs(grad).max(-1) > 1e-6).all(), where
        assert np.abs(grad[0] - grad[1]).max() > 1e-6, where


@pytest.mark.parametrize("name", ["maf, conditional", "realnvp, conditional"])
def test_the_gradients_of_an_ensemble_are_those_of_its_members(name):
    flow, params, points = built(name)
    points = jax.tree.map(lambda a: a[:, 0], points)
    members = [params, drawn(flow, seed=8)]

    def grad(params):
        return jax.grad(lambda p: losses(flow, p, points, jax.random.key(9)).sum())(params)

    together = jit(jax.vmap(grad))(jax.tree.map(lambda *a: np.stack(a), *members))
    one = jit(grad)
    for i, member in enumerate(members):
        jax.tree.map(lambda a, b: close(a[i], b, 1e-4), together, one(member))


@pytest.mark.parametrize("name", [name for name in FLOWS if FLOWS[name].cond_shape])
def test_a_point_meets_every_condition_of_a_batch(name):
    flow, params, points = built(name)
    z, x, conds = points.z[0, 0], points.x[0, 0], points.cond[:, 0]  # [dim], [dim], [8, COND]

    @jit
    def run(params, z, x, conds):
        t = flow.bijector(params, conds)
        return t.forward_and_log_det(z), t.inverse_and_log_det(x)

    def copies(a):
        return np.broadcast_to(a, points.z.shape)

    m = jax.device_get(measuring(name)(params, Points(copies(z), copies(x), points.cond)))
    (y, log_det), (back, back_log_det) = run(params, z, x, conds)
    assert y.shape == back.shape == (8, *z.shape) and log_det.shape == back_log_det.shape == (8,)
    close(y, m["forward"][:, 0])
    close(log_det, m["forward_log_det"][:, 0])
    close(back, m["inverse"][:, 0])
    close(back_log_det, m["inverse_log_det"][:, 0])
    assert np.abs(np.diff(y[:2], axis=0)).max() > 1e-3


def both_ways(flow):
    def run(params, z, x, cond):
        t = flow.bijector(params, cond)
        return t.forward_and_log_det(z), t.inverse_and_log_det(x)

    return run


def rows(points):
    return jax.tree.map(lambda a: a.reshape(16, a.shape[-1]), points)


@pytest.mark.parametrize("name", ["maf, conditional", "iaf, naive", "realnvp, shuffle"])
def test_pmap_gives_the_numbers_of_one_device(name):
    flow, params, points = built(name)
    m, count = measured(name), jax.device_count()
    if 16 % count:
        pytest.skip("sixteen rows do not divide among the devices")
    per_device = jax.tree.map(lambda a: a.reshape(count, -1, a.shape[-1]), points)
    cond_axis = None if points.cond is None else 0
    run = jax.pmap(both_ways(flow), "data", in_axes=(None, 0, 0, cond_axis))
    (y, y_log_det), (z, z_log_det) = run(params, *per_device)
    close(y.reshape(8, 2, -1), m["forward"])
    close(y_log_det.reshape(8, 2), m["forward_log_det"])
    close(z.reshape(8, 2, -1), m["inverse"])
    close(z_log_det.reshape(8, 2), m["inverse_log_det"])


@everywhere
def test_half_precision_gives_finite_numbers_near_those_of_float32(name):
    flow, params, points = built(name)
    m = measured(name)
    run = both_ways(flow)
    half_params, *half = jax.tree.map(
        lambda a: np.asarray(a).astype(jnp.bfloat16), (params, *rows(points))
    )
    (y, y_log_det), (z, z_log_det) = jax.tree.map(
        lambda a: np.asarray(a).astype(np.float32), jit(run)(params, *half)
    )
    close(y.reshape(8, 2, -1), m["forward"], 0.1)
    close(y_log_det.reshape(8, 2), m["forward_log_det"], 0.1)
    close(z.reshape(8, 2, -1), m["inverse"], 0.1)
    close(z_log_det.reshape(8, 2), m["inverse_log_det"], 0.1)
    for value in jax.tree.leaves(jax.eval_shape(run, half_params, *half)):
        assert value.dtype in (jnp.bfloat16, jnp.float32)  # with parameters in half precision too


@pytest.mark.parametrize("name", ["iaf, conditional", "realnvp, shuffle", "compose"])
def test_a_checkpoint_brings_the_same_flow_back(name, tmp_path):
    flow, params, points = built(name)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, params)
        back = checkpoints.restore(jax.eval_shape(flow.init, jax.random.key(0))).state
    jax.tree.map(np.testing.assert_array_equal, back, params)
    again = measuring(name)(back, points)
    np.testing.assert_array_equal(again["forward"], measured(name)["forward"])
