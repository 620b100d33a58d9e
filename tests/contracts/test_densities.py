"""The laws of a density: every constructor in `DENSITIES` sums to one and draws from itself."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.autoregressive import made, markov, rnn, transformer, wavenet
from dgm_jax.bijectors import additive
from dgm_jax.combinators import compose, conditional, fixed, pushforward
from dgm_jax.data.preprocessing import logit_map
from dgm_jax.distributions import standard_normal
from dgm_jax.flows import autoregression, coupling, iaf, maf, realnvp
from dgm_jax.likelihoods import gaussian, mixture
from dgm_jax.nets import mlp
from dgm_jax.protocol import Density
from tests.contracts.compiled import jit

COND = 2
two = {"num_layers": 2, "hidden": (6,)}


class Case(NamedTuple):
    make: Callable[[], Density]
    dim: int = 2
    cond_shape: tuple[int, ...] | None = None
    low: float = -14.0  # the support, or all of it that matters
    high: float = 14.0


def pushed(flow, dim=2):
    return pushforward(flow, standard_normal(dim))


def diagonal(f):
    return distrax.MultivariateNormalDiag(f[..., :2], jnp.exp(f[..., 2:]))


def levels():
    """A density of two grey levels' worth of pixels: on [-2/18, 2 + 2/18]² for alpha = 0.05."""
    return pushed(compose(fixed(distrax.Inverse(logit_map(2))), maf(2, **two)))


DENSITIES = {
    "normal, dim 1": Case(lambda: standard_normal(1), dim=1),
    "normal": Case(lambda: standard_normal(2)),
    "autoregression, dim 1": Case(lambda: pushed(autoregression(1, hidden=(4,)), 1), dim=1),
    "iaf": Case(lambda: pushed(iaf(2, **two))),
    "maf, naive": Case(lambda: pushed(maf(2, **two, order=[1, 0], inverse="naive"))),
    "maf, conditional": Case(lambda: pushed(maf(2, **two, cond_shape=(COND,))), cond_shape=(COND,)),
    "maf, dim 1, conditional": Case(
        lambda: pushed(maf(1, **two, cond_shape=(COND,)), 1), dim=1, cond_shape=(COND,)
    ),
    "realnvp": Case(lambda: pushed(realnvp(2, **two))),
    "realnvp, conditional": Case(
        lambda: pushed(realnvp(2, **two, cond_shape=(COND,))), cond_shape=(COND,)
    ),
    "gaussian made, dim 1": Case(lambda: made(1, gaussian(), hidden=(4,)), dim=1),
    "gaussian made": Case(lambda: made(2, gaussian(), hidden=(6,), order=[1, 0])),
    "gaussian made, additive": Case(lambda: made(2, gaussian(additive()), hidden=(6,))),
    "gaussian made, conditional": Case(
        lambda: made(2, gaussian(), hidden=(6,), cond_shape=(COND,)), cond_shape=(COND,)
    ),
    "gaussian made, masks": Case(lambda: made(2, gaussian(), hidden=(6,), num_masks=2)),
    "mixture made": Case(lambda: made(2, mixture(3), hidden=(6,))),
    "mixture made, logistic": Case(
        lambda: made(2, mixture(3, kind="logistic"), hidden=(6,), order=[1, 0]),
        low=-40.0,
        high=40.0,
    ),
    "mixture made, conditional": Case(
        lambda: made(2, mixture(2), hidden=(6,), cond_shape=(COND,)), cond_shape=(COND,)
    ),
    "gaussian rnn": Case(lambda: rnn(2, gaussian(), hidden=4)),
    "gaussian markov, conditional": Case(
        lambda: markov(2, gaussian(), window=1, hidden=(6,), cond_shape=(COND,)), cond_shape=(COND,)
    ),
    "mixture wavenet": Case(lambda: wavenet(2, mixture(3), hidden=4, dilations=(1, 2))),
    "mixture transformer, conditional": Case(
        lambda: transformer(
            2, mixture(2), hidden=8, num_heads=2, num_layers=1, order=[1, 0], cond_shape=(COND,)
        ),
        cond_shape=(COND,),
    ),
    "a flow of a gaussian made": Case(
        lambda: pushforward(coupling(2, hidden=(6,)), made(2, gaussian(), hidden=(6,)))
    ),
    "a net of a condition": Case(
        lambda: conditional(mlp(COND, 4, hidden=(6,)), diagonal), cond_shape=(COND,)
    ),
    "levels": Case(levels, low=-0.1111, high=2.1111),
}
everywhere = pytest.mark.parametrize("name", DENSITIES)
OURS = [name for name in DENSITIES if name != "a net of a condition"]  # that one is distrax's
CONDITIONAL = [name for name in DENSITIES if DENSITIES[name].cond_shape]


@cache
def built(name):
    """The model, parameters N(0, 0.4²) drawn on the host, and one condition."""
    case = DENSITIES[name]
    model = case.make()
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.4, a.shape), a.dtype), shapes)
    return model, params, jnp.array([0.6, -0.8]) if case.cond_shape else None


@cache
def compiled(name):
    """log_prob(params, x, cond) and draw(params, key, cond) -> 20000 samples with log_prob."""
    model = built(name)[0]
    log_prob = jit(lambda params, x, cond: model.dist(params, cond).log_prob(x))

    def draw(params, key, cond):
        sample_key = jax.random.clone(key)
        dist = model.dist(params, cond)
        alone = dist.sample(seed=key, sample_shape=20_000)
        return alone, *dist.sample_and_log_prob(seed=sample_key, sample_shape=20_000)

    return log_prob, jit(draw)


