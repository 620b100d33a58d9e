"""The contract of flows: every constructor in `FLOWS`, moved off the identity, obeys it.

One program a case computes all that is looked at.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.learning import data_mesh, replicate, shard_batch
from tests import cases as house
from tests.contracts.cases import WAYS, drawn, parametrize, quickly
from tests.flows import cases as flows

FLOWS = {**flows.FLOWS, **house.FLOWS}
everywhere = parametrize(FLOWS)


class Points(NamedTuple):
    z: np.ndarray  # [8, 2, dim]: eight rows, as there are devices; under conditions,
    x: np.ndarray  # the second of each row is one point for all of them
    cond: np.ndarray | None  # [8, 2, *cond_shape], another for each point


class Measured(NamedTuple):
    """All that a flow says of its points [8, 2, dim]."""

    forward: tuple  # value and log-det at z, in a batch
    inverse: tuple  # at x
    alone: dict  # a direction: value and Jacobian [8, 2, dim, dim], point by point
    copies: dict | None  # a direction: of one point under a batch of conditions
    grads: dict | None  # of two losses [2, ...] in the parameters of two members


@cache
def built(name, way="quick"):
    """The flow, parameters away from the identity, and points drawn on the host."""
    case, dtype = FLOWS[name], WAYS[way].dtype()
    flow, rng = case.make(), np.random.default_rng(0)
    z = rng.normal(0, 1, (8, 2, case.dim))
    cond = None if case.cond_shape is None else rng.normal(0, 1, (8, 2, *case.cond_shape))
    x = case.draw_x(rng, z.shape)
    if cond is not None:
        z[:, 1], x[:, 1] = z[0, 1], x[0, 1]
    points = Points(z, x, cond)
    points = jax.tree.map(lambda a: a.astype(dtype), points)
    return flow, drawn(shapes(flow), 1, case.spread, dtype), points


def shapes(flow):
    return jax.eval_shape(flow.init, jax.random.key(0))


def in_batches(flow, params, method, x, cond):
    """Value and log-det of all points at once."""
    return getattr(flow.bijector(params, cond), f"{method}_and_log_det")(x)


def at_single_points(flow, params, method, x, cond):
    """Value and Jacobian at each point alone, [dim], of the method without log-det."""

    def at(x, cond):
        def twice(x):
            y = getattr(flow.bijector(params, cond), method)(x)
            return y, y

        jacobian, value = jax.jacfwd(twice, has_aux=True)(x)
        return value, jacobian

    return jax.vmap(jax.vmap(at))(x, cond)


def under_every_condition(flow, params, method, x, cond):
    """One point [dim] meets conditions [8, *cond_shape]; the methods are the separate ones."""
    t = flow.bijector(params, cond)
    if method == "inverse":
        return t.inverse_and_log_det(x)
    return t.forward(x), t.forward_log_det_jacobian(x)


def losses(flow, params, points, key):
    """Through the density and through reparametrised samples."""
    model = pushforward(flow, standard_normal(points.x.shape[-1]))
    dist = model.dist({"base": {}, "flow": params}, points.cond)
    nll = -dist.log_prob(points.x).mean()
    x, log_prob = dist.sample_and_log_prob(seed=key)
    return jnp.stack([nll, (log_prob + ((x - 0.5) ** 2).sum(-1)).mean()])


def gradients(flow, members, points, key):
    """Of the losses in the parameters of an ensemble, [member, loss, *leaf]."""
    points = jax.tree.map(lambda a: a[:, 0], points)
    return jax.vmap(jax.jacrev(lambda params: losses(flow, params, points, key)))(members)


def directions(name, way):
    """Those that are looked at beside batches."""
    every = way != "quick" or not FLOWS[name].large
    return ("forward", "inverse") if every else ("inverse",)


TRACES = {}


@cache
def program(name, way):
    flow, case = built(name)[0], FLOWS[name]

    def measure(params, points, members, key):
        TRACES[name, way] = TRACES.get((name, way), 0) + 1
        conditional, learned = case.cond_shape is not None, case.learned and case.gradients
        z, x, cond = points
        both = {"forward": z, "inverse": x}
        some = {method: both[method] for method in directions(name, way)}
        of_batches = (in_batches(flow, params, method, at, cond) for method, at in both.items())
        alone = {
            method: at_single_points(flow, params, method, at, cond) for method, at in some.items()
        }
        copies = conditional and {
            method: under_every_condition(flow, params, method, at[0, 1], cond[:, 1])
            for method, at in some.items()
        }
        grads = gradients(flow, members, points, key) if learned else None
        return Measured(*of_batches, alone, copies or None, grads)

    return WAYS[way].jit(measure)


@cache
def ensemble(name, way):
    """Parameters of two members, stacked."""
    case, dtype = FLOWS[name], WAYS[way].dtype()
    one = shapes(built(name)[0])
    two = [drawn(one, seed, case.spread, dtype) for seed in (1, 6)]
    return jax.tree.map(lambda *a: np.stack(a), *two)


def run(name, way, params, points=None):
    with WAYS[way].precision():
        points = points or built(name, way)[2]
        m = program(name, way)(params, points, ensemble(name, way), jax.random.key(7))
        return jax.device_get(m)


@cache
def measured(name, way="quick"):
    return run(name, way, built(name, way)[1])


@cache
def measured_back(name, way):
    """T at T⁻¹(x) and T⁻¹ at T(z), by the same program."""
    (_, params, points), m = built(name, way), measured(name, way)
    return run(name, way, params, Points(m.inverse[0], m.forward[0], points.cond))


def close(got, wanted, tol=1e-5):
    np.testing.assert_allclose(got, wanted, rtol=tol, atol=tol)


def tolerance(name, way, times=1.0):
    return max(times * (1e-10 if WAYS[way].x64 else 1e-5), FLOWS[name].tolerance)


@everywhere
def test_both_orders_of_forward_and_inverse_are_the_identity(name, way):
    points, m, back = built(name, way)[2], measured(name, way), measured_back(name, way)
    close(back.inverse[0], points.z, tolerance(name, way, 5))
    close(back.forward[0], points.x, tolerance(name, way, 5))
    assert m.forward[0].dtype == m.inverse[0].dtype == WAYS[way].dtype()


@everywhere
def test_the_flow_is_not_the_identity_that_it_starts_as(name, way):
    assert np.abs(measured(name, way).forward[0] - built(name, way)[2].z).max() > 0.05


@everywhere
def test_the_log_dets_of_the_two_directions_sum_to_zero(name, way):
    m, back, tol = measured(name, way), measured_back(name, way), tolerance(name, way, 5)
    close(back.inverse[1], -m.forward[1], tol)
    close(back.forward[1], -m.inverse[1], tol)


@everywhere
def test_values_alone_at_single_points_are_those_of_batches_with_log_dets(name, way):
    m, tol = measured(name, way), tolerance(name, way)
    for method, (value, _) in m.alone.items():
        close(value, getattr(m, method)[0], tol)


@everywhere
def test_log_dets_are_those_of_the_jacobians(name, way):
    """slogdet(jacfwd) at each point alone, [dim], against [8, 2, dim]."""
    m, tol = measured(name, way), tolerance(name, way, 5)
    for method, (_, jacobian) in m.alone.items():
        log_det = getattr(m, method)[1]
        assert log_det.shape == (8, 2) and log_det.dtype == WAYS[way].dtype()
        close(log_det, np.linalg.slogdet(np.float64(jacobian)).logabsdet, tol)


@everywhere
def test_other_parameters_are_other_numbers_and_no_new_trace(name, way):
    before = measured(name, way).forward[0]
    after = run(name, way, jax.tree.map(lambda a: 1.5 * a, built(name, way)[1])).forward[0]
    assert TRACES[name, way] == 1
    assert (np.abs(after - before).max() > 0.01) == FLOWS[name].learned


@parametrize(FLOWS, lambda name, way: FLOWS[name].learned and FLOWS[name].gradients)
def test_an_ensemble_under_vmap_has_gradients_in_every_leaf_both_ways(name, way):
    for path, grad in jax.tree.leaves_with_path(measured(name, way).grads):
        where = jax.tree_util.keystr(path)
        assert grad.shape[:2] == (2, 2), where  # [member, density or samples, *leaf]
        grad = grad.reshape(2, 2, -1)
        assert np.isfinite(grad).all(), where
        assert (np.abs(grad).max(-1) > 1e-6).all(), where
        assert np.abs(grad[0] - grad[1]).max() > 1e-6, where
        assert np.abs(grad[:, 0] - grad[:, 1]).max() > 1e-6, where


@parametrize(FLOWS, lambda name, way: FLOWS[name].cond_shape is not None)
def test_a_point_meets_every_condition_of_a_batch(name, way):
    """As a copy of the point does under each."""
    m = measured(name, way)
    for method, (value, log_det) in m.copies.items():
        of_rows, log_det_of_rows = getattr(m, method)
        assert value.shape == (8, FLOWS[name].dim) and log_det.shape == (8,)
        close(value, of_rows[:, 1], tolerance(name, way))
        close(log_det, log_det_of_rows[:, 1], tolerance(name, way))
        assert (np.abs(np.diff(value, axis=0)).max(-1) > 1e-3).all()


def both_ways(flow):
    def run(params, z, x, cond):
        t = flow.bijector(params, cond)
        return t.forward_and_log_det(z), t.inverse_and_log_det(x)

    return run


def equal_measured(name, got, tol):
    m = measured(name)
    wanted = jax.tree.leaves((m.forward, m.inverse))
    for a, b in zip(jax.tree.leaves(got), wanted, strict=True):
        close(np.float32(a).reshape(b.shape), b, tol)


# A carrier, a scan over layers, a stack of images: the rest are made of these.
BY_DEFAULT = {
    name: case._replace(full=name not in flows.STAND_FOR_ALL) for name, case in FLOWS.items()
}


@quickly(BY_DEFAULT)
def test_a_batch_over_devices_gives_the_numbers_of_one(name, way):
    flow, params, points = built(name)
    mesh = data_mesh()
    run = WAYS[way].jit(both_ways(flow))
    got = run(replicate(params, mesh), *shard_batch(points, mesh))
    assert all(len(a.sharding.device_set) == jax.device_count() for a in jax.tree.leaves(got))
    equal_measured(name, got, tolerance(name, way))


@quickly(BY_DEFAULT)
def test_half_precision_gives_finite_numbers_near_those_of_float32(name, way):
    flow, params, points = built(name)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (params, *points))
    equal_measured(name, WAYS[way].jit(both_ways(flow))(*half), 0.1)


@quickly(FLOWS)
def test_half_precision_is_not_left_for_float64(name, way):
    """With parameters in half precision too; nothing is compiled."""
    flow, params, points = built(name)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (params, *points))
    for value in jax.tree.leaves(jax.eval_shape(both_ways(flow), *half)):
        assert value.dtype in (jnp.bfloat16, jnp.float32)


@quickly({name: BY_DEFAULT[name] for name in ("maf, conditional", "realnvp, shuffle")})
def test_pmap_gives_the_numbers_of_one_device(name, way):
    flow, params, points = built(name)
    count = jax.device_count()
    if 16 % count:
        pytest.skip("sixteen rows do not divide among the devices")
    per_device = jax.tree.map(lambda a: a.reshape(count, -1, a.shape[-1]), points)
    cond_axis = None if points.cond is None else 0
    run = jax.pmap(both_ways(flow), "data", in_axes=(None, 0, 0, cond_axis))
    equal_measured(name, run(params, *per_device), 1e-5)


@quickly({name: BY_DEFAULT[name] for name in ("maf, conditional", "realnvp, shuffle")})
def test_the_gradients_of_an_ensemble_are_those_of_its_members(name, way):
    flow, _, points = built(name)
    points = jax.tree.map(lambda a: a[:, 0], points)

    @WAYS[way].jit
    def grad(params):
        return jax.jacrev(lambda p: losses(flow, p, points, jax.random.key(7)))(params)

    together = measured(name).grads
    for i in range(2):
        alone = grad(jax.tree.map(lambda a, i=i: a[i], ensemble(name, way)))
        jax.tree.map(lambda a, b, i=i: close(a[i], b, 1e-4), together, alone)
