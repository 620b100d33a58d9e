"""The contract of densities: every constructor in `DENSITIES` integrates to one, draws from itself.

One program a case computes all that is looked at.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import cases as house
from tests.autoregressive import cases as autoregressive
from tests.contracts.cases import WAYS, drawn, parametrize, quickly
from tests.flows import cases as flows
from tests.inference import cases as inference

DENSITIES = {
    **house.DENSITIES,
    **flows.DENSITIES,
    **autoregressive.DENSITIES,
    **inference.DENSITIES,
}
everywhere = parametrize(DENSITIES)
OURS = [name for name in DENSITIES if name != "a net of a condition"]  # that one is distrax's
NUM = 20_000  # samples
CHOSEN = np.array([0.6, -0.8])  # one condition


@cache
def built(name, way="quick"):
    """The model, parameters N(0, 0.4²) drawn on the host, and one condition."""
    case, dtype = DENSITIES[name], WAYS[way].dtype()
    model = case.make()
    params = drawn(jax.eval_shape(model.init, jax.random.key(0)), 0, 0.4, dtype)
    cond = None if case.cond_shape is None else np.resize(CHOSEN, case.cond_shape).astype(dtype)
    return model, params, cond


class Measured(NamedTuple):
    """All that a density says."""

    on_grid: np.ndarray  # log p at the middles of cells
    x: np.ndarray  # samples [NUM, dim]
    log_prob: np.ndarray  # as told with them
    again: np.ndarray  # as log_prob gives it
    alone: np.ndarray  # by `sample` with the same key
    copies: tuple | None  # of four conditions, three of which are one


def grid(name):
    """Middles of cells [n, dim]."""
    case = DENSITIES[name]
    num = 4000 if case.dim == 1 else 480
    edges = np.linspace(case.low, case.high, num + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    return np.stack(np.meshgrid(*[middles] * case.dim, indexing="ij"), -1).reshape(-1, case.dim)


@cache
def program(name, way):
    model, _, cond = built(name, way)
    middles = grid(name).astype(WAYS[way].dtype())

    def of_copies(params, key):
        conds = jnp.stack([cond, cond, cond, -2 * cond])
        dist = model.dist(params, conds)
        x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=4000)
        return x, log_prob, dist.log_prob(x[:, :1]), model.dist(params, conds[3]).log_prob(x[:, 3])

    def run(params, key, copies_key):
        again_key = jax.random.clone(key)
        dist = model.dist(params, cond)
        alone = dist.sample(seed=key, sample_shape=NUM)
        x, log_prob = dist.sample_and_log_prob(seed=again_key, sample_shape=NUM)
        on_grid, again = jnp.split(dist.log_prob(jnp.concatenate([middles, x])), [len(middles)])
        copies = None if cond is None else of_copies(params, copies_key)
        return Measured(on_grid, x, log_prob, again, alone, copies)

    return WAYS[way].jit(run)


@cache
def measured(name, way="quick"):
    with WAYS[way].precision():
        keys = jax.random.key(1), jax.random.key(2)
        return jax.device_get(program(name, way)(built(name, way)[1], *keys))


def mass(name, way):
    """p at the middles times the volume of a cell."""
    p = np.exp(np.float64(measured(name, way).on_grid))
    return p * (DENSITIES[name].high - DENSITIES[name].low) ** DENSITIES[name].dim / len(p)


@everywhere
def test_it_integrates_to_one(name, way):
    assert abs(mass(name, way).sum() - 1) < 2e-3


@everywhere
def test_sample_and_log_prob_is_sample_and_then_log_prob(name, way):
    m = measured(name, way)
    np.testing.assert_allclose(m.x, m.alone, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(m.log_prob, m.again, rtol=2e-3, atol=2e-3)
    assert m.x.dtype == m.log_prob.dtype == WAYS[way].dtype()


@everywhere
def test_samples_fall_into_each_cell_as_often_as_the_density_says(name, way):
    """Cells at the quantiles of the grid, at least some percent of the mass in most of them."""
    case, middles, of_cell, x = DENSITIES[name], grid(name), mass(name, way), measured(name, way).x
    cell_of_grid, cell_of_x = np.zeros(len(middles), int), np.zeros(len(x), int)
    for i in range(case.dim):
        order = np.argsort(middles[:, i])
        cdf = np.cumsum(of_cell[order])
        cuts = middles[order, i][np.searchsorted(cdf, [0.05, 0.2, 0.4, 0.6, 0.8, 0.95])]
        cuts = cuts + 0.5 * (case.high - case.low) / len(middles) ** (1 / case.dim)
        cell_of_grid = 7 * cell_of_grid + np.searchsorted(cuts, middles[:, i])
        cell_of_x = 7 * cell_of_x + np.searchsorted(cuts, x[:, i])
    wanted = np.bincount(cell_of_grid, of_cell, 7**case.dim)
    got = np.bincount(cell_of_x, minlength=7**case.dim) / len(x)
    error = np.sqrt(wanted * (1 - wanted) / len(x)) + 2e-4  # and what the grid rounds
    assert np.abs((got - wanted) / error).max() < 4.5, np.abs(got - wanted).max()


@quickly(DENSITIES)
def test_batch_and_event_shapes(name, way):
    """Checked by tracing: nothing is compiled. Conditions [4, c] make a batch of four densities."""
    case, (model, params, cond) = DENSITIES[name], built(name)
    batch = () if cond is None else (4,)
    cond = None if cond is None else np.stack([cond] * 4)
    shapes = [(), (0,)] if case.full else [(2, 3)]

    def traced(params, key):
        dist = model.dist(params, cond)
        assert dist.batch_shape == batch and dist.event_shape == (case.dim,)
        assert dist.dtype == jnp.float32
        keys = jax.random.split(key, len(shapes))
        drawn = [dist.sample_and_log_prob(seed=k, sample_shape=s) for k, s in zip(keys, shapes)]
        return [(x, log_prob, dist.log_prob(x)) for x, log_prob in drawn]

    for shape, (x, *log_probs) in zip(shapes, jax.eval_shape(traced, params, jax.random.key(0))):
        assert x.shape == (*shape, *batch, case.dim)
        assert all(log_prob.shape == (*shape, *batch) for log_prob in log_probs)


@pytest.mark.parametrize("name", ["normal", "iaf", "gaussian made, conditional"])
@pytest.mark.parametrize("given, shape", [((), ()), (3, (3,)), ((0,), (0,)), (0, (0,))])
def test_samples_have_the_axes_that_are_asked_for(name, given, shape):
    model, params, cond = built(name)

    def draw(params, key):
        return model.dist(params, cond).sample_and_log_prob(seed=key, sample_shape=given)

    x, log_prob = jax.eval_shape(draw, params, jax.random.key(0))
    assert x.shape == (*shape, DENSITIES[name].dim) and log_prob.shape == shape


@parametrize(DENSITIES, lambda name, way: DENSITIES[name].cond_shape is not None)
def test_each_condition_has_its_own_noise_and_its_own_density(name, way):
    """Three copies of one condition, and another: copies draw independently, of one density."""
    x, log_prob, as_first, alone = measured(name, way).copies
    for i in range(DENSITIES[name].dim):
        correlation = np.corrcoef(x[..., i].T)
        assert np.abs(correlation[np.triu_indices(4, 1)]).max() < 0.08
    np.testing.assert_allclose(as_first[:, 0], as_first[:, 1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(as_first[:, 0], log_prob[:, 0], rtol=2e-3, atol=2e-3)
    assert np.abs(as_first[:, 0] - as_first[:, 3]).max() > 0.05
    np.testing.assert_allclose(log_prob[:, 3], alone, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("seed", [0, np.int32(0), "legacy"])
@pytest.mark.parametrize("name", OURS)
def test_a_seed_that_is_no_typed_key_is_refused(name, seed):
    model, params, cond = built(name)
    seed = jax.random.PRNGKey(0) if seed == "legacy" else seed
    for method in ("sample", "sample_and_log_prob"):
        with pytest.raises(TypeError, match=r"seed must be a typed key.*jax\.random\.key\(seed\)"):
            jax.eval_shape(lambda p, m=method: getattr(model.dist(p, cond), m)(seed=seed), params)
