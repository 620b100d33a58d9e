"""What a discrete density obeys: it sums to one, and draws from itself, fast or slow alike.

Every constructor in `LEVELS` is taken away from its start and held to them over all states. One
program a case computes all that is looked at.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.autoregressive import cases as autoregressive
from tests.contracts.cases import WAYS, drawn, parametrize, quickly
from tests.inference import cases as inference

LEVELS = {**autoregressive.LEVELS, **inference.LEVELS}
everywhere = parametrize(LEVELS)
NUM = 20_000  # samples


@cache
def built(name, way="quick"):
    """The model, parameters N(0, 0.7²) drawn on the host, and two conditions [2, *cond_shape]."""
    case, dtype = LEVELS[name], WAYS[way].dtype()
    model = case.make()
    params = drawn(jax.eval_shape(model.init, jax.random.key(0)), 0, 0.7, dtype)
    if case.cond_shape is None:
        return model, params, None
    cond = np.resize([0.6, -0.8, 1.3], case.cond_shape)
    return model, params, np.stack([cond, 2 - cond**2]).astype(dtype)


def batched(name, rows):
    """Rows [n, ..., d] as [n, *event], or [n, 2, *event] for two conditions."""
    rows = np.asarray(rows, np.int32).reshape(-1, *LEVELS[name].shape)
    return np.stack([rows, rows], 1) if LEVELS[name].cond_shape else rows


def states(name):
    """All of them in the order of their numbers, [K^d, d]."""
    return np.array(list(product(range(LEVELS[name].num_levels), repeat=LEVELS[name].dim)))


def numbers(name, x):
    """The number of each state, [..., *event] -> [...]."""
    case = LEVELS[name]
    x = np.reshape(x, (*x.shape[: x.ndim - len(case.shape)], case.dim))
    return x @ case.num_levels ** np.arange(case.dim)[::-1]


def to_complete(name):
    """Rows, and which of their entries are given."""
    rng, case = np.random.default_rng(0), LEVELS[name]
    shape = (300, *([2] if case.cond_shape else []), *case.shape)
    return rng.integers(0, case.num_levels, shape), rng.random(shape) < 0.5


def sharpened(dist, name, key):
    """Draws of a sharper density; of those of one order, completions of rows, each with gaps."""
    sharp = dist.sharpened(temperature=0.6, top_k=2)
    if LEVELS[name].order is None:  # an ensemble completes nothing
        return sharp.sample(seed=key, sample_shape=300)
    return sharp.complete(*to_complete(name), seed=key)


class Measured(NamedTuple):
    """All that a model says."""

    x: np.ndarray  # samples [NUM, *event], or [NUM, 2, *event] under two conditions
    log_prob: np.ndarray  # as told with them
    log_p: np.ndarray  # of rows, by default all states
    grads: dict  # of Σ log p over the rows
    logits: np.ndarray | None  # of the conditionals at the rows [K^d, ..., *event, K]
    sharp: np.ndarray | None  # draws or completions
    by_d_passes: tuple  # x and sharp by the definition


def is_sharpened(name, way):
    case = LEVELS[name]
    return case.sharpens and (case.sharp or case.full or way != "quick")


@cache
def program(name, way):
    model, _, cond = built(name, way)
    case = LEVELS[name]
    slow = case.make(inverse="naive") if case.slow else model
    sharp = is_sharpened(name, way)

    def of_rows(params, rows):
        log_p = model.dist(params, cond).log_prob(rows)
        return log_p.sum(), log_p

    def run(params, key, rows):
        keys = [key, jax.random.clone(key)]
        (draw_key, sharp_key), (draw_again, sharp_again) = map(jax.random.split, keys)
        dist, by_definition = model.dist(params, cond), slow.dist(params, cond)
        x, log_prob = dist.sample_and_log_prob(seed=draw_key, sample_shape=NUM)
        grads, log_p = jax.grad(of_rows, has_aux=True)(params, rows)
        logits = None if case.order is None else dist.conditionals(rows).logits
        slowly = by_definition.sample(seed=draw_again, sample_shape=NUM)
        return Measured(
            *(x, log_prob, log_p, grads, logits),
            sharpened(dist, name, sharp_key) if sharp else None,
            (slowly, sharpened(by_definition, name, sharp_again) if sharp else None),
        )

    return WAYS[way].jit(run)


def run(name, way, params, rows=None):
    rows = batched(name, states(name) if rows is None else rows)
    with WAYS[way].precision():
        return jax.device_get(program(name, way)(params, jax.random.key(1), rows))


@cache
def measured(name, way="quick"):
    return run(name, way, built(name, way)[1])


@everywhere
def test_it_sums_to_one_over_all_states(name, way):
    p = np.exp(np.float64(measured(name, way).log_p))
    np.testing.assert_allclose(p.sum(0), 1, atol=1e-10 if WAYS[way].x64 else 1e-5)
    assert (p.max(0) > 1.5 / len(p)).all()  # far from uniform


@everywhere
def test_each_state_is_drawn_as_often_as_its_probability(name, way):
    case, m = LEVELS[name], measured(name, way)
    assert m.x.dtype == np.int32
    assert m.x.shape == (NUM, *([2] if case.cond_shape else []), *case.shape)
    assert m.log_prob.shape == m.x.shape[: m.x.ndim - len(case.shape)]
    tol = 1e-9 if WAYS[way].x64 else 1e-4
    index, num_states = numbers(name, m.x).reshape(NUM, -1), case.num_levels**case.dim
    for i, log_p in enumerate(np.float64(m.log_p).reshape(num_states, -1).T):
        p, got = np.exp(log_p), np.bincount(index[:, i], minlength=num_states) / NUM
        assert (np.abs(got - p) < 4.5 * np.sqrt(p / NUM) + 1e-4).all()
        told = m.log_prob.reshape(NUM, -1)[:, i]
        np.testing.assert_allclose(told, log_p[index[:, i]], rtol=0, atol=tol)


@everywhere
def test_samples_that_make_each_unit_once_are_those_of_d_passes(name, way):
    """The same key, the same levels, all of them, from `sample` as with their densities."""
    m = measured(name, way)
    np.testing.assert_array_equal(m.x, m.by_d_passes[0])


@parametrize(LEVELS, is_sharpened)
def test_sharpened_draws_and_completions_are_those_of_d_passes(name, way):
    """Of rows that each have other gaps, what is given stays."""
    m = measured(name, way)
    np.testing.assert_array_equal(m.sharp, m.by_d_passes[1])
    if LEVELS[name].order is not None:
        rows, given = to_complete(name)
        np.testing.assert_array_equal(m.sharp[given], rows[given])


@parametrize(LEVELS, lambda name, way: LEVELS[name].order is not None)
def test_a_conditional_sees_all_that_is_made_before_it_and_nothing_else(name, way):
    """Change one coordinate; exactly the later ones in the order answer."""
    case, x = LEVELS[name], states(name)
    sees = case.dim if case.sees is None else case.sees
    logits = measured(name, way).logits
    logits = logits.reshape(len(x), 2 if case.cond_shape else 1, case.dim, -1)
    rank = np.argsort(case.order)
    for i in range(case.dim):
        other = x.copy()
        other[:, i] = (x[:, i] + 1) % case.num_levels
        change = np.abs(logits[numbers(name, other.reshape(-1, *case.shape))] - logits)
        moves = (change > 1e-7).any((0, 1, 3))
        np.testing.assert_array_equal(moves, (rank > rank[i]) & (rank <= rank[i] + sees))


@everywhere
def test_a_gradient_reaches_every_parameter(name, way):
    for path, leaf in jax.tree.leaves_with_path(measured(name, way).grads):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


@everywhere
def test_what_nan_parameters_draw_is_no_level(name, way):
    params = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), built(name, way)[1])
    m = run(name, way, params)
    np.testing.assert_array_equal(m.x, -1)
    assert np.isnan(m.log_p).all()


@quickly(LEVELS)
def test_batch_and_event_shapes(name, way):
    """Conditions [4, *cond_shape] make a batch of four densities; nothing is compiled."""
    case, (model, params, cond) = LEVELS[name], built(name)
    batch = () if cond is None else (4,)
    cond = None if cond is None else np.zeros((4, *case.cond_shape), np.float16)

    def traced(params, key):
        dist, none = model.dist(params, cond), np.zeros((0, *batch, *case.shape), np.int32)
        assert dist.batch_shape == batch and dist.event_shape == case.shape
        assert dist.dtype == jnp.int32
        return dist.sample_and_log_prob(seed=key, sample_shape=(2, 3)), dist.log_prob(none)

    (x, log_prob), of_none = jax.eval_shape(traced, params, jax.random.key(0))
    assert x.shape == (2, 3, *batch, *case.shape)
    assert log_prob.shape == (2, 3, *batch) and of_none.shape == (0, *batch)


ONE_OF_A_KIND = (
    "bernoulli",
    "bernoulli, masks, conditional",
    "table, Markov",
    "markov",
    "pixelcnn",
)


@pytest.mark.parametrize("name", ONE_OF_A_KIND)
@pytest.mark.parametrize("num, shape", [((), ()), (0, (0,))])
def test_one_sample_has_no_axis_for_it_and_none_an_empty_one(name, num, shape):
    model, params, cond = built(name)

    def draw(params, key):
        return model.dist(params, cond).sample(seed=key, sample_shape=num)

    batch = () if cond is None else (2,)
    x = jax.eval_shape(draw, params, jax.random.key(0))
    assert x.shape == (*shape, *batch, *LEVELS[name].shape)


@quickly(LEVELS)
def test_numbers_that_are_no_levels_are_refused_or_impossible(name, way):
    model, params, cond = built(name)
    case, outside = LEVELS[name], np.zeros_like(states(name))
    outside[:, 1] = np.resize([-1, case.num_levels], len(outside))
    np.testing.assert_array_equal(run(name, way, params, outside).log_p, -np.inf)

    def log_prob(x):
        return jax.eval_shape(lambda params: model.dist(params, cond).log_prob(x), params)

    with pytest.raises(ValueError, match=r"x must be levels, integers in 0\.\..*; got float32"):
        log_prob(jnp.full(case.shape, 0.5))
    wanted = ", ".join(map(str, case.shape))
    with pytest.raises(ValueError, match=rf"x must have shape \[\.\.\., {wanted}\]"):
        log_prob(jnp.zeros(case.dim + 1, jnp.int32))
    with pytest.raises(TypeError, match="seed must be a typed key"):
        jax.eval_shape(lambda params: model.dist(params, cond).sample(seed=0), params)