@cache
def on_a_grid(name):
    """Cell middles [n, dim], and p at them times the volume of a cell."""
    case = DENSITIES[name]
    _, params, cond = built(name)
    num = 4000 if case.dim == 1 else 480
    edges = np.linspace(case.low, case.high, num + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    grid = np.stack(np.meshgrid(*[middles] * case.dim, indexing="ij"), -1).reshape(-1, case.dim)
    log_p = compiled(name)[0](params, jnp.asarray(grid, jnp.float32), cond)
    return grid, np.exp(np.asarray(log_p, np.float64)) * ((case.high - case.low) / num) ** case.dim


@everywhere
def test_it_integrates_to_one(name):
    assert abs(on_a_grid(name)[1].sum() - 1) < 2e-3


@cache
def samples(name):
    _, params, cond = built(name)
    return compiled(name)[1](params, jax.random.key(1), cond)


@everywhere
def test_sample_and_log_prob_is_sample_and_then_log_prob(name):
    _, params, cond = built(name)
    alone, x, log_prob = samples(name)
    np.testing.assert_allclose(x, alone, rtol=1e-5, atol=1e-5)
    again = compiled(name)[0](params, x, cond)
    np.testing.assert_allclose(log_prob, again, rtol=2e-3, atol=2e-3)


@everywhere
def test_samples_fall_into_each_cell_as_often_as_the_density_says(name):
    """Cells at the quantiles of the grid, at least some percent of the mass in most of them."""
    dim = DENSITIES[name].dim
    grid, mass = on_a_grid(name)
    x = np.asarray(samples(name)[1])
    cell_of_grid, cell_of_x = np.zeros(len(grid), int), np.zeros(len(x), int)
    for i in range(dim):
        order = np.argsort(grid[:, i])
        cdf = np.cumsum(mass[order])
        cuts = grid[order, i][np.searchsorted(cdf, [0.05, 0.2, 0.4, 0.6, 0.8, 0.95])]
        cuts = cuts + 0.5 * (DENSITIES[name].high - DENSITIES[name].low) / len(grid) ** (1 / dim)
        cell_of_grid = 7 * cell_of_grid + np.searchsorted(cuts, grid[:, i])
        cell_of_x = 7 * cell_of_x + np.searchsorted(cuts, x[:, i])
    wanted = np.bincount(cell_of_grid, mass, 7**dim)
    got = np.bincount(cell_of_x, minlength=7**dim) / len(x)
    error = np.sqrt(wanted * (1 - wanted) / len(x)) + 2e-4  # and what the grid rounds
    assert np.abs((got - wanted) / error).max() < 4.5, np.abs(got - wanted).max()


@everywhere
def test_batch_and_event_shapes(name):
    """Checked by tracing: nothing is compiled. Conditions [4, c] make a batch of four densities."""
    case = DENSITIES[name]
    model, params, _ = built(name)
    batch = (4,) if case.cond_shape else ()
    cond = jnp.zeros((4, COND)) if case.cond_shape else None
    dist = model.dist(params, cond)
    assert dist.batch_shape == batch and dist.event_shape == (case.dim,)
    assert dist.dtype == jnp.float32
    for shape, given in [((), ()), ((3,), 3), ((2, 3), (2, 3)), ((0,), 0)]:

        def draw(key, given=given):
            return model.dist(params, cond).sample_and_log_prob(seed=key, sample_shape=given)

        x, log_prob = jax.eval_shape(draw, jax.random.key(0))
        assert x.shape == (*shape, *batch, case.dim) and log_prob.shape == (*shape, *batch)
        log_prob = jax.eval_shape(lambda x: model.dist(params, cond).log_prob(x), x)
        assert log_prob.shape == (*shape, *batch)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_each_condition_has_its_own_noise_and_its_own_law(name):
    """Three copies of one condition, and another: copies draw independently, with equal laws."""
    model, params, cond = built(name)
    conds = jnp.stack([cond, cond, cond, -2 * cond])

    @jit
    def draw(params, key, conds):
        dist = model.dist(params, conds)
        x, log_prob = dist.sample_and_log_prob(seed=key, sample_shape=4000)
        return x, log_prob, dist.log_prob(x[:, :1])

    x, log_prob, as_first = draw(params, jax.random.key(2), conds)
    x = np.asarray(x)
    for i in range(DENSITIES[name].dim):
        correlation = np.corrcoef(x[..., i].T)
        assert np.abs(correlation[np.triu_indices(4, 1)]).max() < 0.08
    np.testing.assert_allclose(as_first[:, 0], as_first[:, 1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(as_first[:, 0], log_prob[:, 0], rtol=2e-3, atol=2e-3)
    assert np.abs(as_first[:, 0] - as_first[:, 3]).max() > 0.05
    alone = compiled(name)[0](params, x[:, 3], conds[3])
    np.testing.assert_allclose(log_prob[:, 3], alone, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("method", ["sample", "sample_and_log_prob"])
@pytest.mark.parametrize("seed", [0, np.int32(0), "legacy"])
@pytest.mark.parametrize("name", OURS)
def test_a_seed_that_is_no_typed_key_is_refused(name, seed, method):
    model, params, cond = built(name)
    seed = jax.random.PRNGKey(0) if seed == "legacy" else seed
    with pytest.raises(TypeError, match=r"seed must be a typed key.*jax\.random\.key\(seed\)"):
        jax.eval_shape(lambda: getattr(model.dist(params, cond), method)(seed=seed))
