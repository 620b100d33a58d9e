"""Levels drawn by the inverse of the CDF."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.autoregressive import made
from dgm_jax.likelihoods import bernoulli, categorical, discretized_logistic, mixture
from tests.contracts.compiled import jit


def test_levels_are_drawn_as_often_as_they_are_likely_and_impossible_ones_never():
    p = np.array([[0.0, 0.2, 0.0, 0.5, 0.3, 0.0], [1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1.0]])
    with np.errstate(divide="ignore"):
        logits = jnp.asarray(np.log(p) + 3, jnp.float32)
    draw = jit(lambda key: categorical(6).dist(logits).sample(seed=key, sample_shape=40_000))
    x = np.asarray(draw(jax.random.key(0)))
    assert x.shape == (40_000, 3) and x.dtype == np.int32
    got = np.stack([np.bincount(column, minlength=6) for column in x.T]) / len(x)
    assert (got[p == 0] == 0).all() and x[:, 1:].max(0).tolist() == [0, 5]
    assert (np.abs(got - p) < 4.5 * np.sqrt(p * (1 - p) / len(x)) + 1e-9).all()


def test_half_precision_draws_all_levels():
    """Sixteen bits hold 128 numbers of [0.5, 1): a uniform one of them misses every odd level."""
    dist = categorical(256).dist(jnp.zeros((4000, 256), jnp.bfloat16))
    x = np.asarray(jit(lambda key: dist.sample(seed=key))(jax.random.key(0)))
    assert len(np.unique(x)) > 250 and (x % 2).mean() > 0.4


@pytest.mark.parametrize("conditional", [categorical(300), discretized_logistic(256)])
def test_levels_drawn_in_half_precision_are_those_of_d_passes(conditional):
    """Sixteen bits tell 256 levels on [-1, 1] apart no more: they must not be read from there."""
    fast, slow = (made(2, conditional, hidden=(8,), inverse=i) for i in ("unit_once", "naive"))
    shapes = jax.eval_shape(fast.init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.3, a.shape), jnp.bfloat16), shapes)

    @jit
    def draw(params, key):
        return [m.dist(params).sample(seed=key, sample_shape=3000) for m in (fast, slow)]

    x, wanted = draw(params, jax.random.key(1))
    np.testing.assert_array_equal(x, wanted)
    assert len(np.unique(x)) > 250


@pytest.mark.parametrize("kind", ["gaussian", "logistic"])
def test_mixtures_of_half_precision_are_those_of_float32(kind):
    f = jnp.asarray(np.random.default_rng(0).normal(size=(50, 12)), jnp.bfloat16)
    x = jnp.linspace(-2.0, 2.0, 50)
    score = jit(lambda f, x: mixture(4, kind=kind).dist(f).log_prob(x.astype(f.dtype)))
    half, full = score(f, x), score(f.astype(jnp.float32), x)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), full, atol=0.1)


@pytest.mark.parametrize("kind", ["gaussian", "logistic"])
def test_draws_of_mixtures_are_as_precise_as_the_parameters(kind):
    model = made(2, mixture(3, kind=kind), hidden=(4,))
    params = jax.tree.map(lambda a: a.astype(jnp.bfloat16), model.init(jax.random.key(0)))
    dist = model.dist(params)
    x, log_prob = jax.eval_shape(lambda key: dist.sample_and_log_prob(seed=key), jax.random.key(1))
    alone = jax.eval_shape(lambda key: dist.sample(seed=key), jax.random.key(1))
    scored = jax.eval_shape(dist.log_prob, alone)
    assert {a.dtype for a in (x, log_prob, alone, scored, dist)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("temperature", [1e-10, 1e-38])
def test_the_coldest_draws_are_the_likeliest_levels_or_none(temperature):
    """Logits over a temperature near 0 overflow, unless the highest is 0; what is no law is -1."""
    model = made(3, categorical(4), hidden=(8,), inverse="naive")
    params = jax.tree.map(
        lambda a: a + 0.3 * jnp.arange(a.size).reshape(a.shape) % 1.7, model.init(jax.random.key(0))
    )

    @jit
    def draw(params, temperature):
        sharp = model.dist(params).sharpened(temperature=temperature)  # traced, so not known
        x = sharp.sample(seed=jax.random.key(1), sample_shape=20)
        return x, model.dist(params).conditionals(x).logits.argmax(-1)

    x, likeliest = draw(params, jnp.asarray(temperature))
    assert (x == likeliest).all() or (temperature < 1e-30 and (x == -1).all())


@pytest.mark.parametrize("inverse", ["unit_once", "naive"])
@pytest.mark.parametrize("conditional", [bernoulli(), categorical(3), discretized_logistic(5)])
def test_an_output_that_has_overflowed_draws_no_level(conditional, inverse):
    """+∞ is no law; the coordinates before it are drawn as ever."""
    model = made(2, conditional, hidden=(4,), inverse=inverse)
    params = model.init(jax.random.key(0))
    params["offset"] = params["offset"].at[1, 0].set(jnp.inf)
    sample = jit(lambda p, key: model.dist(p).sample(seed=key, sample_shape=9))
    x = np.asarray(sample(params, jax.random.key(1)))
    assert (x[:, 0] >= 0).all() and (x[:, 1] == -1).all()
